"""The account of a clock in words: every line in both languages, and sums that can be checked by hand."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from bridge.clock_words import Entry, ladder, ledger, local, office_names, span_words, state_words
from bridge.reports.clocks import ClockState, Kind, Pause, Policy, end, parse_span, pause, start_clock
from bridge.reports.daycounts import DayCount
from bridge.reports.escalation import fire
from bridge.reports.explaining import Account, account, foreseen
from bridge.step_words import duration, target, who
from tests.unit.given import (
    ACKNOWLEDGE,
    ANI,
    BUDI,
    EVERYBODY,
    KETUA,
    MONDAY,
    REPORT_ID,
    a_calendar,
    a_clock,
    a_desk,
    a_policy,
    a_report,
    a_rulebook,
)

NAMES = {person.person_id: person.name for person in EVERYBODY}
DECREE = {date(2026, 11, 24): "Cuti bersama (SKB 1/2026)", date(2026, 11, 28): "Hari Raya"}
PAUSES = (
    Pause(MONDAY + timedelta(hours=1), MONDAY + timedelta(hours=2), "person:ani", "KTP"),
    Pause(MONDAY + timedelta(hours=9), MONDAY + timedelta(hours=10), "source:qlue", ""),
    Pause(MONDAY + timedelta(hours=60), None, "cli:root", "kuitansi"),
)


def explained(policy: Policy, *pauses: Pause, at: datetime = MONDAY) -> Account:
    """An account in a calendar with a day of joint leave."""
    calendar = a_calendar(DECREE)
    rulebook = a_rulebook(policy)
    rulebook.calendar_versions["office@1"] = calendar
    clock = start_clock(REPORT_ID, policy, calendar, cycle=1, now=at)
    clock = replace(clock, pauses=pauses, state=ClockState.RUNNING)
    clock = replace(clock, deadline_at=account(clock, rulebook).lines[-1].at)
    return account(clock, rulebook, (), foreseen(a_report(), [clock], rulebook, a_desk(), now=at))


def shown(entries: list[Entry]) -> list[str]:
    return [f"{entry}{f' +{entry.counted} = {entry.total}' if entry.counted else ''}" for entry in entries]


def test_account_of_working_hours_reads_as_people_would_say_it() -> None:
    found = explained(ACKNOWLEDGE, PAUSES[0], at=MONDAY + timedelta(hours=0, minutes=0, seconds=30))
    assert shown(ledger(found, "id", NAMES)) == [
        "Sen, 23 Nov 2026 10.00.30 WIB: jam mulai: laporan diterima",
        "jangka waktu 4 jam kerja",
        "Sen, 23 Nov 2026: dihitung 10.00.30–11.00, 12.00–15.00.30 +4 j = 4 j",
        "Sen, 23 Nov 2026 11.00 WIB: berhenti sampai Sen, 23 Nov 2026 12.00 WIB, oleh Ani: KTP. 1 j tidak dihitung",
        "Sen, 23 Nov 2026 15.00.30 WIB: tenggat",
    ]
    assert shown(ledger(found, "en", NAMES))[2:4] == [
        "Mon, 23 Nov 2026: counted 10:00:30–11:00, 12:00–15:00:30 +4 h = 4 h",
        "Mon, 23 Nov 2026 11:00 WIB: stood still until Mon, 23 Nov 2026 12:00 WIB, by Ani: KTP. 1 h not counted",
    ]


def test_account_of_working_days_names_the_decree_and_the_day_of_receipt() -> None:
    found = explained(a_policy(Kind.TRIAGE, "4 working days"), *PAUSES)
    assert shown(ledger(found, "en", NAMES)) == [
        "Mon, 23 Nov 2026 10:00 WIB: the clock starts: the report was received",
        "the span is 4 working days",
        "Mon, 23 Nov 2026: the day it starts is day 0 and does not count",
        "Mon, 23 Nov 2026 11:00 WIB: stood still until Mon, 23 Nov 2026 12:00 WIB, by Ani: KTP. This moved nothing",
        "Mon, 23 Nov 2026 19:00 WIB: stood still until Mon, 23 Nov 2026 20:00 WIB, by the city app: –. This moved nothing",
        "Tue, 24 Nov 2026: day off: Cuti bersama (SKB 1/2026)",
        "Wed, 25 Nov 2026: working day 1 +1 day = 1 day",
        "Wed, 25 Nov 2026 22:00 WIB: stands still, by the server: kuitansi. The deadline moves for as long as it lasts",
        "Thu, 26 Nov 2026: working day 2 +1 day = 2 days",
        "Fri, 27 Nov 2026: working day 3 +1 day = 3 days",
        "Sat, 28 Nov 2026: day off: Hari Raya (no working day anyway)",
        "Sun, 29 Nov 2026: no working day",
        "Mon, 30 Nov 2026: working day 4 +1 day = 4 days",
        "Mon, 30 Nov 2026 17:00 WIB: the deadline",
    ]


RULES = [
    (DayCount(from_same_day=True), "the day it starts counts"),
    (DayCount(cut_off=540), "started after the cut-off at 09:00: taken as started on the next working day"),
    (DayCount(cut_off=540), "taken as started on this day: day 0, which does not count"),
    (DayCount(same_time=True), "the deadline, at the hour it started"),
]


@pytest.mark.parametrize(("days", "said"), RULES)
def test_rule_of_the_policy_is_told_where_it_matters(days: DayCount, said: str) -> None:
    policy = replace(a_policy(Kind.TRIAGE, "2 working days"), days=days)
    assert said in [entry.text for entry in ledger(explained(policy), "en", NAMES)]


def test_what_is_shown_adds_up_although_it_is_rounded() -> None:
    odd = [
        Pause(MONDAY + timedelta(seconds=1000 * n + 0.4), MONDAY + timedelta(seconds=1000 * n + 0.9), "person:ani", "")
        for n in range(1, 8)
    ]
    counted = [x for x in ledger(explained(a_policy(Kind.ACKNOWLEDGE, "3 hours"), *odd), "en", NAMES) if x.counted]
    assert len(counted) == 8
    assert sum(_seconds(entry.counted) for entry in counted) == _seconds(counted[-1].total) == 3 * 3600


def _seconds(text: str) -> int:
    return sum(int(number) * {"h": 3600, "m": 60, "s": 1}[unit] for number, unit in re.findall(r"(\d+) ([hms])", text))


LADDER = a_policy(
    Kind.ACKNOWLEDGE, "1 hour", ("30 minutes", "assignee", "warn"), ("1 hour", "next_member", "both"), ("2 hours", "role:chair", "notify"),
    ("3 hours", "role:chair", "notify"), ("4 hours", "person:budi", "reassign"), ("5 hours", "office:bpsk-dki", "notify"), ("6 hours", "person:nobody", "notify"),
    ("7 hours", "citizen", "notify"),
)  # fmt: skip


def test_ladder_to_come_names_who_would_be_reached() -> None:
    names = NAMES | office_names(a_rulebook())
    assert [entry.text for entry in ladder(explained(LADDER), "en", names)] == [
        "warning: the assignee (Ani) will be warned",
        "level 1: the next member (Budi) will be notified and take it over",
        "level 2: Chair of BPSK (Ketua) will be notified",
        "level 3: Chair of BPSK (Ketua) will be notified",
        "level 4: Budi will take it over",
        "level 5: BPSK DKI Jakarta (Sekar) will be notified",
        "level 6: nobody, nobody there",
        "level 7: the consumer will be notified",
    ]
    assert [entry.text for entry in ladder(explained(LADDER), "id", names)][:3] == [
        "peringatan: petugas yang memegang (Ani) akan diingatkan",
        "tingkat 1: anggota berikutnya (Budi) akan diberitahu dan menerima laporan ini",
        "tingkat 2: Ketua BPSK (Ketua) akan diberitahu",
    ]


def test_ladder_that_fired_tells_how_late_and_what_an_outage_left_out() -> None:
    rulebook = a_rulebook()
    clock = start_clock(REPORT_ID, ACKNOWLEDGE, a_calendar(), cycle=1, now=MONDAY)
    changes = fire(
        clock, [], a_report(), rulebook, a_desk(ANI, BUDI, KETUA), now=MONDAY + timedelta(hours=5, seconds=10)
    )
    found = account(changes.obligations[0], rulebook, changes.escalations)
    assert [entry.text for entry in ladder(found, "en", NAMES)] == [
        "warning: passed over, it was late already",
        "level 1: the next member (Budi), notified and reassigned, late by 1 h 10 s",
    ]
    assert "terlambat 1 j 10 d" in ladder(found, "id", NAMES)[1].text


def test_rung_that_is_repeated_says_how_often() -> None:
    steps = tuple(replace(LADDER.steps[3], at=parse_span(f"{n} hours"), again=n - 3) for n in (3, 4))
    found = explained(replace(LADDER, steps=steps))
    assert [entry.text.partition(":")[0] for entry in ladder(found, "id", NAMES)] == [
        "tingkat 3",
        "tingkat 3, ulangan 1",
    ]
    assert ladder(found, "en", NAMES)[1].text.startswith("level 3, again 1:")


def test_promise_says_whose_rule_it_is_and_whether_somebody_compared_it() -> None:
    policy = replace(a_policy(Kind.DECISION, "21 working days"), source="UU 8/1999 pasal 55", verified=True)
    said = ledger(explained(policy), "id", NAMES)[1].text
    assert said == "jangka waktu 21 hari kerja (UU 8/1999 pasal 55; sudah dicocokkan dengan naskahnya)"
    said = ledger(explained(replace(policy, verified=False)), "en", NAMES)[1].text
    assert said == "the span is 21 working days (UU 8/1999 pasal 55; not yet compared with the text)"


@pytest.mark.parametrize(
    ("kind", "source", "verified", "said"),
    [
        (Kind.SUMMONS, "", False, " (belum dicocokkan dengan naskah)"),
        (Kind.TRIAGE, "", False, ""),
        (Kind.TRIAGE, "janji layanan", False, " (janji layanan)"),
        (Kind.TRIAGE, "janji layanan", True, " (janji layanan; sudah dicocokkan dengan naskahnya)"),
    ],
)
def test_only_of_the_laws_clocks_it_is_told_that_nobody_compared_them(
    kind: Kind, source: str, verified: bool, said: str
) -> None:
    policy = replace(a_policy(kind, "3 working days"), source=source, verified=verified)
    assert ledger(explained(policy), "id", NAMES)[1].text == f"jangka waktu 3 hari kerja{said}"


def test_deadline_that_is_another_one_on_record_says_so() -> None:
    found = explained(ACKNOWLEDGE)
    other = replace(found.obligation, deadline_at=MONDAY)
    said = ledger(account(other, a_rulebook()), "en", NAMES)[-1].text
    assert said == "the deadline; on record: Mon, 23 Nov 2026 10:00 WIB"


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (False, "stands still, by Ani: KTP. The deadline moves for as long as it lasts"),
        (True, "stood still until the clock ended, Mon, 23 Nov 2026 12:00 WIB, by Ani: KTP"),
    ],
)
def test_clock_that_ended_while_it_stood_still_does_not_stand_still_any_more(ended: bool, said: str) -> None:
    clock = pause(a_clock(), now=MONDAY + timedelta(hours=1), by="person:ani", reason="KTP")
    if ended:
        clock = end(clock, ClockState.CANCELLED, now=MONDAY + timedelta(hours=2), by="person:ani")
    assert said in [entry.text for entry in ledger(account(clock, a_rulebook()), "en", NAMES)]


def test_clock_that_runs_although_everybody_was_told_says_so() -> None:
    clock = a_clock()
    assert [state_words(one, "en") for one in (clock, replace(clock, next_due=None))] == [
        "running",
        "running, everybody has been told",
    ]
    assert state_words(replace(clock, next_due=None), "id") == "berjalan, semua sudah diberitahu"
    assert state_words(replace(clock, next_due=None, state=ClockState.PAUSED), "id") == "berhenti sementara"


def test_times_are_the_offices_own_wherever_it_is() -> None:
    at = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
    assert local(at, "Asia/Makassar", "id") == "Sen, 23 Nov 2026 11.00 WITA"
    assert local(at, "Europe/Amsterdam", "en") == "Mon, 23 Nov 2026 04:00 CET"


@pytest.mark.parametrize(
    ("seconds", "id_", "en"),
    [
        (0, "0 d", "0 s"),
        (4805, "1 j 20 m 5 d", "1 h 20 m 5 s"),
        (7200, "2 j", "2 h"),
        (90_061, "25 j 1 m 1 d", "25 h 1 m 1 s"),
    ],
)
def test_durations_are_whole(seconds: int, id_: str, en: str) -> None:
    assert (duration(seconds, "id"), duration(seconds, "en")) == (id_, en)


@pytest.mark.parametrize(
    ("span", "said"),
    [
        ("4 working hours", "4 jam kerja"),
        ("21 working days", "21 hari kerja"),
        ("1 minute", "1 menit"),
        ("8 seconds", "8 detik"),
        ("48 hours", "48 jam"),
    ],
)
def test_spans_are_said_in_indonesian(span: str, said: str) -> None:
    assert (span_words(parse_span(span), "id"), span_words(parse_span(span), "en")) == (said, span)


def test_office_nobody_named_is_shown_by_its_id() -> None:
    assert target("office:dinas", "id", {}) == "dinas"


@pytest.mark.parametrize(
    ("actor", "said"), [("person:ani", "Ani"), ("person:gone", "gone"), ("cli:root", "the server"), ("clock:completion", "a clock"), ("source:qlue", "the city app"), ("merged:K7Q2-9XWM-4T8R", "merged into K7Q2-9XWM-4T8R"), ("system", "system")]
)  # fmt: skip
def test_whoever_did_it_has_a_name(actor: str, said: str) -> None:
    assert who(actor, "en", NAMES) == said
