"""Rows as pages show them: the clock that counts, who is behind an id, and history in words instead of keys."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bridge.reports.clocks import ClockState, Obligation, Unit
from bridge.reports.rulebook import Rulebook
from bridge.reports.states import OUTCOME_WORDS, Outcome, Status, words_for
from bridge.words import ZONE, say, when

#: What a line of history tells of itself: key -> (Indonesian, English). Other keys are for machines.
_FACTS = {
    "of": ("dari", "from"),
    "to": ("kepada", "to"),
    "into": ("ke laporan", "into"),
    "level": ("tingkat", "level"),
    "office": ("kantor", "office"),
    "kind": ("tenggat", "deadline"),
    "outcome": ("hasil", "outcome"),
    "case_number": ("nomor perkara", "case number"),
    "missing": ("yang kurang", "missing"),
    "fields": ("yang berubah", "changed"),
    "deadline_was": ("tenggat semula", "was due"),
    "deadline_now": ("tenggat sekarang", "now due"),
    "reason": ("alasan", "reason"),
    "error": ("galat", "error"),
}
#: What a line of history says happened; the words of the moves themselves tell somebody to do it.
_HAPPENED = {
    "acknowledge": ("Ditanggapi", "Acknowledged"),
    "ask_completion": ("Kelengkapan diminta", "Completion asked for"),
    "resume": ("Dilanjutkan", "Resumed"),
    "register": ("Didaftarkan sebagai perkara", "Registered as a case"),
    "close": ("Ditutup", "Closed"),
    "reopen": ("Dibuka kembali", "Reopened"),
    "met": ("Sudah dilakukan", "Done"),
}
_ACTORS = {
    "source": ("aplikasi kota", "city app"),
    "clock": ("otomatis, tenggat lewat", "automatic, deadline passed"),
    "system": ("otomatis", "automatic"),
    "cli": ("dari server", "at the server"),
}


@dataclass(frozen=True)
class Countdown:
    """The running clock that ends first: seconds left (of working time if `working`), negative once it is late."""

    kind: str
    deadline_at: datetime
    left_s: float
    level: int
    working: bool

    @property
    def late(self) -> bool:
        """Tell whether the deadline has passed."""
        return self.left_s < 0

    def ends_on_day_of(self, now: datetime) -> bool:
        """Tell whether the deadline is still ahead, but today in Jakarta."""
        return not self.late and self.deadline_at.astimezone(ZONE).date() == now.astimezone(ZONE).date()


def countdown(owed: list[Obligation], book: Rulebook, now: datetime) -> Countdown | None:
    """Return the clock the office should look at, or None when none runs.

    Raises:
        UnknownVersion: a clock was started by a process with newer files than this one.
    """
    running = [o for o in owed if o.state is ClockState.RUNNING]
    if not running:
        return None
    soonest = min(running, key=lambda o: o.deadline_at)
    left_s, working = _left_s(soonest, book, now)
    return Countdown(soonest.kind, soonest.deadline_at, left_s, soonest.level, working)


def _left_s(obligation: Obligation, book: Rulebook, now: datetime) -> tuple[float, bool]:
    policy, calendar = book.frozen(obligation)
    deadline_at = obligation.deadline_at
    if policy.span.unit is not Unit.WALL_SECONDS:
        left_s = calendar.elapsed(now, deadline_at) - calendar.elapsed(deadline_at, now)
        if left_s:
            return left_s, True
    # A clock of seconds, or a deadline in the same closed hours as now: the wall clock says how long.
    return (deadline_at - now).total_seconds(), False


def used_percent(obligation: Obligation, book: Rulebook, now: datetime) -> int:
    """Return how much of a clock's span has been used, 0 to 100, measured as the clock counts."""
    policy, calendar = book.frozen(obligation)
    until = obligation.ended_at or now
    if until >= obligation.deadline_at:
        return 100
    if policy.span.unit is Unit.WALL_SECONDS:
        total = (obligation.deadline_at - obligation.started_at).total_seconds()
        used = (until - obligation.started_at).total_seconds()
    else:
        total = calendar.elapsed(obligation.started_at, obligation.deadline_at)
        used = calendar.elapsed(obligation.started_at, until)
    return max(0, min(100, round(100 * used / (total or 1))))


def shown_report(row: Mapping[str, Any], book: Rulebook, names: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """Return what a list shows of a report."""
    outcome = Outcome(row["outcome"]) if row["outcome"] else None
    return {
        **row,
        "words": words_for(Status(row["status"]), outcome),
        "assignee_name": names.get(row["assignee"] or "", row["assignee"]),
        "countdown": countdown(row["obligations"], book, now),
    }


def happened(event: str, language: str) -> str:
    """Return what a line of history says happened."""
    return _HAPPENED[event][language == "en"] if event in _HAPPENED else say(event, language)


def actor_name(actor: str, names: Mapping[str, str], language: str) -> str:
    """Return who did something, in words: a name, or what kind of thing it was."""
    kind, _, which = actor.partition(":")
    if kind not in _ACTORS:
        return names.get(which, which or kind)
    said = _ACTORS[kind][language == "en"]
    return f"{said} ({which})" if which and kind != "clock" else said


def facts_of(data: Mapping[str, Any], names: Mapping[str, str], language: str) -> Iterator[str]:
    """Yield what a line of history tells, like `kepada: Ani Rahmawati`."""
    for key, value in data.items():
        if key in _FACTS and value not in (None, "", []):
            yield f"{_FACTS[key][language == 'en']}: {_value(key, value, names, language)}"


def _value(key: str, value: Any, names: Mapping[str, str], language: str) -> str:
    if isinstance(value, list | tuple):
        return "; ".join(str(one).replace("_", " ") for one in value)
    if key == "outcome":
        words = OUTCOME_WORDS[Outcome(value)]
        return words.en if language == "en" else words.id
    if key == "kind":
        return say(str(value), language)
    if key in ("deadline_was", "deadline_now"):
        return when(datetime.fromisoformat(value), language)
    return names.get(value, str(value)) if key in ("of", "to") else str(value)
