"""All that people configured, in the form decisions take it: routing rules, offices, calendars, policies."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.reports.calendars import WorkingCalendar
from bridge.reports.clocks import Kind, Obligation, Policy
from bridge.reports.routing import Rule


@dataclass(frozen=True)
class Office:
    """A body reports are routed to, and the calendar its working time is counted in."""

    office_id: str
    name: str
    calendar: str
    address: str = ""
    phone: str = ""


class UnknownVersion(LookupError):
    """A policy or calendar version a running clock was frozen with is not loaded."""

    def __init__(self, version: str) -> None:
        self.version = version
        super().__init__(f"version {version} is not known here")


@dataclass(frozen=True)
class Rulebook:
    """Today's configuration, plus every earlier version that running clocks still hold on to."""

    rules: tuple[Rule, ...]
    offices: Mapping[str, Office]
    calendars: Mapping[str, WorkingCalendar]
    policies: Mapping[str, Mapping[Kind, Policy]]
    told_back: frozenset[str] = frozenset()  # sources with a callback address
    policy_versions: dict[str, Policy] = field(default_factory=dict)
    calendar_versions: dict[str, WorkingCalendar] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for calendar in self.calendars.values():
            self.calendar_versions[calendar.version] = calendar
        for policy_set in self.policies.values():
            for policy in policy_set.values():
                self.policy_versions[policy.version] = policy

    def calendar_for(self, office: str) -> WorkingCalendar:
        """Return today's calendar of an office."""
        return self.calendars[self.offices[office].calendar]

    def policy_for(self, name: str, kind: Kind) -> Policy | None:
        """Return today's policy of a kind in the named set; the set `default` fills what a set leaves out."""
        return self.policies.get(name, {}).get(kind) or self.policies["default"].get(kind)

    def frozen(self, obligation: Obligation) -> tuple[Policy, WorkingCalendar]:
        """Return the policy and calendar the obligation's clock was started with.

        Raises:
            UnknownVersion: load it from the store of versions and ask again.
        """
        try:
            return (
                self.policy_versions[obligation.policy_version],
                self.calendar_versions[obligation.calendar_version],
            )
        except KeyError as missing:
            raise UnknownVersion(missing.args[0]) from missing
