"""What the city and the citizen are told: a sentence for every state, in two languages, and nobody's data."""

import json
from datetime import timedelta
from typing import Any

import pytest

from bridge.reports.clocks import ClockState, Kind
from bridge.reports.feedback import awaited_deadline, message, next_step, status_data, told_city
from bridge.reports.report import Changes, Delivery, Purpose
from bridge.reports.states import Outcome, Status
from schemas.city import StatusChangedSchema
from tests.unit.given import ACKNOWLEDGE, COMPLETION, DECISION, MONDAY, TRIAGE, a_case, a_clock, a_report

STANDINGS: list[tuple[Status, Outcome | None]] = [
    *((status, None) for status in Status if status is not Status.CLOSED),
    *((Status.CLOSED, outcome) for outcome in Outcome),
]
CLOCKS = [a_clock(policy) for policy in (ACKNOWLEDGE, TRIAGE, COMPLETION, DECISION)]


@pytest.mark.parametrize("language", ["id", "en"])
@pytest.mark.parametrize(("status", "outcome"), STANDINGS)
def test_city_is_told_sentence_and_next_step_in_every_state(
    status: Status, outcome: Outcome | None, language: str
) -> None:
    report = a_report(status=status, outcome=outcome, missing=("KTP", "kuitansi"))
    other = "en" if language == "id" else "id"
    for say in (message, next_step):
        assert say(report, language).endswith(".")
        assert "{" not in say(report, language)
        assert say(report, language) != say(report, other)


@pytest.mark.parametrize(("status", "outcome"), STANDINGS)
def test_city_is_told_no_personal_data_in_any_state(status: Status, outcome: Outcome | None) -> None:
    report = a_report(status=status, outcome=outcome, case_number="17/BPSK/2026", location={"area": "31.74.05"})
    told = json.dumps(status_data(report, CLOCKS, now=MONDAY, escalated_to="chair"))
    private = [report.title, report.description, "17/BPSK", "31.74.05", "12500000", "ani"]
    private += [str(value) for value in (*report.reporter.values(), *report.business.values())]
    assert [word for word in private if word in told] == []


@pytest.mark.parametrize(("status", "outcome"), STANDINGS)
def test_what_the_city_is_told_keeps_the_published_contract(status: Status, outcome: Outcome | None) -> None:
    data = status_data(a_report(status=status, outcome=outcome), CLOCKS, now=MONDAY)
    event = {
        "type": "report.status_changed",
        "timestamp": MONDAY.isoformat(),
        "data": {**data, "track_url": "https://bpsk.example/track/K7Q2-9XWM-4T8R"},
    }
    assert StatusChangedSchema().load(json.loads(json.dumps(event)))["data"]["id"] == "QL-88121"


def test_outcome_in_a_sentence_keeps_the_name_of_the_office() -> None:
    report = a_report(status=Status.CLOSED, outcome=Outcome.NOT_COMPETENT)
    assert message(report, "en") == "Your report is closed: not within BPSK's competence."
    assert message(report, "id") == "Laporan Anda sudah selesai: bukan wewenang BPSK."


def test_citizen_is_asked_for_exactly_what_is_missing() -> None:
    report = a_report(status=Status.NEEDS_COMPLETION, missing=("KTP {asli}", "kuitansi"))
    assert "KTP {asli}; kuitansi" in next_step(report, "id")


@pytest.mark.parametrize("outcome", [Outcome.NOT_COMPETENT, Outcome.REFERRED])
def test_citizen_refused_here_is_told_where_to_go_instead(outcome: Outcome) -> None:
    report = a_report(status=Status.CLOSED, outcome=outcome)
    assert "LAPS SJK" in next_step(report, "id")
    assert "police" in next_step(report, "en")


AWAITED = [
    (Status.RECEIVED, Kind.ACKNOWLEDGE),
    (Status.ACKNOWLEDGED, Kind.TRIAGE),
    (Status.NEEDS_COMPLETION, Kind.COMPLETION),
    (Status.REGISTERED, Kind.DECISION),
    (Status.CLOSED, None),
]


@pytest.mark.parametrize(("status", "kind"), AWAITED)
def test_citizen_waits_for_the_deadline_of_the_present_state(status: Status, kind: Kind | None) -> None:
    case = a_case(status)
    expected = case.clocks[kind].deadline_at if kind else None
    assert awaited_deadline(case.report, case.clocks.values()) == expected
    told = status_data(case.report, case.clocks.values(), now=MONDAY)["due_at"]
    assert told == (expected.isoformat() if expected else None)


@pytest.mark.parametrize("change", [{"cycle": 2}, {"state": ClockState.PAUSED}, {"state": ClockState.MET}], ids=str)
def test_clock_that_does_not_run_in_this_cycle_promises_nothing(change: dict[str, Any]) -> None:
    assert awaited_deadline(a_report(), [a_clock(**change)]) is None


def test_each_callback_has_the_next_number_and_its_own_key() -> None:
    changes, report = Changes(), a_report(sequence=6)
    for _ in range(2):
        report = told_city(changes, report, CLOCKS, told_back=frozenset({"qlue"}), now=MONDAY, escalated_to="chair")
    assert report.sequence == 8
    assert [d.payload["sequence"] for d in changes.deliveries] == [7, 8]
    assert len({d.dedupe_key for d in changes.deliveries}) == 2
    first = changes.deliveries[0]
    assert (first.purpose, first.channel, first.recipient) == (Purpose.CALLBACK, "webhook", "qlue")
    assert first.payload["escalated_to"] == "chair"


def test_callback_is_written_down_whole() -> None:
    changes, later = Changes(), MONDAY + timedelta(minutes=5)
    report = a_report(sequence=6, cycle=2, status=Status.CLOSED, outcome=Outcome.SETTLED, language="en")
    told_city(changes, report, CLOCKS, told_back=frozenset({"qlue"}), now=later)
    assert changes.deliveries == [
        Delivery(
            report_id=report.report_id,
            ticket=report.ticket,
            cycle=2,
            purpose=Purpose.CALLBACK,
            event="status_changed",
            channel="webhook",
            recipient="qlue",
            dedupe_key=f"callback/{report.report_id}/7",
            created_at=later,
            payload={
                "id": "QL-88121",
                "ticket": "K7Q2-9XWM-4T8R",
                "sequence": 7,
                "status": "closed",
                "outcome": "settled",
                "colour": "hijau",
                "label": {"id": "Perdamaian tercapai", "en": "Settled"},
                "message": "Your report is closed: settled.",
                "next_step": "Nothing more is needed from you.",
                "due_at": None,
                "escalated_to": None,
                "occurred_at": "2026-11-23T03:05:00+00:00",
            },
            sequence=7,
        )
    ]


def test_every_destination_of_the_source_is_told_the_same_under_its_own_key_and_no_other_is() -> None:
    changes, told_back = Changes(), frozenset({"qlue/kelurahan", "qlue", "qlue/dinas", "jaki", "jaki/qlue", "qluelain"})
    report = told_city(changes, a_report(sequence=6), CLOCKS, told_back=told_back, now=MONDAY)
    assert [(d.recipient, d.dedupe_key) for d in changes.deliveries] == [
        ("qlue", f"callback/{report.report_id}/7"),
        ("qlue/dinas", f"callback/{report.report_id}/7/dinas"),
        ("qlue/kelurahan", f"callback/{report.report_id}/7/kelurahan"),
    ]
    assert [d.payload for d in changes.deliveries] == [status_data(report, CLOCKS, now=MONDAY)] * 3


def test_citizen_of_whom_nothing_certain_is_missing_is_asked_all_the_same() -> None:
    report = a_report(status=Status.NEEDS_COMPLETION, missing=())
    assert next_step(report, "en") == "Please complete what is asked before the deadline: -."


def test_city_without_a_callback_address_is_not_counted_as_told() -> None:
    changes, report = Changes(), a_report(sequence=6)
    assert told_city(changes, report, CLOCKS, told_back=frozenset({"jaki"}), now=MONDAY) is report
    assert changes.deliveries == []


def test_told_times_are_instants_with_a_zone() -> None:
    data = status_data(a_report(), CLOCKS, now=MONDAY + timedelta(seconds=1))
    assert data["due_at"] == "2026-11-23T07:00:00+00:00"
    assert data["occurred_at"] == "2026-11-23T03:00:01+00:00"
