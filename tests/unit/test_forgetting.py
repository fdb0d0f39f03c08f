"""Forgetting a report: what may name somebody goes, what is counted stays."""

from dataclasses import fields

import pytest

from bridge.arrivals import Arrivals
from bridge.forgetting import Kept, mentions, whose
from bridge.reports.forgetting import FORGOTTEN_TEXT, About, Fate, fate, forget
from bridge.reports.intake import Effect, EventType, existing_report
from bridge.reports.merging import NotPossible
from bridge.reports.moves import Actor
from bridge.reports.report import Changes, Event, Report
from bridge.reports.states import Outcome, Status
from tests.unit.given import MONDAY, a_report, a_rulebook, an_event

ADI = Actor("person:adi")
ARRIVALS = Arrivals.under(b"t" * 32)
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


ABOUT: list[tuple[bytes, About]] = [
    (b'{"data": {"id": "88121"}}', About.THIS),
    (b'{"data": {"id": 88121}}', About.THIS),
    (b'{"data": {"id": 7, "amount_idr": 88121}}', About.ANOTHER),
    (b'{"data": {"id": "QL-12", "title": "88121"}}', About.ANOTHER),
    (b'{"data": {"id": "", "title": "88121"}}', About.PERHAPS),
    (b'{"data": {"id": true, "title": "88121"}}', About.PERHAPS),
    (b'{"id": 88121}', About.PERHAPS),
    (b'[{"deep": ["88121"]}]', About.PERHAPS),
    (b'{"id": "88121"', About.PERHAPS),
    (b"service_request=88121&x=1", About.PERHAPS),
    (b"\xff 88121", About.PERHAPS),
    (b"88121-2 and x88121", About.NOBODY),
    (b'{"data": {"title": "T"}}', About.NOBODY),
    (b"", About.NOBODY),
]


@pytest.mark.parametrize(("body", "expected"), ABOUT)
def test_body_is_the_reports_only_where_the_id_stands_at_its_place(body: bytes, expected: About) -> None:
    report = a_report(source="qlue", external_id="88121")
    assert whose(ARRIVALS, Kept("qlue", "msg_1", body), report) is expected


def test_id_of_another_source_is_another_id() -> None:
    report = a_report(source="qlue", external_id="88121")
    assert whose(ARRIVALS, Kept("jaki", "msg_1", b'{"data": {"id": "88121"}}'), report) is About.ANOTHER
    assert whose(ARRIVALS, Kept("qlue", "msg_1", None), report) is About.NOBODY


def test_report_that_took_its_id_from_the_webhooks_is_known_by_that() -> None:
    """An Open311 form need not name a number of the sender's."""
    arrivals = Arrivals.under(b"t" * 32, payloads={"open311": lambda _, webhook_id: {"data": {"id": webhook_id}}})
    report = a_report(source="open311", external_id="open311-1")
    assert whose(arrivals, Kept("open311", "open311-1", b"a=b"), report) is About.THIS
    assert whose(arrivals, Kept("open311", "open311-2", b"a=b"), report) is About.ANOTHER


@pytest.mark.parametrize("body", [rb'{"x": "a\/\u00e9"}', '{"x": "a/é"'.encode(), rb'{"x": "a/\u00e9"'])
def test_id_is_found_however_json_writes_it(body: bytes) -> None:
    assert mentions(body, "a/é")


FATES = [
    ([About.THIS], Fate.ERASED, Fate.ERASED),
    ([About.THIS, About.THIS], Fate.ERASED, Fate.ERASED),
    ([About.NOBODY, About.THIS], Fate.ERASED, Fate.SHARED),
    ([About.PERHAPS, About.THIS], Fate.ERASED, Fate.SHARED),
    ([About.ANOTHER, About.THIS], Fate.SHARED, Fate.SHARED),
    ([About.PERHAPS], Fate.SIMILAR, Fate.SIMILAR),
    ([About.PERHAPS, About.ANOTHER], Fate.LEFT, Fate.SIMILAR),
    ([About.ANOTHER], Fate.LEFT, Fate.LEFT),
    ([About.NOBODY], Fate.LEFT, Fate.LEFT),
    ([], Fate.LEFT, Fate.LEFT),
]


@pytest.mark.parametrize(("bodies", "as_webhook", "as_letter"), FATES)
def test_only_what_is_about_nobody_else_is_erased(bodies: list[About], as_webhook: Fate, as_letter: Fate) -> None:
    assert (fate(bodies, whole=True), fate(bodies, whole=False)) == (as_webhook, as_letter)
