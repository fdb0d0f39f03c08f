"""Of one report the city never hears an older state after a newer one, and one address never waits for another."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from bridge.delivery.webhook import CityWebhook
from bridge.reports.breakers import TRIP_AFTER
from bridge.reports.channels import Channel, Ways
from bridge.reports.clocks import Kind
from bridge.reports.findings import What
from bridge.reports.moves import Details
from bridge.reports.preferences import Held
from bridge.reports.states import Move, Outcome
from bridge.resending import resend
from bridge.signing import signing_key
from bridge.storage import audit, outbox
from bridge.storage.deliveries import announce_stranded
from bridge.storage.told import Wanted
from consumers.report_back import ReportBack
from consumers.runtime import DeadLetter
from consumers.set_aside import SetAside
from tests.servers import Answer, CityReceiver
from tests.storage.crashes import together
from tests.storage.office import ANI, ARRIVALS, KEY, LINKS, SOURCE, Office


@pytest.fixture
def report_back(office: Office, city: CityReceiver) -> Iterator[ReportBack]:
    """The step that tells the city, over a real receiver."""
    made = step(office, city)
    yield made
    made.close()


def step(office: Office, city: CityReceiver, ways: Ways = Ways()) -> ReportBack:  # noqa: B008 - frozen
    """Return the step as another process has it."""
    return ReportBack(office.database, {SOURCE: CityWebhook(city.url, signing_key(KEY))}, LINKS, ways)


def due(office: Office) -> list[dict[str, Any]]:
    """Take the callbacks' messages whose time has come."""
    now = office.now()
    rows = [row for row in office.rows("outbox", type="callback.due") if row["available_at"] <= now]
    with office.database.write() as connection:
        outbox.forget(connection, [row["id"] for row in rows])
    return [{"id": str(row["id"]), "type": row["type"], "data": row["data"]} for row in rows]


def told(city: CityReceiver, *, taken: bool = True) -> list[int]:
    """Return the numbers of the callbacks that were taken, as they came."""
    return [json.loads(one.body)["data"]["sequence"] for one in city.requests if not taken or one.status < 300]


def work(office: Office, *steps: ReportBack) -> None:
    """Handle what is due until nothing is."""
    while messages := due(office):
        for one in steps:
            one.handle(messages)


def three_states(office: Office) -> str:
    """Take in a report, acknowledge it, close it: three callbacks."""
    ticket = office.receive("Q-1")
    office.casework.acknowledge(ticket, ANI)
    office.casework.move(Move.CLOSE, ticket, ANI, Details(outcome=Outcome.SETTLED))
    return ticket


def states(office: Office) -> list[str]:
    rows = office.rows("deliveries", purpose="callback")
    return [row["state"] for row in sorted(rows, key=lambda row: row["sequence"])]


def test_messages_that_come_in_any_order_are_told_in_the_right_one(
    office: Office, report_back: ReportBack, city: CityReceiver
) -> None:
    three_states(office)
    for message in reversed(due(office)):
        report_back.handle([message])
    work(office, report_back)
    assert (told(city), states(office)) == ([1, 2, 3], ["delivered"] * 3)


def test_newer_state_waits_for_an_older_one_that_failed_and_both_arrive(
    office: Office, report_back: ReportBack, city: CityReceiver
) -> None:
    three_states(office)
    city.answer_next(500)
    work(office, report_back)
    assert (told(city), states(office)) == ([], ["failed", "pending", "pending"])
    office.pass_time(10)
    work(office, report_back)
    assert told(city) == [1, 2, 3]


def test_two_processes_at_once_keep_the_order(office: Office, report_back: ReportBack, city: CityReceiver) -> None:
    three_states(office)
    city.answer_next(*[Answer(200, delay_s=0.2)] * 3)
    messages, other = due(office), step(office, city)
    together(lambda: report_back.handle(messages), lambda: other.handle(messages[::-1]))
    work(office, report_back, other)
    office.pass_time(100)
    work(office, report_back, other)
    other.close()
    assert (told(city), states(office)) == ([1, 2, 3], ["delivered"] * 3)


def test_older_one_the_city_refuses_again_and_again_does_not_hold_up_the_newer_for_days(
    office: Office, report_back: ReportBack, city: CityReceiver
) -> None:
    office.receive("Q-1")
    city.answer_next(422, 422, 422)
    for _ in range(3):
        work(office, report_back)
        office.pass_time(2000)
    assert told(city, taken=False) == [1, 1, 1]
    ticket = office.rows("reports")[0]["ticket"]
    office.casework.acknowledge(ticket, ANI)
    city.answer_always(200)
    # The message of the newer one comes before the older one's next try.
    older, newer = sorted(office.rows("deliveries", purpose="callback"), key=lambda row: row["sequence"])
    office.set(
        "deliveries",
        {"next_attempt_at": office.now() + 2 * (older["next_attempt_at"] - older["created_at"])},
        delivery_id=older["delivery_id"],
    )
    report_back.handle([{"data": {"delivery_id": newer["delivery_id"]}}])
    work(office, report_back)
    assert told(city) == [2]
    assert states(office) == ["given_up", "delivered"]
    assert "passed by a newer state" in office.rows("deliveries", delivery_id=older["delivery_id"])[0]["last_error"]


def test_older_one_that_was_given_up_lets_the_newer_go_at_once(
    office: Office, report_back: ReportBack, city: CityReceiver
) -> None:
    three_states(office)
    city.answer_next(410)
    work(office, report_back)
    assert (told(city), states(office)) == ([2, 3], ["given_up", "delivered", "delivered"])


def test_report_whose_callback_fails_holds_up_no_other_report(
    office: Office, report_back: ReportBack, city: CityReceiver
) -> None:
    office.receive_many(3)
    city.answer_next(500)
    work(office, report_back)
    assert sorted(row["state"] for row in office.rows("deliveries", purpose="callback")) == [
        "delivered",
        "delivered",
        "failed",
    ]


def test_city_that_keeps_failing_is_left_alone_and_gets_everything_when_it_is_back(
    office: Office, report_back: ReportBack, city: CityReceiver
) -> None:
    office.receive_many(12)
    city.answer_always(503)
    work(office, report_back)
    assert len(city.requests) == TRIP_AFTER, "asked on although it had failed so often"
    assert {row["state"] for row in office.rows("deliveries", purpose="callback")} == {"failed", "pending"}
    (trouble,) = office.rows("destinations")
    assert (trouble["destination"], trouble["failures"]) == (SOURCE, TRIP_AFTER)
    office.pass_time(31)
    work(office, report_back)
    assert len(city.requests) == TRIP_AFTER + 1, "more than one try to see whether it is back"
    city.answer_always(200)
    office.pass_time(61)
    work(office, report_back)
    assert {row["state"] for row in office.rows("deliveries", purpose="callback")} == {"delivered"}
    assert office.rows("destinations") == []
    assert len(city.requests) == TRIP_AFTER + 1 + 12


def test_what_waits_for_a_city_uses_up_none_of_its_tries(
    office: Office, report_back: ReportBack, city: CityReceiver
) -> None:
    office.receive_many(12)
    city.answer_always(500)
    for _ in range(20):
        work(office, report_back)
        office.pass_time(1000)
    attempts = [row["attempts"] for row in office.rows("deliveries", purpose="callback")]
    assert sum(attempts) == len(city.requests)
    assert sum(attempts) < TRIP_AFTER + 21


@pytest.mark.parametrize("status", [429, 503])
def test_city_that_asks_for_a_pause_is_asked_by_nobody_meanwhile(
    office: Office, report_back: ReportBack, city: CityReceiver, status: int
) -> None:
    office.receive_many(5)
    city.answer_next(Answer(status, {"Retry-After": "120"}))
    work(office, report_back)
    assert len(city.requests) == 1
    office.pass_time(119)
    work(office, report_back)
    assert len(city.requests) == 1
    office.pass_time(5)
    work(office, report_back)
    office.pass_time(15)
    work(office, report_back)
    assert {row["state"] for row in office.rows("deliveries", purpose="callback")} == {"delivered"}


def test_refusals_of_single_things_open_no_breaker(office: Office, report_back: ReportBack, city: CityReceiver) -> None:
    office.receive_many(TRIP_AFTER + 3)
    city.answer_always(422)
    work(office, report_back)
    assert (len(city.requests), office.rows("destinations")) == (TRIP_AFTER + 3, [])
    assert {row["fault"] for row in office.rows("deliveries", purpose="callback")} == {"refused"}


def test_schedule_of_the_city_is_what_the_file_says(office: Office, city: CityReceiver) -> None:
    hasty = step(office, city, Ways(city=Channel("webhook", (1.0,))))
    office.receive("Q-1")
    city.answer_always(500)
    for _ in range(4):
        work(office, hasty)
        office.pass_time(2)
    hasty.close()
    (row,) = office.rows("deliveries", purpose="callback")
    assert (row["state"], row["attempts"], len(city.requests)) == ("given_up", 2, 2)


def test_attempts_keep_what_was_answered(office: Office, report_back: ReportBack, city: CityReceiver) -> None:
    office.receive("Q-1")
    city.answer_next(Answer(500, body=b"out of order, whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo="))
    work(office, report_back)
    office.pass_time(10)
    work(office, report_back)
    first, second = office.rows("delivery_attempts")
    assert (first["outcome"], first["status"], first["fault"]) == ("failed", 500, "away")
    assert "out of order" in first["response"]
    assert "QUJDREVGR0hJ" not in first["response"]
    assert (second["outcome"], second["status"], second["channel"]) == ("delivered", 200, "webhook")
    assert second["duration_ms"] is not None


def test_every_address_of_a_source_is_told_by_itself(office: Office, city: CityReceiver) -> None:
    archive = CityReceiver()
    archive.start()
    try:
        office.use({Kind.TRIAGE: ((360_000, "role:chair", "notify"),)})
        office.rules.book.__dict__["told_back"] = frozenset({SOURCE, f"{SOURCE}/arsip"})
        both = {
            SOURCE: CityWebhook(city.url, signing_key(KEY)),
            f"{SOURCE}/arsip": CityWebhook(archive.url, signing_key(KEY)),
        }
        report_back = ReportBack(office.database, both, LINKS)
        city.answer_always(500)
        three_states(office)
        work(office, report_back)
        assert (told(city), told(archive)) == ([], [1, 2, 3])
        city.answer_always(200)
        office.pass_time(10)
        work(office, report_back)
        assert told(city) == [1, 2, 3]
        ids = {one.headers["webhook-id"] for one in (*city.requests, *archive.requests)}
        assert len(ids) == 6
        report_back.close()
    finally:
        archive.stop()


def test_one_that_failed_and_waits_for_a_replayed_older_one_goes_as_soon_as_that_has_gone(
    office: Office, report_back: ReportBack, city: CityReceiver
) -> None:
    ticket = office.receive("Q-1")
    work(office, report_back)
    office.casework.acknowledge(ticket, ANI)
    city.answer_next(500)
    work(office, report_back)
    assert states(office) == ["delivered", "failed"]
    first, second = sorted(office.rows("deliveries", purpose="callback"), key=lambda row: row["sequence"])
    resend(office.database, Wanted(delivery_ids=[first["delivery_id"]]), actor="cli:uji", reason="uji")
    office.set("deliveries", {"next_attempt_at": office.now()}, delivery_id=second["delivery_id"])
    report_back.handle([{"data": {"delivery_id": second["delivery_id"]}}])
    assert office.rows("deliveries", delivery_id=second["delivery_id"])[0]["held"] == "order"
    # As if somebody had been at the older one, with a lease of a minute and a half.
    office.set(
        "deliveries", {"next_attempt_at": office.now() + timedelta(seconds=90)}, delivery_id=second["delivery_id"]
    )
    work(office, report_back)
    assert (told(city), states(office)) == ([1, 1, 2], ["delivered", "delivered"])
    assert [one.headers.get("webhook-replay") for one in city.requests if one.status == 200] == [None, "1", None]


# --- what lies aside ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stood",
    [
        {"state": "pending"},
        {"state": "failed", "attempts": 3},
        {"state": "failed", "attempts": 3, "held": Held.BREAKER},
        {"state": "sending", "attempts": 20},
    ],
    ids=lambda stood: "-".join(map(str, stood.values())),
)
def test_callback_whose_message_lies_aside_leaves_when_a_person_releases_it_and_not_before(
    office: Office, report_back: ReportBack, city: CityReceiver, stood: dict[str, Any]
) -> None:
    office.receive("Q-1")
    (letter,) = due(office)
    office.set("deliveries", {"state": "delivered", "finished_at": office.now()}, purpose="notice")
    lease = {"lease_until": office.now() + timedelta(seconds=90)} if stood["state"] == "sending" else {}
    office.set("deliveries", stood | lease, purpose="callback")
    body = json.dumps({**letter, "timestamp": office.now().isoformat()}).encode()
    dead = DeadLetter("bridge.callbacks.dead", letter["id"], body, "delivery_limit")
    SetAside(office.database, ARRIVALS.vault).handle([{"id": letter["id"], "type": "dead.letter", "data": dead}])
    office.pass_time(10_000)
    with office.database.write() as connection:
        now = office.database.now(connection)
        announce_stranded(office.database, connection, now=now, older_s=300, most=10)
        found = [finding.what for finding in audit.look(office.database, connection, now)]
    assert (due(office), What.DELIVERIES_STRANDED in found) == ([], False)
    report_back.handle([letter])
    assert (len(told(city)), states(office)) == (1, ["delivered"])
