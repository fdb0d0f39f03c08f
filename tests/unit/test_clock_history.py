"""What a report's history tells of its clocks: the account names whose clock it was, what moved it, who hurried it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from bridge.clock_words import ladder, ledger, office_names
from bridge.reports.clocks import Kind, Obligation
from bridge.reports.escalation import fire, hurry
from bridge.reports.explaining import account, foreseen
from bridge.reports.merging import merge, transfer
from bridge.reports.report import Changes, Escalation, Event
from bridge.reports.rulebook import Office
from tests.unit.given import (
    EVERYBODY,
    MONDAY,
    REPORT_ID,
    TRIAGE,
    a_clock,
    a_desk,
    a_policy,
    a_report,
    a_rulebook,
    an_actor,
)

SEKAR = an_actor("person:sekar")
NOW = MONDAY + timedelta(hours=2)
BOOK = a_rulebook()
BOOK.offices["bandung"] = Office("bandung", "BPSK Bandung", "office")
NAMES = {person.person_id: person.name for person in EVERYBODY} | office_names(BOOK)
OTHER = a_report(report_id="other", ticket="4TZ9-K2M7-0HQ3")


def merged(own: Obligation, earlier: Obligation) -> Changes:
    owed = {REPORT_ID: [own], "other": [replace(earlier, report_id="other")]}
    return merge(OTHER, a_report(), owed, BOOK, SEKAR, now=NOW, reason="satu pengaduan")


def taken_over() -> tuple[Obligation, list[Event]]:
    """The clock of a report that took over another's, started three days earlier, and the report's history."""
    changes = merged(a_clock(), a_clock(at=MONDAY - timedelta(days=3)))
    (clock,) = [o for o in changes.obligations if o.report_id == REPORT_ID]
    return clock, [event for event in changes.history if event.report_id == REPORT_ID]


def told(clock: Obligation, history: Sequence[Event], language: str = "en", what: str = "") -> list[str]:
    """The lines of its account, or those about one thing."""
    lines = ledger(account(clock, BOOK, history=history), language, NAMES)
    return [str(entry) for entry in lines if what in ("", entry.line.what)]


def climbed(clock: Obligation, log: Sequence[Escalation], history: Sequence[Event], language: str = "en") -> list[str]:
    return [entry.text for entry in ladder(account(clock, BOOK, log, history=history), language, NAMES)]


# --- whose clock it was -----------------------------------------------------------------------------------------------


def test_clock_that_was_taken_over_names_whose_it_was_and_since_when_it_ran() -> None:
    clock, history = taken_over()
    assert told(clock, history)[0] == (
        "Fri, 20 Nov 2026 10:00 WIB: the clock starts: that of 4TZ9-K2M7-0HQ3, which this report took over later"
    )
    assert told(clock, history, what="took_over") == [
        "Mon, 23 Nov 2026 12:00 WIB: took over the clock of 4TZ9-K2M7-0HQ3 "
        "(running since Fri, 20 Nov 2026 10:00 WIB), by Sekar: satu pengaduan"
    ]
    assert told(clock, history, "id", "start")[0].endswith(
        "jam mulai: jam laporan 4TZ9-K2M7-0HQ3, yang kemudian diambil alih"
    )
    assert "mengambil alih jam laporan 4TZ9-K2M7-0HQ3 (berjalan sejak Jum, 20 Nov 2026 10.00 WIB)" in " ".join(
        told(clock, history, "id", "took_over")
    )


def test_of_two_clocks_taken_over_only_the_last_tells_since_when_it_ran() -> None:
    clock, (event, _) = taken_over()
    first = replace(event, at=NOW - timedelta(minutes=1), data={**event.data, "of": "K7Q2-0000-0000"})
    lines = told(clock, [first, event], what="took_over")
    assert ["running since" in line for line in lines] == [False, True]
    assert "that of 4TZ9-K2M7-0HQ3" in told(clock, [first, event])[0]


def test_clock_the_survivor_kept_is_told_as_its_own() -> None:
    clock = a_clock(TRIAGE)
    _, history = taken_over()
    assert told(clock, history) == told(clock, [])
    assert told(clock, [])[0].endswith("the report was received")


@pytest.mark.parametrize(
    "change",
    [{"cycle": 2}, {"started_at": NOW + timedelta(hours=1)}, {"ended_at": NOW - timedelta(hours=1)}],
    ids=["another cycle", "started again since", "ended before"],
)
def test_what_befell_another_run_of_the_clock_is_not_told_of_this_one(change: dict[str, Any]) -> None:
    _, history = taken_over()
    clock = replace(a_clock(at=NOW - timedelta(hours=2)), **change)
    assert told(clock, history, what="took_over") == []
    assert len(told(a_clock(at=NOW, ended_at=NOW), history, what="took_over")) == 1, "from the start to the end"


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "given to BPSK Bandung, by Sekar: alamat di Bandung. Since then that office's calendar counts for the whole clock"),
        ("id", "dialihkan ke BPSK Bandung, oleh Sekar: alamat di Bandung. Sejak itu kalender kantor itu berlaku untuk seluruh jam"),
    ],
)  # fmt: skip
def test_clock_that_went_to_another_office_tells_since_when_its_calendar_counts(language: str, said: str) -> None:
    changes = transfer(a_report(), [a_clock()], "bandung", BOOK, a_desk(), SEKAR, now=NOW, reason="alamat di Bandung")
    (line,) = told(changes.obligations[0], changes.history, language, "transferred")
    assert line.endswith(said)
    assert ("12:00" if language == "en" else "12.00") in line


# --- sent up early ----------------------------------------------------------------------------------------------------

WARNED = a_policy(
    Kind.ACKNOWLEDGE,
    "4 working hours",
    ("2 working hours", "assignee", "warn"),
    ("4 working hours", "next_member", "both"),
    ("8 working hours", "role:chair", "notify"),
    version="warned@1",
)
BOOK.policy_versions["warned@1"] = WARNED


def hurried() -> Changes:
    now = MONDAY + timedelta(hours=1)
    return hurry(a_clock(WARNED), [], a_report(), BOOK, a_desk(), "person:sekar", now=now, reason="mendesak")


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", ["warning: passed over, nobody was warned, sent up early by Sekar: mendesak",
                "level 1: the next member (Budi), notified and reassigned, sent up early by Sekar: mendesak"]),
        ("id", ["peringatan: dilewati, tidak ada yang diingatkan, dinaikkan lebih awal oleh Sekar: mendesak",
                "tingkat 1: anggota berikutnya (Budi), diberitahu dan dialihkan, dinaikkan lebih awal oleh Sekar: mendesak"]),
    ],
)  # fmt: skip
def test_step_that_was_sent_up_early_names_who_pressed_and_why(language: str, said: list[str]) -> None:
    changes = hurried()
    assert climbed(changes.obligations[0], changes.escalations, changes.history, language) == said


def test_step_that_was_sent_up_early_says_so_even_where_the_history_is_lost() -> None:
    changes = hurried()
    assert climbed(changes.obligations[0], changes.escalations, [])[1].endswith(
        "notified and reassigned, sent up early"
    )


@pytest.mark.parametrize("at", [MONDAY, NOW])
def test_another_press_is_not_told_of_this_step(at: datetime) -> None:
    changes = hurried()
    another = replace(changes.history[-1], at=at, actor="person:ani", data={"kind": "acknowledge", "reason": "lagi"})
    history = sorted([*changes.history, another], key=lambda event: event.at)
    texts = climbed(changes.obligations[0], changes.escalations, history)
    assert all(text.endswith("by Sekar: mendesak") for text in texts)


# --- moved ------------------------------------------------------------------------------------------------------------


def due_moved(**data: Any) -> Event:
    usual = {"kind": "acknowledge", "reason": "x", "deadline_was": "a", "deadline_now": "b", "calendar": "office@2"}
    return Event(REPORT_ID, 1, "due_moved", "cli:root", NOW, usual | data)


def transferred() -> Event:
    return Event(REPORT_ID, 1, "transferred", "person:sekar", NOW, {"of": "bpsk-dki", "to": "bandung", "reason": "x"})


CAUSES = [
    ([due_moved()], " by a new calendar"),
    ([due_moved(policy="acknowledge@2")], " by a new policy"),
    (taken_over()[1], " by taking over another report's clock"),
    ([transferred()], " by going to another office"),
    ([due_moved(kind="triage")], ""),
    ([due_moved(), transferred()], " by going to another office"),
    (
        [due_moved(), Event(REPORT_ID, 1, "unmerged", "person:sekar", NOW, {"of": "K", "reason": "x"})],
        " by taking a merge back",
    ),
    ([replace(due_moved(), at=MONDAY), transferred()], ""),
    ([due_moved(), replace(transferred(), at=NOW + timedelta(hours=1))], " by a new calendar"),
    ([], ""),
]


@pytest.mark.parametrize(("history", "said"), CAUSES)
def test_step_whose_time_was_moved_says_by_what_where_that_is_certain(history: list[Event], said: str) -> None:
    late = NOW + timedelta(minutes=5)
    changes = fire(replace(a_clock(), moved_at=NOW), [], a_report(), BOOK, a_desk(), now=late)
    moved_again = replace(changes.obligations[0], moved_at=late + timedelta(hours=1))
    (text,) = climbed(moved_again, changes.escalations, history)
    assert text == f"warning: the assignee (Ani), warned, its time was moved{said}, late by 5 m"


def test_step_to_come_whose_time_was_moved_says_so_too() -> None:
    clock = replace(a_clock(), moved_at=NOW)
    found = account(clock, BOOK, (), foreseen(a_report(), [clock], BOOK, a_desk(), now=NOW), [due_moved()])
    assert [entry.text for entry in ladder(found, "id", NAMES)][:2] == [
        "peringatan: petugas yang memegang (Ani) akan diingatkan, waktunya sudah digeser oleh kalender baru",
        "tingkat 1: anggota berikutnya (Budi) akan diberitahu dan menerima laporan ini",
    ]


def test_step_to_come_names_the_one_thing_that_moved_it_last() -> None:
    clock = replace(a_clock(), moved_at=NOW)
    earlier = replace(transferred(), at=NOW - timedelta(minutes=5))  # into an office that keeps the same hours
    ahead = foreseen(a_report(), [clock], BOOK, a_desk(), now=NOW)
    found = account(clock, BOOK, (), ahead, [earlier, due_moved()])
    assert ladder(found, "en", NAMES)[0].text.endswith("its time was moved by a new calendar")


@pytest.mark.parametrize(("now", "moved"), [("b", True), ("a", False)])
def test_deadline_is_called_moved_only_if_it_was_and_not_only_the_next_step(now: str, moved: bool) -> None:
    clock = replace(a_clock(), moved_at=NOW)
    (said,) = told(clock, [due_moved(deadline_now=now)], what="deadline")
    assert ("moved (see the timeline) Mon, 23 Nov 2026 12:00 WIB" in said) is moved
    assert said.partition("the deadline")[1]
