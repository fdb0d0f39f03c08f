"""Which office a report belongs to: the first rule that matches, with the reasons kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Rule:
    """One routing rule. `when` maps a field to accepted values; `31.74*` accepts all that begin with 31.74.

    An empty `when` always matches. Fields: source, category, domicile, area, anonymous (true or false).
    """

    name: str
    office: str
    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    role: str = "officer"
    element: str = ""
    policy: str = "default"


@dataclass(frozen=True)
class Routing:
    """The rule that took the report, and for each rule before it why it did not."""

    rule: Rule
    explanation: tuple[str, ...]


class NoRule(LookupError):
    """No rule took the report; the configuration check makes sure that a last rule takes everything."""


FIELDS = ("source", "category", "domicile", "area", "anonymous")


def route(facts: Mapping[str, str], rules: Sequence[Rule]) -> Routing:
    """Return the first rule all of whose conditions hold.

    Raises:
        NoRule: none does.
    """
    passed: list[str] = []
    for rule in rules:
        misses = _misses(facts, rule)
        if not misses:
            reasons = [f"{name} = {facts.get(name, '')!r}" for name in rule.when] or ["it takes everything"]
            return Routing(rule, (*passed, f"{rule.name}: taken, since {' and '.join(reasons)}"))
        passed.append(f"{rule.name}: not taken, since {' and '.join(misses)}")
    raise NoRule("no routing rule takes this report; add a last rule without conditions")


def _misses(facts: Mapping[str, str], rule: Rule) -> list[str]:
    return [
        f"{name} is {facts.get(name, '')!r}, not one of {', '.join(accepted)}"
        for name, accepted in rule.when.items()
        if not any(_accepts(pattern, facts.get(name, "")) for pattern in accepted)
    ]


def _accepts(pattern: str, value: str) -> bool:
    return value.startswith(pattern[:-1]) if pattern.endswith("*") else value == pattern
