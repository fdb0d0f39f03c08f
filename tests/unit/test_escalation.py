"""Escalation: what one step that falls due changes, all together or not at all (I3, I5, I12, I14, I15)."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from bridge.reports.clocks import ClockState, Deed, Kind, Obligation, Pause, Policy, plan
from bridge.reports.escalation import Desk, NothingToHurry, fire, hurry
from bridge.reports.people import Person
from bridge.reports.report import Changes, Delivery, Escalation, Event, Purpose, Report
from bridge.reports.rulebook import Rulebook, UnknownVersion
from bridge.reports.states import Outcome, Status
from tests.unit.given import (
    ACKNOWLEDGE,
    ADMIN,
    ANI,
    BUDI,
    CITRA,
    COMPLETION,
    EVERYBODY,
    KETUA,
    MONDAY,
    REPORT_ID,
    SEKAR,
    TRIAGE,
    a_calendar,
    a_case,
    a_clock,
    a_desk,
    a_policy,
    a_report,
    a_rulebook,
    absent,
)

DUE = MONDAY + timedelta(hours=4)
#: The step of the usual ladder at which the next member takes over.
FIRST_RUNG = 1


def fired(
    step: int = FIRST_RUNG,
    *,
    policy: Policy = ACKNOWLEDGE,
    report: Report | None = None,
    desk: Desk | None = None,
    rulebook: Rulebook | None = None,
    now: datetime = DUE,
) -> Changes:
    """What a step of the clock changes when it fires at `now`."""
    clock = replace(a_clock(policy), step=step, next_due=min(DUE, now))
    book = rulebook or a_rulebook(policy)
    return fire(clock, [a_clock(TRIAGE)], report or a_report(), book, desk or a_desk(), now=now)


def notices(changes: Changes) -> list[Delivery]:
    return [d for d in changes.deliveries if d.purpose is Purpose.NOTICE]


def callbacks(changes: Changes) -> list[Delivery]:
    return [d for d in changes.deliveries if d.purpose is Purpose.CALLBACK]


def clock_of(changes: Changes) -> Obligation:
    (clock,) = changes.obligations
    return clock


def test_report_nobody_acknowledges_goes_to_the_next_member() -> None:
    changes = fired()
    report = changes.reports[REPORT_ID]
    assert (report.assignee, report.assigned_before) == ("budi", ("ani",))
    (notice,) = notices(changes)
    assert (notice.recipient, notice.event, notice.payload["assigned"]) == ("budi", "escalation", True)
    (line,) = changes.history
    assert (line.event, line.data) == ("reassigned", {"of": "ani", "to": "budi", "level": 1})


def test_every_step_that_fires_is_logged_with_what_explains_it() -> None:
    (line,) = fired(now=DUE + timedelta(seconds=90)).escalations
    assert (line.kind, line.cycle, line.step, line.level) == ("acknowledge", 1, 2, 1)
    assert (line.due_at, line.lateness_s) == (DUE, 90)
    assert (line.held_by, line.target, line.told, line.did) == ("ani", "next_member", ("budi",), "both")
    assert (line.policy_version, line.calendar_version) == ("acknowledge@1", "office@1")


def test_row_of_the_log_and_the_notice_are_written_down_whole() -> None:
    report = a_report(cycle=2, assignee="budi")
    clock = replace(a_clock(), step=FIRST_RUNG, cycle=2, next_due=DUE)
    late = DUE + timedelta(seconds=90)
    changes = fire(clock, [], report, a_rulebook(), a_desk(), now=late)
    assert changes.escalations == [
        Escalation(
            report_id=REPORT_ID,
            ticket="K7Q2-9XWM-4T8R",
            kind="acknowledge",
            cycle=2,
            step=2,
            level=1,
            due_at=DUE,
            fired_at=late,
            lateness_s=90.0,
            held_by="budi",
            target="next_member",
            told=("ani",),
            did="both",
            policy_version="acknowledge@1",
            calendar_version="office@1",
            remark=None,
        )
    ]
    assert notices(changes) == [
        Delivery(
            report_id=REPORT_ID,
            ticket="K7Q2-9XWM-4T8R",
            cycle=2,
            purpose=Purpose.NOTICE,
            event="escalation",
            channel="email",
            recipient="ani",
            dedupe_key=f"notice/{REPORT_ID}/2/acknowledge/2/ani",
            created_at=late,
            kind="acknowledge",
            step=2,
            payload={
                "level": 1,
                "deadline_at": "2026-11-23T07:00:00+00:00",
                "assigned": True,
                "rung": "next_member",
            },
        )
    ]
    (line,) = changes.history
    assert (line.report_id, line.cycle, line.actor, line.at) == (REPORT_ID, 2, "clock", late)


def test_step_that_fires_moves_and_tells_in_one_decision() -> None:
    changes = fired()
    assert (clock_of(changes).step, clock_of(changes).level) == (2, 1)
    assert clock_of(changes).next_due == MONDAY + timedelta(hours=24)
    assert len(changes.escalations) == len(changes.obligations) == 1
    assert len(changes.deliveries) == 2


def test_late_tick_leaves_the_later_steps_where_they_were() -> None:
    assert clock_of(fired(now=DUE + timedelta(hours=3))).next_due == MONDAY + timedelta(hours=24)


def test_city_is_told_to_whom_the_report_went_up() -> None:
    (callback,) = callbacks(fired(2))
    assert (callback.payload["escalated_to"], callback.payload["sequence"]) == ("chair", 2)
    assert callback.payload["due_at"] == DUE.isoformat()


def test_city_that_is_not_told_back_hears_of_no_escalation() -> None:
    changes = fired(rulebook=a_rulebook(told_back=()))
    assert callbacks(changes) == []
    assert changes.reports[REPORT_ID].sequence == 1


def test_warning_reaches_the_assignee_alone_and_changes_no_desk() -> None:
    changes = fired(0, now=MONDAY + timedelta(hours=2))
    (notice,) = changes.deliveries
    assert (notice.recipient, notice.event, notice.payload["level"]) == ("ani", "warning", 0)
    assert notice.payload["assigned"] is False, "it lies there already"
    assert changes.reports[REPORT_ID] == a_report()
    assert (changes.escalations[0].level, changes.escalations[0].did) == (0, "warn")


def test_rung_that_reaches_nobody_goes_on_at_once() -> None:
    changes = fired(desk=a_desk(ANI, absent(BUDI), absent(CITRA), KETUA))
    assert [(line.step, line.level, line.did, line.told) for line in changes.escalations] == [
        (2, 1, "no_target", ()),
        (3, 2, "notify", ("ketua",)),
    ]
    assert {line.fired_at for line in changes.escalations} == {DUE}
    assert clock_of(changes).exhausted
    assert [notice.recipient for notice in notices(changes)] == ["ketua"]
    assert changes.reports[REPORT_ID].assignee == "ani"


def test_steps_missed_while_nobody_watched_are_all_logged_and_told_once_to_each() -> None:
    """I12: one digest for the levels passed; the log keeps every row."""
    late = MONDAY + timedelta(days=6)
    clock = a_clock(LADDER)
    changes = fire(clock, [], a_report(), a_rulebook(LADDER), a_desk(*EVERYBODY), now=late)
    assert [(line.step, line.level, line.remark) for line in changes.escalations] == [
        (1, 0, "overtaken"),
        *((step, step - 1, None) for step in range(2, 7)),
    ]
    assert [line.due_at for line in changes.escalations] == [due for _, due in plan(clock, LADDER, a_calendar())][:6]
    assert [notice.recipient for notice in notices(changes)] == ["budi", "citra", "sekar", "ketua", "kadis"]
    (callback,) = callbacks(changes)
    assert callback.payload["escalated_to"] == "dinas_head"
    after = clock_of(changes)
    assert (after.step, after.level) == (6, 5)
    assert after.next_due is not None
    assert after.next_due > late


def test_warning_is_overtaken_when_the_step_after_it_is_due_at_the_same_moment() -> None:
    changes = fire(a_clock(), [], a_report(), a_rulebook(), a_desk(), now=DUE)
    assert [(line.level, line.did, line.remark) for line in changes.escalations] == [
        (0, "warn", "overtaken"),
        (1, "both", None),
    ]


def test_who_stands_on_several_rungs_that_were_missed_gets_one_notice_of_the_last() -> None:
    changes = fire(
        a_clock(LADDER), [], a_report(), a_rulebook(LADDER), a_desk(ANI, ADMIN), now=MONDAY + timedelta(days=30)
    )
    (notice,) = notices(changes)
    assert (notice.recipient, notice.step, notice.payload["level"]) == ("admin", 7, 6)
    twice = a_policy(
        Kind.ACKNOWLEDGE,
        "1 hours",
        ("1 hours", "role:chair", "notify"),
        ("2 hours", "role:chair", "notify"),
    )
    changes = fire(
        a_clock(twice), [], a_report(), a_rulebook(twice), a_desk(*EVERYBODY), now=MONDAY + timedelta(days=1)
    )
    (notice,) = notices(changes)
    assert (notice.recipient, notice.step, notice.payload["steps"]) == ("ketua", 2, [1, 2])
    assert [line.told for line in changes.escalations] == [("ketua",), ("ketua",)]


def test_step_whose_time_was_moved_says_so_once() -> None:
    clock = replace(a_clock(LADDER), step=1, next_due=DUE, moved_at=MONDAY)
    changes = fire(clock, [], a_report(), a_rulebook(LADDER), a_desk(*EVERYBODY), now=MONDAY + timedelta(hours=5))
    assert [line.remark for line in changes.escalations] == ["due_moved", None]
    assert clock_of(changes).moved_at is None


def test_citizens_clock_does_not_close_in_the_turn_that_reminds() -> None:
    """Closing touches the other clocks: it waits for a turn that holds them."""
    late = MONDAY + timedelta(days=60)
    changes = fire(a_clock(COMPLETION), [], a_report(), a_rulebook(COMPLETION), a_desk(*EVERYBODY), now=late)
    assert "close" not in [line.did for line in changes.escalations]
    assert clock_of(changes).next_due is not None


REMINDED_TWICE = a_policy(
    Kind.COMPLETION,
    "10 working days",
    ("5 working days", "citizen", "notify"),
    ("8 working days", "citizen", "notify"),
    ("10 working days", "assignee", "close"),
)


def in_days(policy: Policy, place: int) -> datetime:
    """When a step of a clock that started on Monday is due."""
    return plan(a_clock(policy), policy, a_calendar())[place][1]


def test_citizen_told_late_has_the_time_between_before_the_report_is_closed() -> None:
    """We were away from the fifth day to the fifteenth: three days to the next word, two more to the end."""
    clock = a_clock(REMINDED_TWICE)
    first, later = in_days(REMINDED_TWICE, 0), in_days(REMINDED_TWICE, 0) + timedelta(days=14)
    asked = a_report(status=Status.NEEDS_COMPLETION, missing=("KTP",))
    changes = fire(clock, [], asked, a_rulebook(REMINDED_TWICE), a_desk(*EVERYBODY), now=later)
    assert [(line.step, line.did) for line in changes.escalations] == [(1, "notify")]
    after = clock_of(changes)
    assert after.pauses == (Pause(first, later, "clock:completion", "told_late"),)
    assert after.next_due == in_days(REMINDED_TWICE, 1) + timedelta(days=14)
    assert after.deadline_at == clock.deadline_at + timedelta(days=14)
    assert callbacks(changes)[0].payload["due_at"] == after.deadline_at.isoformat()
    (said,) = changes.history
    assert (said.event, said.actor, said.at) == ("told_late", "clock:completion", later)
    assert said.data == {
        "kind": "completion",
        "since": first.isoformat(),
        "deadline_was": clock.deadline_at.isoformat(),
        "deadline_now": after.deadline_at.isoformat(),
    }


def test_citizen_told_late_has_the_time_between_also_where_only_the_closing_is_left() -> None:
    since, now = in_days(COMPLETION, 0), in_days(COMPLETION, 0) + timedelta(seconds=61)
    changes = fire(a_clock(COMPLETION), [], a_report(), a_rulebook(), a_desk(), now=now)
    assert clock_of(changes).pauses == (Pause(since, now, "clock:completion", "told_late"),)


@pytest.mark.parametrize(
    ("policy", "late_s"),
    [
        (COMPLETION, 60),
        (
            a_policy(
                Kind.ACKNOWLEDGE,
                "4 working hours",
                ("4 working hours", "citizen", "notify"),
                ("8 working hours", "role:chair", "notify"),
            ),
            3600,
        ),
        (a_policy(Kind.COMPLETION, "4 working hours", ("4 working hours", "citizen", "notify")), 3600),
    ],
    ids=["a minute", "the office's clock", "nothing closes it"],
)
def test_nothing_is_given_back_where_nothing_was_lost(policy: Policy, late_s: int) -> None:
    now = in_days(policy, 0) + timedelta(seconds=late_s)
    changes = fire(a_clock(policy), [], a_report(), a_rulebook(policy), a_desk(*EVERYBODY), now=now)
    assert (clock_of(changes).pauses, changes.history) == ((), [])
    assert clock_of(changes).deadline_at == a_clock(policy).deadline_at


def test_report_is_not_closed_early_because_nobody_stood_before() -> None:
    policy = a_policy(
        Kind.COMPLETION,
        "10 working days",
        ("5 working days", "role:secretariat", "notify"),
        ("10 working days", "assignee", "close"),
    )
    changes = fire(a_clock(policy), [], a_report(), a_rulebook(policy), a_desk(ANI, ADMIN), now=in_days(policy, 0))
    assert [line.did for line in changes.escalations] == ["no_target"]
    assert clock_of(changes).next_due == in_days(policy, 1)
    # Nobody is left on the ladder who could be told.
    assert [n.recipient for n in notices(changes)] == ["admin"]


def test_warning_that_reaches_nobody_does_not_begin_the_ladder_early() -> None:
    changes = fired(0, desk=a_desk(absent(ANI), BUDI), now=MONDAY + timedelta(hours=2))
    assert (clock_of(changes).step, clock_of(changes).next_due) == (1, DUE)
    assert changes.escalations[0].did == "no_target"
    assert changes.deliveries == []


def test_only_rung_there_is_alarms_the_admins_when_it_reaches_nobody_a_warning_does_not() -> None:
    rung = a_policy(Kind.ACKNOWLEDGE, "4 working hours", ("4 working hours", "role:chair", "notify"))
    assert [n.recipient for n in fired(0, policy=rung, desk=a_desk(ANI, ADMIN)).deliveries] == ["admin"]
    warning = a_policy(Kind.ACKNOWLEDGE, "4 working hours", ("4 working hours", "assignee", "warn"))
    assert fired(0, policy=warning, desk=a_desk(absent(ANI), ADMIN)).deliveries == []


def test_citizen_can_be_warned_through_the_city() -> None:
    warning = a_policy(Kind.COMPLETION, "10 working days", ("5 working days", "citizen", "warn"))
    assert len(callbacks(fired(0, policy=warning))) == 1


def test_step_that_fires_on_time_is_not_late() -> None:
    assert [line.lateness_s for line in fired(now=DUE).escalations] == [0.0]


def test_last_rung_that_reaches_nobody_alarms_the_admins() -> None:
    changes = fired(2, desk=a_desk(ANI, SEKAR, absent(KETUA), ADMIN))
    (notice,) = changes.deliveries
    assert (notice.recipient, notice.event) == ("admin", "escalation")
    assert changes.escalations[0].did == "no_target"
    assert clock_of(changes).exhausted


def test_finished_ladder_stays_open_as_exhausted() -> None:
    clock = clock_of(fired(2))
    assert clock.exhausted
    assert clock.state is ClockState.RUNNING


def test_officers_who_had_the_report_do_not_get_it_again() -> None:
    changes = fired(report=a_report(assignee="budi", assigned_before=("ani",)))
    assert changes.reports[REPORT_ID].assignee == "citra"
    assert changes.reports[REPORT_ID].assigned_before == ("ani", "budi")


def test_report_without_an_assignee_is_handed_over_all_the_same() -> None:
    changes = fired(report=a_report(assignee=None))
    assert (changes.reports[REPORT_ID].assignee, changes.reports[REPORT_ID].assigned_before) == ("ani", ())
    assert changes.escalations[0].held_by is None


def test_member_with_the_fewest_open_reports_takes_over() -> None:
    assert fired(desk=a_desk(budi=3, citra=1)).reports[REPORT_ID].assignee == "citra"


def test_member_who_has_it_already_is_told_and_keeps_it() -> None:
    policy = a_policy(Kind.ACKNOWLEDGE, "4 working hours", ("4 working hours", "role:officer", "reassign"))
    changes = fired(0, policy=policy, desk=a_desk(ANI))
    assert changes.reports[REPORT_ID].assignee == "ani"
    assert changes.history == []
    assert [n.recipient for n in notices(changes)] == ["ani"]


def test_step_for_the_citizen_tells_the_city_and_nobody_else() -> None:
    changes = fired(0, policy=COMPLETION, report=a_report(status=Status.NEEDS_COMPLETION, missing=("KTP",)))
    assert notices(changes) == []
    (callback,) = callbacks(changes)
    assert callback.payload["escalated_to"] is None
    assert "KTP" in callback.payload["next_step"]
    assert (changes.escalations[0].target, changes.escalations[0].did) == ("citizen", "notify")
    assert clock_of(changes).next_due != DUE


def test_citizens_clock_run_out_closes_the_report_as_incomplete() -> None:
    case = a_case(Status.NEEDS_COMPLETION)
    clock = replace(case.clocks[Kind.COMPLETION], step=1, level=1)
    siblings = [c for c in case.clocks.values() if c.kind is not Kind.COMPLETION]
    changes = case.keep(fire(clock, siblings, case.report, case.rulebook, a_desk(), now=DUE))
    assert (case.report.status, case.report.outcome) == (Status.CLOSED, Outcome.INCOMPLETE)
    assert case.states() == {"acknowledge": "met", "triage": "met", "completion": "cancelled"}
    assert (case.clocks[Kind.COMPLETION].step, case.clocks[Kind.COMPLETION].level) == (2, 2)
    assert (changes.escalations[0].did, changes.escalations[0].step) == ("close", 2)
    assert changes.history[0].actor == "clock:completion"
    assert [c.payload["status"] for c in callbacks(changes)] == ["closed"]


@pytest.mark.parametrize("field", ["policy_version", "calendar_version"])
def test_clock_frozen_with_an_unknown_version_fires_nothing(field: str) -> None:
    clock = a_clock(**dict[str, Any]({field: "gone@7"}))
    with pytest.raises(UnknownVersion, match="gone@7"):
        fire(clock, [], a_report(), a_rulebook(), a_desk(), now=DUE)


LADDER = a_policy(
    Kind.ACKNOWLEDGE,
    "4 working hours",
    ("2 working hours", "assignee", "warn"),
    ("4 working hours", "next_member", "both"),
    ("5 working hours", "next_member", "both"),
    ("6 working hours", "role:secretariat", "notify"),
    ("8 working hours", "role:chair", "notify"),
    ("3 working days", "role:dinas_head", "notify"),
    ("5 working days", "role:admin", "notify"),
)


def run_out(people: tuple[Person, ...]) -> tuple[list[Changes], Report]:
    """Everything that happens to a report on which nobody acts."""
    clock, report, told = a_clock(LADDER), a_report(), []
    while clock.next_due is not None:
        changes = fire(clock, [], report, a_rulebook(LADDER), a_desk(*people), now=clock.next_due)
        clock, report = clock_of(changes), changes.reports[REPORT_ID]
        told.append(changes)
    return told, report


@pytest.mark.parametrize(
    "people",
    [EVERYBODY, (ANI, SEKAR, ADMIN), (ANI,), tuple(map(absent, EVERYBODY))],
    ids=["all there", "few there", "one there", "nobody there"],
)
def test_report_nobody_touches_climbs_every_rung_once_in_order(people: tuple[Person, ...]) -> None:
    happened, report = run_out(people)
    log = [line for changes in happened for line in changes.escalations]
    assert [line.step for line in log] == list(range(1, len(LADDER.steps) + 1))
    assert [line.level for line in log] == [0, 1, 2, 3, 4, 5, 6]
    assert [line.fired_at for line in log] == sorted(line.fired_at for line in log)
    keys = [d.dedupe_key for changes in happened for d in changes.deliveries]
    assert len(keys) == len(set(keys))
    climbed = [any(line.level > 0 and line.did != "no_target" for line in one.escalations) for one in happened]
    assert report.sequence == 1 + sum(climbed)


def test_everybody_on_the_ladder_hears_of_a_report_nobody_touches() -> None:
    happened, report = run_out(EVERYBODY)
    told = [notice.recipient for changes in happened for notice in notices(changes)]
    assert told == ["ani", "budi", "citra", "sekar", "ketua", "kadis", "admin"]
    assert (report.assignee, report.assigned_before) == ("citra", ("ani", "budi"))


def test_warning_deed_is_the_only_one_without_a_rung() -> None:
    assert [step.deed for step in LADDER.steps if step.level == 0] == [Deed.WARN]


# --- a person sends it up -------------------------------------------------------------------------------------------


def hurried(clock: Obligation, policy: Policy = LADDER, now: datetime = MONDAY + timedelta(hours=1)) -> Changes:
    """What it changes that Sekar sends the report up at eleven on Monday."""
    book = a_rulebook(policy)
    return hurry(clock, [], a_report(), book, a_desk(*EVERYBODY), "person:sekar", now=now, reason="mendesak")


def test_hurried_report_reaches_the_next_rung_now_and_the_later_ones_keep_their_time() -> None:
    """I8."""
    now = MONDAY + timedelta(hours=1)
    changes = hurried(a_clock(LADDER))
    assert [(line.step, line.level, line.did, line.remark) for line in changes.escalations] == [
        (1, 0, "warn", "hurried"),
        (2, 1, "both", "hurried"),
    ]
    assert {(line.due_at, line.fired_at, line.lateness_s) for line in changes.escalations} == {(now, now, 0.0)}
    assert [notice.recipient for notice in notices(changes)] == ["budi"]
    assert clock_of(changes).next_due == MONDAY + timedelta(hours=5)
    data = {"kind": Kind.ACKNOWLEDGE, "level": 1, "reason": "mendesak"}
    assert [line.event for line in changes.history] == ["reassigned", "hurried"]
    assert changes.history[1] == Event(REPORT_ID, 1, "hurried", "person:sekar", now, data)
    assert changes.reports[REPORT_ID].sequence == 2


@pytest.mark.parametrize(
    ("clock", "policy", "why"),
    [
        (
            replace(a_clock(LADDER), state=ClockState.PAUSED, next_due=None),
            LADDER,
            "the clock acknowledge is paused; only a running one can be hurried",
        ),
        (
            replace(a_clock(LADDER), state=ClockState.MET, next_due=None),
            LADDER,
            "the clock acknowledge is met; only a running one can be hurried",
        ),
        (
            replace(a_clock(LADDER), step=7, level=6, next_due=None),
            LADDER,
            "everybody on its ladder has been told already",
        ),
        (
            replace(a_clock(COMPLETION), step=1),
            COMPLETION,
            "the next step closes the report; that can't be hurried, but a person may close it",
        ),
    ],
)
def test_what_cannot_be_hurried_is_refused_with_the_reason(clock: Obligation, policy: Policy, why: str) -> None:
    with pytest.raises(NothingToHurry, match=f"^{why}$"):
        hurried(clock, policy)
