"""What a report's history says of one of its clocks: whose it was before, what moved it, who sent it up early."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from bridge.reports.clocks import Kind, Obligation
from bridge.reports.report import Escalation, Event

#: What gives clocks other times by the way; each has lines `due_moved` of the same instant.
_AT_A_MOVE = ("took_over", "unmerged", "transferred")


def of_clock(obligation: Obligation, history: Iterable[Event]) -> list[Event]:
    """Return what befell this clock between its start and its end, in the order of the history."""
    mine = [event for event in history if event.cycle == obligation.cycle and event.at >= obligation.started_at]
    until = obligation.ended_at
    return [event for event in mine if (until is None or event.at <= until) and _befell(event, obligation.kind)]


def taken_from(befell: Sequence[Event]) -> str | None:
    """Return the ticket of the report whose clock this one goes on with, or None when it is its own."""
    tickets = [event.data["of"] for event in befell if event.event == "took_over"]
    return tickets[-1] if tickets else None


def deadline_moved_at(befell: Sequence[Event]) -> datetime | None:
    """Return when the deadline itself was last moved, and not only the next step."""
    moved = [e for e in befell if e.event == "due_moved" and e.data["deadline_was"] != e.data["deadline_now"]]
    return moved[-1].at if moved else None


def why_early(row: Escalation, befell: Sequence[Event]) -> Mapping[str, Any]:
    """Return who sent the report up before this step's time (`by`), and the `reason`; empty when nobody did."""
    if row.remark != "hurried":
        return {}
    pressed = [event for event in befell if event.event == "hurried" and event.at == row.fired_at]
    return {"by": pressed[0].actor, "reason": pressed[0].data["reason"]} if pressed else {}


def moved_by(row: Escalation, befell: Sequence[Event], moved_at: datetime | None = None) -> str | None:
    """Return what had moved the time of a step: `calendar`, `policy`, `took_over`, `unmerged` or `transferred`.

    None when nothing had, or more than one thing may have: the log only says that it was moved.

    Args:
        moved_at: Of a step to come: when its time was moved.
    """
    if row.remark != "due_moved":
        return None
    before = [event for event in befell if event.at <= row.fired_at and moved_at in (None, event.at)]
    named = [event for event in before if event.event in _AT_A_MOVE]
    moved = [e for e in before if e.event == "due_moved" and e.at not in {event.at for event in named}]
    causes = {event.event for event in named} | {"policy" if "policy" in e.data else "calendar" for e in moved}
    return causes.pop() if len(causes) == 1 else None


def _befell(event: Event, kind: Kind) -> bool:
    if event.event == "took_over":
        return any(one["kind"] == kind for one in event.data["deadlines"])
    if event.event in ("due_moved", "hurried"):
        return bool(event.data["kind"] == kind)
    return event.event in ("transferred", "unmerged")
