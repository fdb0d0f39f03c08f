"""A source's own payload in our words: JMESPath expressions from sources.toml, one for each place of our report.

Beside JMESPath's own functions there are three: `local_time(text, zone)` gives an ISO time without a zone its zone,
`epoch(number)` turns seconds since 1970 into an ISO time, `pick(object, key)` looks a word up in a table.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import jmespath
from jmespath import functions
from jmespath.exceptions import JMESPathError, JMESPathTypeError

from bridge.strict_json import loads
from schemas.city import NotAReport

#: What every mapping must say; `type` is report.submitted unless it says otherwise.
NEEDED = ("timestamp", "data.id", "data.title", "data.description")
#: What it may say.
PLACES = (
    "type",
    *NEEDED,
    *(f"data.{name}" for name in ("category", "reported_at", "language", "amount_idr", "attachments")),
    *(f"data.reporter.{name}" for name in ("name", "phone", "email", "domicile", "anonymous")),
    *(f"data.business.{name}" for name in ("name", "address")),
    *(f"data.location.{name}" for name in ("lat", "lon", "area")),
)
#: A place is a few words deep; far deeper ones would exhaust the stack at one report or another.
MOST_LEVELS = 64


class BadMapping(ValueError):
    """An expression that cannot be read, or a place our report does not have."""


class _Words(functions.Functions):
    """The functions expressions may use beside JMESPath's own."""

    @functions.signature({"types": ["string"]}, {"types": ["string"]})
    def _func_local_time(self, text: str, zone: str) -> str:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone))).isoformat()

    @functions.signature({"types": ["number"]})
    def _func_epoch(self, seconds: float) -> str:
        return datetime.fromtimestamp(seconds, UTC).isoformat()

    @functions.signature({"types": ["object"]}, {"types": ["string", "null"]})
    def _func_pick(self, table: dict[str, Any], key: str | None) -> Any:
        return table.get(key) if key is not None else None


_OPTIONS = jmespath.Options(custom_functions=_Words())
#: What an expression raises on something it was not made for; JMESPath's own functions do not check all they take.
_MISFITS = (JMESPathError, TypeError, ValueError, OverflowError, OSError, ZoneInfoNotFoundError, RecursionError)


class PayloadMapping:
    """Reads a source's bodies into events of ours; usable as bridge.arrivals.Payload."""

    def __init__(self, expressions: Mapping[str, str]) -> None:
        """Compile the expressions, by place.

        Raises:
            BadMapping: with every fault, a line each.
        """
        faults = [f"{place}: no such place; there are {', '.join(PLACES)}" for place in expressions.keys() - {*PLACES}]
        faults += [f"{place}: missing; every report needs it" for place in NEEDED if place not in expressions]
        self._found: list[tuple[str, Any]] = []
        for place, expression in expressions.items():
            try:
                self._found.append((place, _compiled(expression)))
            except BadMapping as error:
                faults += [
                    f"{place}: {_short(expression)} cannot be read: {fault}" for fault in str(error).splitlines()
                ]
        if faults:
            raise BadMapping("\n".join(sorted(faults)))

    def __call__(self, body: bytes, webhook_id: str) -> object:  # noqa: ARG002 - one shape for all sources
        """Return the event in a body, not checked yet; what an expression does not find is left out.

        Raises:
            NotJson: the body is not JSON.
            NotAReport: an expression cannot be applied to it; says which and why.
        """
        sent, event, problems = loads(body), {"type": "report.submitted"}, []
        for place, expression in self._found:
            try:
                value = expression.search(sent, options=_OPTIONS)
            except _MISFITS as error:
                problems.append(f"{place}: {_misfit(error)}")
                continue
            if value is not None:
                _put(event, place, value)
        if problems:
            raise NotAReport(problems)
        return event


def _compiled(expression: str) -> Any:
    """Return an expression ready to search with.

    Raises:
        BadMapping: with every fault, a line each.
    """
    too_deep = f"nested more than {MOST_LEVELS} levels deep"
    try:
        compiled = jmespath.compile(expression)
    except RecursionError as error:
        raise BadMapping(too_deep) from error
    except ValueError as error:  # JMESPath's own errors, and what it does not expect, as an index of 5,000 digits
        raise BadMapping(" ".join(str(error).split())) from error
    if _levels(compiled.parsed) > MOST_LEVELS:
        raise BadMapping(too_deep)
    if faults := list(_wrong_calls(compiled.parsed)):
        raise BadMapping("\n".join(faults))
    return compiled


def _levels(node: Mapping[str, Any]) -> int:
    """Return how deep an expression is nested, without being nested oneself."""
    level, nodes = 0, [node]
    while nodes:
        level += 1
        nodes = [child for parent in nodes for child in parent["children"] if isinstance(child, Mapping)]
    return level


def _short(expression: str) -> str:
    return repr(expression if len(expression) <= 200 else f"{expression[:200]}…")


def _wrong_calls(node: Mapping[str, Any]) -> Iterator[str]:
    """Yield what JMESPath itself says only when a report is there: unknown functions, too many or few arguments."""
    if node["type"] == "function_expression":
        name, given = node["value"], len(node["children"])
        function = _Words.FUNCTION_TABLE.get(name)
        if function is None:
            yield f"there is no function {name}()"
        else:
            least = len(function["signature"])
            variadic = least > 0 and function["signature"][-1].get("variadic", False)
            if given < least or (given > least and not variadic):
                yield f"{name}() takes {least}{' or more' if variadic else ''} arguments, not {given}"
    for child in node["children"]:
        if isinstance(child, Mapping):
            yield from _wrong_calls(child)


def _misfit(error: Exception) -> str:
    """Say why in words that hold nothing of what was sent: reasons are read by more people than reports."""
    if isinstance(error, JMESPathTypeError):
        wanted = " or ".join(error.expected_types)
        return f"{error.function_name}() needs {wanted}, what was sent has {error.actual_type} there"
    if isinstance(error, ZoneInfoNotFoundError):
        return "the mapping names a time zone nobody knows"
    return f"the mapping does not fit what was sent ({type(error).__name__})"


def _put(event: dict[str, Any], place: str, value: Any) -> None:
    *folders, name = place.split(".")
    for folder in folders:
        event = event.setdefault(folder, {})
    event[name] = value
