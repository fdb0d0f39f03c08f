"""Forgetting a report: what may name somebody goes, what is counted stays."""

from dataclasses import fields

import pytest

from bridge.forgetting import is_about
from bridge.reports.forgetting import FORGOTTEN_TEXT, forget
from bridge.reports.intake import Effect, EventType, existing_report
from bridge.reports.merging import NotPossible
from bridge.reports.moves import Actor
from bridge.reports.report import Changes, Event, Report
from bridge.reports.states import Outcome, Status
from tests.unit.given import MONDAY, a_report, a_rulebook, an_event

ADI = Actor("person:adi")
GONE = {"title", "description", "reporter", "business", "location", "attachments", "forgotten_at"}


def closed() -> Report:
    return a_report(
        status=Status.CLOSED,
        outcome=Outcome.SETTLED,
        reporter={"domicile": "31.74", "anonymous": False, "sealed": "gAAAAA", "mark": "m", "consumer": "c"},
        business={"name": "PT Maju", "address": "Jl. Kenari 7"},
        location={"area": "31.74.05", "lat": -6.26, "lon": 106.81},
        attachments=({"url": "https://city.example/1.jpg"},),
    )


def test_whatever_may_name_somebody_goes_and_the_figures_stay() -> None:
    before = closed()
    after = forget(before, ADI, now=MONDAY, reason="asked for").reports[before.report_id]
    assert (after.title, after.description, after.attachments) == (FORGOTTEN_TEXT, FORGOTTEN_TEXT, ())
    assert (after.reporter, after.location) == ({"domicile": "31.74", "anonymous": False}, {"area": "31.74.05"})
    assert (after.business, after.forgotten_at) == ({"name": "PT Maju"}, MONDAY)
    for name in {field.name for field in fields(Report)} - GONE:
        assert getattr(after, name) == getattr(before, name)


def test_history_says_who_and_why_and_nothing_of_what_went() -> None:
    report = closed()
    expected = Event(report.report_id, 1, "forgotten", "person:adi", MONDAY, {"reason": "asked for"})
    assert forget(report, ADI, now=MONDAY, reason=" asked for ").history == [expected]


def test_forgotten_report_is_not_forgotten_twice() -> None:
    assert forget(a_report(forgotten_at=MONDAY), ADI, now=MONDAY, reason="again") == Changes()


def test_open_report_is_forgotten_only_if_that_is_meant() -> None:
    with pytest.raises(NotPossible, match=r"^the report is open and somebody still works on it; close it first$"):
        forget(a_report(), ADI, now=MONDAY, reason="asked for")
    assert forget(a_report(), ADI, now=MONDAY, reason="asked for", even_open=True).reports


def test_nobody_forgets_without_a_reason() -> None:
    with pytest.raises(NotPossible, match=r"^say why; it is kept in the history$"):
        forget(closed(), ADI, now=MONDAY, reason="  ")


@pytest.mark.parametrize("kind", [EventType.AMENDED, EventType.SUBMITTED])
def test_what_the_city_sends_later_does_not_bring_it_back(kind: EventType) -> None:
    changes, effect = existing_report(
        an_event(kind, 9, title="Siti"), a_report(forgotten_at=MONDAY), [], a_rulebook(), now=MONDAY
    )
    assert effect is Effect.LATE
    assert (changes.reports, [line.event for line in changes.history]) == ({}, ["late_event"])


ABOUT = [
    (b'{"data": {"id": "QL-1"}}', True),
    (b'{"data": {"id": "QL-12", "title": "QL-1 again"}}', False),
    (b'[{"deep": ["QL-1"]}]', True),
    (b'{"id": "QL-1"', True),
    (b"service_request=QL-1&x=1", True),
    (b"QL-12 and xQL-1", False),
    (b"\xff QL-1", True),
    (b"", False),
]


@pytest.mark.parametrize(("body", "about"), ABOUT)
def test_body_is_about_the_report_whose_id_it_names_and_no_other(body: bytes, about: bool) -> None:
    assert is_about(body, "QL-1") is about


def test_number_that_is_the_id_is_one() -> None:
    assert is_about(b'{"id": 88121}', "88121")
