"""What is wrong with the clockwork, each with what to do: the auditor writes it down, pages and doctor show it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from bridge.reports.guard import Engine

#: A watcher that has not ticked for so many seconds is silent.
WATCHER_SILENT_S = 30.0


class What(StrEnum):
    """Everything that can be found."""

    MISSED_STEPS = "missed_steps"
    CLOCKS_STUCK = "clocks_stuck"
    OUTBOX_LATE = "outbox_late"
    DELIVERIES_STRANDED = "deliveries_stranded"
    LOG_WITHOUT_NOTICES = "log_without_notices"
    LOG_UNSEALED = "log_unsealed"
    LOG_CUT_OFF = "log_cut_off"
    LOG_HEAD_LOST = "log_head_lost"
    LONG_TRANSACTION = "long_transaction"
    DEAD_TUPLES = "dead_tuples"
    ENGINE_HELD = "engine_held"
    WATCHER_SILENT = "watcher_silent"
    AUDITOR_SILENT = "auditor_silent"


#: what -> unit of its value, what to do about it.
_ADVICE: Mapping[What, tuple[str, str]] = {
    What.MISSED_STEPS: ("count", "is every watcher busy, or one report locked? another one: bridge work watch_clocks"),
    What.CLOCKS_STUCK: (
        "count",
        "clocks cannot be computed and are put off, nobody is told; see clock_stuck in the log of watch_clocks",
    ),
    What.OUTBOX_LATE: ("seconds", "messages do not leave; is the queue there? start: bridge work relay_outbox"),
    What.DELIVERIES_STRANDED: ("count", "nobody announces them again; start: bridge work relay_outbox"),
    What.LOG_WITHOUT_NOTICES: (
        "count",
        "rows of the log whose notices are missing; compare: bridge escalations list, bridge deliveries list",
    ),
    What.LOG_UNSEALED: (
        "count",
        "the log is not sealed; start: bridge work watch_clocks, then: bridge escalations verify",
    ),
    What.LOG_CUT_OFF: (
        "count",
        "the newest rows of the escalation log are gone; an older backup restored on purpose? "
        "bridge escalations accept-head --reason …; if not, somebody cut them off: keep the database as it is",
    ),
    What.LOG_HEAD_LOST: (
        "count",
        "that the log is cut off would not be seen; see escalation_log_head_lost in the log of audit; disk full, "
        "rights? a damaged file: bridge escalations accept-head --reason …",
    ),
    What.LONG_TRANSACTION: ("seconds", "somebody keeps a transaction open; see pg_stat_activity, end it"),
    What.DEAD_TUPLES: ("percent", "vacuum does not keep up; look for long transactions, then: VACUUM (ANALYZE)"),
    What.ENGINE_HELD: (
        "seconds",
        "nothing fires; why: bridge engine status; when it is put right: bridge engine release",
    ),
    What.WATCHER_SILENT: ("seconds", "no watcher of clocks at work; start: bridge work watch_clocks (or bridge up)"),
    What.AUDITOR_SILENT: ("seconds", "nobody audits the clocks; start: bridge work audit (or bridge up)"),
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: its `value` in its `unit`, and when it was first seen."""

    what: What
    value: float
    since: datetime

    @property
    def unit(self) -> str:
        """Return what the value counts: count, seconds or percent."""
        return _ADVICE[self.what][0]

    @property
    def do(self) -> str:
        """Return what an operator does about it."""
        return _ADVICE[self.what][1]

    def as_json(self) -> dict[str, Any]:
        """Return it as the engine's row keeps it."""
        return {"what": self.what, "value": round(self.value, 1), "since": self.since.isoformat(), "do": self.do}


def read_findings(rows: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """Return what the auditor wrote down; what only another version can find is left out."""
    return [
        Finding(What(row["what"]), row["value"], datetime.fromisoformat(row["since"]))
        for row in rows
        if row["what"] in list(What)
    ]


def living(engine: Engine, now: datetime) -> list[Finding]:
    """Return what the engine's row itself gives away: held, or no watcher alive."""
    found = []
    if engine.held_since and engine.held_by(now) is not None:
        found.append(Finding(What.ENGINE_HELD, _apart_s(now, engine.held_since), engine.held_since))
    return found + _silent(What.WATCHER_SILENT, engine.ticked_at, now, WATCHER_SILENT_S)


def alarms(engine: Engine, now: datetime, *, audit_every_s: float) -> list[Finding]:
    """Return everything to be shown at this moment: what the row gives away, and what the auditor found last."""
    seen = [f for f in read_findings(engine.findings) if f.what not in (What.ENGINE_HELD, What.WATCHER_SILENT)]
    silent_s = 3 * audit_every_s + WATCHER_SILENT_S
    return [*living(engine, now), *_silent(What.AUDITOR_SILENT, engine.audited_at, now, silent_s), *seen]


def since_before(found: Sequence[Finding], before: Iterable[Finding]) -> list[Finding]:
    """Return the findings; one that was there at the last audit already keeps the time it was first seen."""
    first = {finding.what: finding.since for finding in before}
    return [replace(finding, since=first.get(finding.what, finding.since)) for finding in found]


def _silent(what: What, seen_at: datetime | None, now: datetime, most_s: float) -> list[Finding]:
    if seen_at is not None and _apart_s(now, seen_at) <= most_s:
        return []
    return [Finding(what, _apart_s(now, seen_at) if seen_at else 0.0, seen_at or now)]


def _apart_s(now: datetime, then: datetime) -> float:
    # A sign of life from the future was given before the clock was set back: as old as it is far.
    return abs((now - then).total_seconds())
