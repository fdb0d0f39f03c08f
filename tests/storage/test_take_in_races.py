"""Step 1 under bad luck: killed between any two statements, and two workers that do not see each other."""

from collections.abc import Callable
from typing import Any

from bridge.reports.states import Outcome
from tests.storage.crashes import Standstill, survives_every_crash
from tests.storage.office import Office, body, one_message, shape, webhook

#: A little of everything take_in can meet: new, again, amended, withdrawn, too early, invalid, an id used twice.
BATCH = {
    "msg-1": body("Q-1"),
    "msg-2": body("Q-2", "report.withdrawn", at="2026-11-23T12:00:00Z"),
    "msg-3": body("Q-2", at="2026-11-23T10:00:00Z"),
    "msg-4": body("Q-1", "report.amended", title="baru", at="2026-11-23T13:00:00Z"),
    "msg-5": body("Q-3", "report.amended", title="terlalu awal"),
    "msg-6": b"{}",
    "msg-7": body("Q-0", "report.withdrawn", at="2026-11-23T12:00:00Z"),
}


def _earlier(office: Office) -> None:
    office.receive("Q-0")
    office.receive("Q-4", webhook_id="msg-reused")
    office.receive("Q-5", "report.withdrawn")


def _work(office: Office) -> Callable[[], None]:
    more = [webhook(body("Q-6"), "msg-reused"), webhook(body("Q-5"), "msg-8")]
    messages: list[dict[str, Any]] = [one_message(BATCH), *more]
    return lambda: office.take_in.handle(messages)


def test_death_between_any_two_statements_leaves_nothing_behind_and_a_retry_makes_up_for_it(
    office: Office, twin: Office
) -> None:
    for one in (office, twin):
        _earlier(one)
    before = office.snapshot()

    def nothing_changed() -> None:
        assert office.snapshot() == before

    deaths = survives_every_crash(office.database, _work(office), nothing_changed)
    _work(twin)()
    assert deaths >= 12
    assert shape(office.snapshot()) == shape(twin.snapshot())


def test_message_that_comes_again_after_its_commit_changes_nothing(office: Office) -> None:
    """The process died after the commit, before the ack."""
    _earlier(office)
    work = _work(office)
    work()
    before = office.snapshot()
    work()
    assert office.snapshot() == before


def _held_until_the_other_is_done_or_waits(office: Office, first: Callable[[], Any], second: Callable[[], Any]) -> None:
    """Hold the first in front of its commit until the second has ended, or waits for it; then let both end."""
    with Standstill(office.database, "COMMIT", first) as held:
        other = held.meanwhile(second)
        held.go_on()
        other.result()


def test_withdrawal_taken_in_while_another_worker_takes_in_the_report_is_not_lost(office: Office) -> None:
    _held_until_the_other_is_done_or_waits(
        office,
        lambda: office.receive("Q-1", "report.withdrawn", at="2026-11-23T12:00:00Z"),
        lambda: office.receive("Q-1", at="2026-11-23T10:00:00Z"),
    )
    (report,) = office.rows("reports")
    assert (report["outcome"], {row["state"] for row in office.rows("obligations")}) == (
        Outcome.WITHDRAWN,
        {"cancelled"},
    )
    assert office.rows("webhooks", effect="waiting") == []


def test_report_taken_in_while_another_worker_takes_in_its_withdrawal_is_withdrawn(office: Office) -> None:
    _held_until_the_other_is_done_or_waits(
        office,
        lambda: office.receive("Q-1", at="2026-11-23T10:00:00Z"),
        lambda: office.receive("Q-1", "report.withdrawn", at="2026-11-23T12:00:00Z"),
    )
    (report,) = office.rows("reports")
    assert (report["outcome"], {row["state"] for row in office.rows("obligations")}) == (
        Outcome.WITHDRAWN,
        {"cancelled"},
    )
    assert office.rows("webhooks", effect="waiting") == []


def test_same_report_under_two_webhook_ids_at_once_is_one_report(office: Office) -> None:
    _held_until_the_other_is_done_or_waits(
        office, lambda: office.receive("Q-1", webhook_id="msg-1"), lambda: office.receive("Q-1", webhook_id="msg-2")
    )
    assert len(office.rows("reports")) == 1
    assert {row["effect"] for row in office.rows("webhooks")} == {"created", "unchanged"}
