"""The facts: names that follow from content, and changes that add up."""

from datetime import timedelta

from bridge.reports.escalation import fire
from bridge.reports.report import Changes, Delivery, Purpose
from bridge.reports.states import Status
from tests.unit.given import MONDAY, REPORT_ID, a_clock, a_desk, a_report, a_rulebook

#: The usual clock's warning is due.
DUE = MONDAY + timedelta(hours=2)


def a_delivery(dedupe_key: str) -> Delivery:
    return Delivery(
        REPORT_ID, "K7Q2-9XWM-4T8R", 1, Purpose.NOTICE, "new_report", "email", "ani", dedupe_key, created_at=MONDAY
    )


def test_delivery_decided_again_has_the_same_id_others_do_not() -> None:
    assert a_delivery("notice/1").delivery_id == a_delivery("notice/1").delivery_id
    assert a_delivery("notice/1").delivery_id != a_delivery("notice/2").delivery_id


def test_line_of_history_stands_in_the_cycle_of_its_report() -> None:
    changes = Changes()
    changes.note(a_report(cycle=3), "amended", "source:qlue", MONDAY, fields=["title"])
    (line,) = changes.history
    assert (line.report_id, line.cycle, line.event, line.data) == (REPORT_ID, 3, "amended", {"fields": ["title"]})


def test_changes_of_two_decisions_add_up_the_later_report_counting() -> None:
    first, second = Changes(), Changes()
    for changes, status in ((first, Status.RECEIVED), (second, Status.ACKNOWLEDGED)):
        changes.new_reports.append(a_report())
        changes.reports[REPORT_ID] = a_report(status=status)
        changes.new_obligations.append(a_clock())
        changes.obligations.append(a_clock())
        changes.deliveries.append(a_delivery(status))
        changes.escalations += fire(a_clock(), [], a_report(), a_rulebook(), a_desk(), now=DUE).escalations
        changes.note(a_report(), "amended", "source:qlue", MONDAY)
    first.reports["another"] = a_report(report_id="another")
    first.add(second)
    assert first.reports[REPORT_ID].status is Status.ACKNOWLEDGED
    assert set(first.reports) == {REPORT_ID, "another"}
    lists = (first.new_reports, first.new_obligations, first.obligations, first.deliveries, first.history)
    assert [len(lines) for lines in (*lists, first.escalations)] == [2] * 6


def test_changes_of_two_decisions_never_share_their_lists() -> None:
    Changes().note(a_report(), "amended", "source:qlue", MONDAY)
    assert Changes() == Changes()
