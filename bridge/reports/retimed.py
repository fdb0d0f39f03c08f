"""What the history says of a clock that was timed anew: no due time and no rule changes without a line (I27)."""

from typing import Any

from bridge.reports.clocks import Obligation

#: A time moved; and only the versions by which it is computed.
MOVED, RENEWED = "due_moved", "rules_renewed"


def moves(before: Obligation, after: Obligation) -> bool:
    """Tell whether a time changes; otherwise only the versions do."""
    return before.deadline_at != after.deadline_at or before.next_due != after.next_due


def noted(before: Obligation, after: Obligation, reason: str) -> dict[str, Any]:
    """Return what a line `MOVED` or `RENEWED` says of it, as plain JSON values: old, new, why, by which rules."""
    data: dict[str, Any] = {"kind": after.kind, "reason": reason, "calendar": after.calendar_version}
    if before.policy_version != after.policy_version:
        data["policy"] = after.policy_version
    if moves(before, after):
        data |= {"deadline_was": before.deadline_at.isoformat(), "deadline_now": after.deadline_at.isoformat()}
    if before.next_due != after.next_due:
        data["next_was"] = before.next_due.isoformat() if before.next_due else None
        data["next_now"] = after.next_due.isoformat() if after.next_due else None
    return data
