"""Intake: what the city says becomes one report, in whatever order it arrives (I30 of reference/escalation.md)."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from bridge.reports.clocks import ClockState, Kind
from bridge.reports.intake import CityEvent, Effect, EventType, existing_report, new_report
from bridge.reports.report import Changes, Delivery, Purpose, Report
from bridge.reports.routing import NoRule, Rule
from bridge.reports.states import Move, Outcome, Status
from tests.unit.given import (
    ANI,
    BUDI,
    MONDAY,
    OFFICE,
    REPORT_ID,
    Case,
    a_case,
    a_desk,
    a_person,
    a_policy,
    a_rulebook,
    absent,
    an_event,
)

SUBMITTED, AMENDED, WITHDRAWN = EventType.SUBMITTED, EventType.AMENDED, EventType.WITHDRAWN
LATER = MONDAY + timedelta(hours=5)


class Office:
    """Takes events in one by one, as the first step of the bridge does: what has no report yet waits for it."""

    def __init__(self) -> None:
        self.case: Case | None = None
        self.waiting: list[CityEvent] = []
        self.effects: dict[str, Effect] = {}
        self.happened = Changes()

    def take(self, event: CityEvent) -> None:
        if self.case is None and event.type is not SUBMITTED:
            self.waiting.append(event)
        elif self.case is None:
            changes = new_report(event, self.waiting, a_rulebook(), a_desk(), now=MONDAY)
            self.case = Case()
            (self.case.report,) = changes.new_reports
            self.case.clocks = {clock.kind: clock for clock in changes.new_obligations}
            self.happened.add(changes)
        else:
            self.happened.add(self.later(event))

    def later(self, event: CityEvent) -> Changes:
        assert self.case
        clocks = list(self.case.clocks.values())
        changes, effect = existing_report(event, self.case.report, clocks, self.case.rulebook, now=MONDAY)
        self.effects[event.webhook_id] = effect
        return self.case.keep(changes)


def taken(events: Iterable[CityEvent]) -> Office:
    office = Office()
    for event in events:
        office.take(event)
    return office


def report_of(office: Office) -> Report:
    assert office.case
    return office.case.report


def existing(event: CityEvent, case: Case) -> tuple[Changes, Effect]:
    return existing_report(event, case.report, list(case.clocks.values()), case.rulebook, now=LATER)


CHANGED: dict[str, Any] = {
    "title": "Mobil ditarik leasing",
    "amount_idr": 5_000_000,
    "reporter": {"name": "Siti", "phone": "0812"},
}
STORIES = {
    "amended, then withdrawn": [an_event(SUBMITTED), an_event(AMENDED, 1, **CHANGED), an_event(WITHDRAWN, 2)],
    "withdrawn, then amended": [an_event(SUBMITTED), an_event(WITHDRAWN, 1), an_event(AMENDED, 2, **CHANGED)],
    "all at the same instant": [an_event(SUBMITTED), an_event(AMENDED, **CHANGED), an_event(WITHDRAWN)],
    "amended twice": [an_event(SUBMITTED), an_event(AMENDED, 1, title="Old"), an_event(AMENDED, 2, title="New")],
    "sent twice": [an_event(SUBMITTED), an_event(SUBMITTED, webhook_id="msg_again"), an_event(WITHDRAWN, 2)],
}


@pytest.mark.parametrize("order", [*permutations(range(3))], ids=str)
@pytest.mark.parametrize("story", STORIES)
def test_events_in_any_order_leave_the_same_report(story: str, order: tuple[int, ...]) -> None:
    events = STORIES[story]
    expected, office = taken(events), taken(events[place] for place in order)
    assert report_of(office) == report_of(expected)
    assert office.case
    assert expected.case
    assert office.case.states() == expected.case.states()


def test_story_told_in_order_ends_as_it_should() -> None:
    office = taken(STORIES["amended, then withdrawn"])
    report = report_of(office)
    assert (report.status, report.outcome) == (Status.CLOSED, Outcome.WITHDRAWN)
    assert (report.title, report.amount_idr) == ("Mobil ditarik leasing", 5_000_000)
    assert list(office.effects.values()) == [Effect.AMENDED, Effect.WITHDRAWN]
    assert report_of(taken(STORIES["amended twice"])).title == "New"


@pytest.mark.parametrize("order", [*permutations(range(3))], ids=str)
def test_no_line_of_history_or_message_is_written_twice(order: tuple[int, ...]) -> None:
    events = STORIES["amended, then withdrawn"]
    happened = taken(events[place] for place in order).happened
    keys = [delivery.dedupe_key for delivery in happened.deliveries]
    assert len(keys) == len(set(keys))
    names = sorted(line.event for line in happened.history)
    assert names == ["amended", "received", "routed", "withdraw"]


def test_city_is_told_of_a_new_report_above_the_numbers_it_may_know_from_before_a_restore() -> None:
    book = replace(a_rulebook(), numbers_from=28_000_000)
    (report,) = new_report(an_event(SUBMITTED), [], book, a_desk(), now=MONDAY).new_reports
    assert report.sequence == 28_000_001


def test_first_submission_is_routed_assigned_timed_and_told() -> None:
    changes = new_report(an_event(SUBMITTED), [], a_rulebook(), a_desk(ani=2, budi=1, citra=5), now=MONDAY)
    (report,) = changes.new_reports
    assert (report.status, report.office, report.assignee, report.cycle) == (Status.RECEIVED, OFFICE, "budi", 1)
    assert report.routing == ("everything: taken, since it takes everything",)
    assert [clock.kind for clock in changes.new_obligations] == ["acknowledge", "triage"]
    assert {clock.started_at for clock in changes.new_obligations} == {MONDAY}
    assert [(d.purpose, d.event, d.recipient) for d in changes.deliveries] == [
        ("callback", "status_changed", "qlue"),
        ("notice", "new_report", "budi"),
    ]
    assert [line.event for line in changes.history] == ["received", "routed"]


def test_submission_is_written_down_whole() -> None:
    attachment = {"url": "https://qlue.example/1.jpg", "media_type": "image/jpeg"}
    sent = replace(
        an_event(
            SUBMITTED,
            1,
            webhook_id="msg_1",
            language="en",
            reporter={"name": "Siti"},
            business={"name": "PT Maju"},
            location={"area": "31.74.05"},
            attachments=[attachment],
            amount_idr=12_500_000,
            reported_at=MONDAY - timedelta(days=1),
        ),
        received_at=MONDAY + timedelta(hours=2),
    )
    book = a_rulebook()
    slow = a_policy(Kind.ACKNOWLEDGE, "9 working hours", version="slow@1")
    book = replace(
        book,
        rules=(Rule("all", OFFICE, policy="patient"),),
        policies={**book.policies, "patient": {Kind.ACKNOWLEDGE: slow}},
        told_back=frozenset(),
    )
    changes = new_report(sent, [], book, a_desk(), now=LATER)
    assert changes.new_reports == [
        Report(
            report_id=REPORT_ID,
            ticket="K7Q2-9XWM-4T8R",
            source="qlue",
            external_id="QL-88121",
            status=Status.RECEIVED,
            cycle=1,
            office=OFFICE,
            policy="patient",
            title="Motor ditarik leasing",
            description="Ditarik di jalan.",
            category="PEMBIAYAAN",
            language="en",
            reporter={"name": "Siti"},
            business={"name": "PT Maju"},
            location={"area": "31.74.05"},
            attachments=(attachment,),
            amount_idr=12_500_000,
            reported_at=MONDAY - timedelta(days=1),
            received_at=MONDAY + timedelta(hours=2),
            event_at=MONDAY + timedelta(hours=1),
            routing=("all: taken, since it takes everything",),
            assignee="ani",
        )
    ]
    assert [(clock.report_id, clock.policy_version) for clock in changes.new_obligations] == [
        (REPORT_ID, "slow@1"),
        (REPORT_ID, "triage@1"),
    ]
    received, routed = changes.history
    assert (received.actor, received.at) == ("source:qlue", LATER)
    assert received.data == {
        "webhook_id": "msg_1",
        "clocks": {"acknowledge": "slow@1", "triage": "triage@1"},
        "calendar": "office@1",
    }
    assert (routed.actor, routed.at, routed.data) == ("system", LATER, {"office": OFFICE, "to": "ani"})
    assert [delivery.created_at for delivery in changes.deliveries] == [LATER]


@pytest.mark.parametrize(("kind", "effect"), [(AMENDED, "amended"), (WITHDRAWN, "withdrawn")])
def test_notice_of_what_the_citizen_did_is_written_down_whole(kind: EventType, effect: str) -> None:
    case = a_case()
    case.report = replace(case.report, cycle=2)
    event = replace(an_event(kind, 9, webhook_id="msg_2", **({"title": "Baru"} if kind is AMENDED else {})))
    changes, _ = existing_report(event, case.report, [], case.rulebook, now=LATER)
    assert [d for d in changes.deliveries if d.purpose is Purpose.NOTICE] == [
        Delivery(
            report_id=REPORT_ID,
            ticket="K7Q2-9XWM-4T8R",
            cycle=2,
            purpose=Purpose.NOTICE,
            event=effect,
            channel="email",
            recipient="ani",
            dedupe_key=f"notice/{REPORT_ID}/{effect}/qlue/msg_2",
            created_at=LATER,
        )
    ]
    assert [(line.actor, line.at) for line in changes.history] == [("source:qlue", LATER)]


@pytest.mark.parametrize("kind", [AMENDED, WITHDRAWN])
def test_late_event_is_noted_with_its_name_and_its_actor(kind: EventType) -> None:
    case = a_case(Status.CLOSED)
    event = an_event(kind, 9, webhook_id="msg_2", **({"title": "Baru"} if kind is AMENDED else {}))
    changes, _ = existing_report(event, case.report, list(case.clocks.values()), case.rulebook, now=LATER)
    (line,) = changes.history
    assert (line.event, line.actor, line.at) == ("late_event", "source:qlue", LATER)
    assert line.data == {"type": kind, "webhook_id": "msg_2"}


def test_attachments_that_are_added_are_kept_as_those_that_came_first() -> None:
    attachment = {"url": "https://qlue.example/1.jpg", "media_type": "image/jpeg"}
    changes, _ = existing(an_event(AMENDED, 1, attachments=[attachment]), a_case())
    assert changes.reports[REPORT_ID].attachments == (attachment,)


def test_amendment_that_waited_and_changes_nothing_leaves_the_report_as_it_is() -> None:
    waiting = [an_event(AMENDED, 1, title="Motor ditarik leasing")]
    (report,) = new_report(an_event(SUBMITTED), waiting, a_rulebook(), a_desk(), now=MONDAY).new_reports
    assert report.title == "Motor ditarik leasing"


def test_withdrawal_counts_whatever_the_citizens_own_clock_says_unless_the_report_was_reopened() -> None:
    assert existing(an_event(WITHDRAWN, -1), a_case())[1] is Effect.WITHDRAWN


def test_withdrawal_after_the_reopening_counts_though_another_clock_was_started_later() -> None:
    case = a_case(Status.CLOSED)
    case.do(Move.REOPEN, hours=4)
    case.do(Move.ACKNOWLEDGE, hours=5)
    case.do(Move.ASK_COMPLETION, hours=8)
    assert existing(an_event(WITHDRAWN, 6), case)[1] is Effect.WITHDRAWN


def test_amendment_of_the_same_moment_as_the_last_one_is_applied() -> None:
    _, effect = existing(an_event(AMENDED, 0, title="Baru"), a_case())
    assert effect is Effect.AMENDED


def test_withdrawal_of_the_moment_of_the_reopening_belongs_to_the_new_cycle() -> None:
    case = a_case(Status.CLOSED)
    case.do(Move.REOPEN, hours=4)
    assert existing(an_event(WITHDRAWN, 4), case)[1] is Effect.WITHDRAWN


def test_submission_with_the_least_there_can_be_gets_defaults() -> None:
    bare = replace(an_event(SUBMITTED), data={"id": "QL-88121", "title": "T", "description": "D"})
    (report,) = new_report(bare, [], a_rulebook(), a_desk(), now=MONDAY).new_reports
    assert (report.category, report.language) == ("LAINNYA", "id")
    assert (report.reporter, report.business, report.location, report.attachments) == ({}, {}, {}, ())
    assert (report.amount_idr, report.reported_at) == (None, bare.happened_at)


def test_report_goes_to_the_element_its_rule_prefers() -> None:
    rule = Rule("finance", OFFICE, {"category": ("PEMBIAYAAN",)}, element="consumer")
    book = replace(a_rulebook(), rules=(rule,))
    desk = a_desk(ANI, BUDI, a_person("dewi", element="consumer"), dewi=9)
    (report,) = new_report(an_event(SUBMITTED), [], book, desk, now=MONDAY).new_reports
    assert report.assignee == "dewi"
    with pytest.raises(NoRule):
        new_report(an_event(SUBMITTED, category="AIR"), [], book, desk, now=MONDAY)


def test_report_that_finds_nobody_is_kept_and_its_clocks_run() -> None:
    changes = new_report(an_event(SUBMITTED), [], a_rulebook(), a_desk(absent(ANI)), now=MONDAY)
    assert changes.new_reports[0].assignee is None
    assert [clock.state for clock in changes.new_obligations] == [ClockState.RUNNING] * 2
    assert [delivery.purpose for delivery in changes.deliveries] == ["callback"]


def test_second_submission_is_never_a_second_report_but_an_amendment() -> None:
    changes, effect = existing(an_event(SUBMITTED, 1, description="Dengan kekerasan."), a_case())
    assert effect is Effect.AMENDED
    assert not changes.new_reports
    assert not changes.new_obligations
    assert changes.reports[REPORT_ID].description == "Dengan kekerasan."
    assert changes.history[0].data["fields"] == ["description"]


def test_second_submission_without_a_category_keeps_the_first_one() -> None:
    bare = replace(an_event(SUBMITTED, 1), data={"id": "QL-88121", "title": "Baru", "description": "Baru"})
    changes, _ = existing(bare, a_case())
    assert changes.reports[REPORT_ID].category == "PEMBIAYAAN"


SAME = [
    {},
    {"title": "Motor ditarik leasing"},
    {"reporter": {}, "business": None, "location": None, "attachments": [], "amount_idr": None},
]


@pytest.mark.parametrize("data", SAME, ids=["nothing", "the same title", "nothing in other words"])
def test_amendment_that_changes_nothing_leaves_no_trace(data: dict[str, Any]) -> None:
    changes, effect = existing(an_event(AMENDED, 1, **data), a_case())
    assert effect is Effect.UNCHANGED
    assert changes == Changes()


def test_amendment_is_noted_by_its_fields_never_by_their_content() -> None:
    changes, _ = existing(an_event(AMENDED, 1, **CHANGED), a_case())
    (line,) = changes.history
    assert line.data == {"fields": ["amount_idr", "reporter", "title"], "webhook_id": "msg_report.amended_1"}
    (notice,) = changes.deliveries
    assert (notice.event, notice.recipient, dict(notice.payload)) == ("amended", "ani", {})


def test_same_contact_sealed_anew_is_no_amendment_and_another_one_is() -> None:
    def sealed(token: str, mark: str) -> dict[str, str]:
        return {"domicile": "31.74", "sealed": token, "mark": mark}

    office = taken([an_event(SUBMITTED, reporter=sealed("gAAAAAone", "m1"))])
    office.later(an_event(AMENDED, 1, reporter=sealed("gAAAAAtwo", "m1")))
    assert office.effects["msg_report.amended_1"] is Effect.UNCHANGED
    office.later(an_event(AMENDED, 2, reporter=sealed("gAAAAAsix", "m2")))
    assert office.effects["msg_report.amended_2"] is Effect.AMENDED
    assert report_of(office).reporter["mark"] == "m2"


def test_event_older_than_the_last_one_applied_changes_nothing() -> None:
    office = taken([an_event(SUBMITTED), an_event(AMENDED, 3, title="New")])
    before = report_of(office)
    changes = office.later(an_event(AMENDED, 2, title="Old", amount_idr=1))
    assert office.effects["msg_report.amended_2"] is Effect.LATE
    assert report_of(office) == before
    assert (changes.reports, changes.obligations, changes.deliveries) == ({}, [], [])
    assert [line.event for line in changes.history] == ["late_event"]


@pytest.mark.parametrize("kind", [AMENDED, WITHDRAWN, SUBMITTED])
def test_event_about_a_report_the_office_closed_is_only_noted(kind: EventType) -> None:
    changes, effect = existing(
        an_event(kind, 9, **({"title": "New"} if kind is not WITHDRAWN else {})), a_case(Status.CLOSED)
    )
    assert effect is Effect.LATE
    assert (changes.reports, changes.obligations, changes.deliveries) == ({}, [], [])
    assert [line.event for line in changes.history] == ["late_event"]


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.CLOSED])
def test_citizen_may_withdraw_in_every_open_state_telling_the_holder(status: Status) -> None:
    case = a_case(status)
    changes, effect = existing(an_event(WITHDRAWN, 2), case)
    case.keep(changes)
    assert effect is Effect.WITHDRAWN
    assert (case.report.status, case.report.outcome) == (Status.CLOSED, Outcome.WITHDRAWN)
    assert not {"running", "paused"} & set(case.states().values())
    assert [d.recipient for d in changes.deliveries if d.event == "withdrawn"] == ["ani"]


def test_withdrawal_from_before_the_reopening_does_not_close_it_again() -> None:
    case = a_case()
    case.keep(existing(an_event(WITHDRAWN, 1), case)[0])
    case.do(Move.REOPEN, hours=4)
    again = an_event(WITHDRAWN, 1, webhook_id="msg_redelivered")
    changes, effect = existing(again, case)
    assert effect is Effect.LATE
    assert changes.reports == {}
    assert existing(an_event(WITHDRAWN, 4.5), case)[1] is Effect.WITHDRAWN


def test_events_that_waited_are_applied_in_the_citys_own_order() -> None:
    older, newer = an_event(AMENDED, 1, title="Mobil ditarik"), an_event(AMENDED, 2, amount_idr=7)
    report = report_of(taken([newer, older, an_event(SUBMITTED)]))
    assert (report.title, report.amount_idr, report.event_at) == ("Mobil ditarik", 7, newer.happened_at)


def test_nobody_hears_of_what_is_added_to_withdrawn_reports() -> None:
    office = taken([an_event(SUBMITTED), an_event(WITHDRAWN, 2), an_event(AMENDED, 1, **CHANGED)])
    assert office.effects["msg_report.amended_1"] is Effect.AMENDED
    assert [d.event for d in office.happened.deliveries if d.purpose == "notice"] == ["new_report", "withdrawn"]


def test_report_withdrawn_before_it_came_starts_no_clock_that_runs() -> None:
    office = taken([an_event(WITHDRAWN, 1), an_event(SUBMITTED)])
    assert office.case
    assert set(office.case.states().values()) == {"cancelled"}
    assert [d.payload["status"] for d in office.happened.deliveries if d.purpose == "callback"] == [
        "received",
        "closed",
    ]
