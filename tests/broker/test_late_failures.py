"""What fails only when nobody waits for it any more: it ends where people look, and nothing that is well does.

A slow destination's messages are acknowledged before they are done and come again by the database. So no queue counts
how often one of them failed.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from bridge.broker.topology import DELIVERY_LIMIT
from bridge.delivery.webhook import CityWebhook
from bridge.signing import signing_key
from bridge.storage.database import Database, DatabaseAway
from bridge.storage.migrate import migrate
from bridge.storage.tables import deliveries
from consumers.lanes import Lanes, by_report
from consumers.relay_outbox import RelayOutbox
from consumers.report_back import ReportBack
from consumers.runtime import DeadLetterWorker, LoopWorker, SharingWorker
from consumers.set_aside import SetAside
from tests.broker.queues import CALLBACKS, LIMIT_S, Broker
from tests.conftest import Urls
from tests.servers import Answer, CityReceiver, PostgreSQL, eventually
from tests.storage.office import ARRIVALS, KEY, LINKS, SOURCE, Office


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what lasts minutes last less than a second."""
    monkeypatch.setattr("consumers.lanes.PATIENCE_S", 0.1)
    monkeypatch.setattr("consumers.lanes.QUICK_S", 0.0)
    monkeypatch.setattr("consumers.lanes.LEASE_S", 0.2)
    monkeypatch.setattr("consumers.telling.LEASE_S", 0.2)
    monkeypatch.setattr("consumers.relay_outbox.SWEEP_S", 0.2)


@pytest.fixture
def office(engine_urls: Urls) -> Iterator[Office]:
    """An office whose city is told back."""
    database = Database(engine_urls.database_url)
    migrate(database)
    yield Office(database)
    database.close()


@pytest.fixture
def broker(engine_urls: Urls) -> Broker:
    """The queue beside it."""
    made = Broker(engine_urls.broker_url)
    made.declare()
    return made


@contextmanager
def at_work(broker: Broker, office: Office, make: Callable[[], Any]) -> Iterator[None]:
    """Let relay_outbox, set_aside and, in lanes, this step work for as long as the block lasts."""
    stop, database = threading.Event(), office.database
    with broker.publisher() as publisher:
        relay = RelayOutbox(database, publisher)
        lanes = Lanes(database, "t", make, by_report)
        steps: tuple[Any, ...] = (
            LoopWorker("relay", relay.turn, stop),
            SharingWorker(broker.url, [CALLBACKS], lanes, stop),
            DeadLetterWorker(broker.url, [f"{CALLBACKS}.dead"], SetAside(database, ARRIVALS.vault), stop),
        )
        threads = [threading.Thread(target=step.run) for step in steps]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join(LIMIT_S)
            lanes.finish()
            relay.close()


class Slow:
    """A step that takes longer than anybody waits; for some messages it then raises."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self.raises: dict[str, type[Exception]] = {}
        self.tried: list[str] = []
        self.sending_s, self.sending_since = 1.0, None

    def make(self) -> "Slow":
        made = Slow(self._office)
        made.raises, made.tried = self.raises, self.tried
        return made

    def handle(self, messages: Sequence[dict[str, Any]]) -> None:
        for message in messages:
            delivery_id = str(message["data"]["delivery_id"])
            self.sending_since = time.monotonic()
            time.sleep(0.3)
            self.sending_since = None
            self.tried.append(delivery_id)
            if delivery_id in self.raises:
                raise self.raises[delivery_id]("on purpose")
            self._office.set(
                "deliveries", {"state": "delivered", "finished_at": self._office.now()}, delivery_id=delivery_id
            )

    def settled(self) -> bool:
        return True

    def close(self) -> None:
        pass


def callbacks(office: Office, count: int) -> list[str]:
    """Have so many callbacks to make; returns their ids, in the order they leave."""
    office.receive_many(count)
    with office.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM outbox WHERE type <> 'callback.due'")
        connection.execute(sa.delete(deliveries).where(deliveries.c.purpose != "callback"))
    return [row["data"]["delivery_id"] for row in office.rows("outbox")]


def open_ones(office: Office) -> set[str]:
    return {row["delivery_id"] for row in office.rows("deliveries") if row["finished_at"] is None}


def test_message_that_fails_only_after_it_was_put_off_ends_on_the_list_and_the_others_go_on(
    broker: Broker, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = callbacks(office, 6)
    poison, slow = ids[1], Slow(office)
    slow.raises[poison] = ValueError
    with at_work(broker, office, slow.make):
        (line,) = eventually(lambda: office.rows("set_aside"), LIMIT_S, "the poison is on the list")
        eventually(lambda: open_ones(office) == {poison}, LIMIT_S, "all others are told")
        tried = slow.tried.count(poison)
        monkeypatch.setattr("consumers.relay_outbox.STRANDED_S", 0.0)
        time.sleep(2.0)
        assert slow.tried.count(poison) == tried, "nobody tries what waits for a person"
    assert (line["why"], line["source"], line["state"]) == ("dead_letter", f"{CALLBACKS}.dead", "waiting")
    assert len(office.rows("set_aside")) == 1
    # In its first company, alone, then counted by the queue.
    assert 0 <= tried - DELIVERY_LIMIT <= 4
    broker.settles_at(callbacks=0, callbacks_dead=0)


def test_message_whose_world_is_away_for_ever_so_long_is_never_on_the_list(broker: Broker, office: Office) -> None:
    ids = callbacks(office, 3)
    slow = Slow(office)
    slow.raises = dict.fromkeys(ids, DatabaseAway)
    with at_work(broker, office, slow.make):
        eventually(
            lambda: max(map(slow.tried.count, ids)) > DELIVERY_LIMIT + 2, LIMIT_S, "tried more often than the limit"
        )
        assert office.rows("set_aside") == []
        assert open_ones(office) == set(ids)
        slow.raises.clear()
        eventually(lambda: not open_ones(office), LIMIT_S, "all are told")
    assert office.rows("set_aside") == []


# --- a result that cannot be written --------------------------------------------------------------------------------


def refuse(database: Database, delivery_id: str) -> None:
    """Let the database refuse to write the end of one delivery, as it refuses a value that is too large."""
    if database.is_sqlite:
        with sqlite3.connect(database.engine.url.database or "") as file:
            file.execute(
                "CREATE TRIGGER poison BEFORE UPDATE ON deliveries"
                f" WHEN NEW.delivery_id = '{delivery_id}' AND NEW.state = 'delivered'"
                " BEGIN SELECT length(zeroblob(2147483648)); END"
            )
        file.close()
        return
    with psycopg.connect(database.url.replace("+psycopg", "")) as connection:
        connection.execute(
            "CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'too large' USING ERRCODE = '22003'; END $$"
        )
        connection.execute(
            "CREATE TRIGGER poison BEFORE UPDATE ON deliveries FOR EACH ROW"
            f" WHEN (NEW.delivery_id = '{delivery_id}' AND NEW.state = 'delivered') EXECUTE FUNCTION poison()".encode()
        )


@pytest.mark.parametrize("slow", [False, True], ids=["quick", "slow"])
def test_delivery_whose_end_cannot_be_written_is_given_up_where_our_own_faults_are_listed(
    broker: Broker, office: Office, city: CityReceiver, monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    most = 3
    monkeypatch.setattr("consumers.telling.DELIVERY_LIMIT", most)
    monkeypatch.setattr("consumers.telling.LEASE_S", 3.0)  # longer than any attempt can take
    city.answer_always(Answer(delay_s=0.3 if slow else 0.0))
    ids = callbacks(office, 5)
    refuse(office.database, ids[1])
    with at_work(
        broker, office, lambda: ReportBack(office.database, {SOURCE: CityWebhook(city.url, signing_key(KEY))}, LINKS)
    ):
        eventually(lambda: not open_ones(office), LIMIT_S, "each has an end")
        told = [posted.headers["webhook-id"] for posted in city.requests]
        time.sleep(2.0)
        assert len(city.requests) == len(told), "nothing is sent any more"
    (given_up,) = office.rows("deliveries", state="given_up")
    assert (given_up["delivery_id"], given_up["fault"]) == (ids[1], "ours")
    assert "begun 3 times without an end" in given_up["last_error"]
    assert {id_: told.count(id_) for id_ in ids} == {**dict.fromkeys(ids, 1), ids[1]: most}
    assert office.rows("set_aside") == []


def test_outages_of_the_database_between_sending_and_writing_give_nothing_up(
    postgres: PostgreSQL, amqp_url: str, postgres_url: str, city: CityReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.telling.DELIVERY_LIMIT", 2)
    broker, database = Broker(amqp_url), Database(postgres_url)
    broker.declare()
    migrate(database)
    office = Office(database)
    city.answer_always(Answer(delay_s=0.5))
    ids = callbacks(office, 12)
    with at_work(
        broker, office, lambda: ReportBack(office.database, {SOURCE: CityWebhook(city.url, signing_key(KEY))}, LINKS)
    ):
        for _ in range(4):
            seen = len(city.requests)
            eventually(lambda before=seen: len(city.requests) > before, LIMIT_S, "something is being sent")  # type: ignore[misc]
            postgres.kill()
            time.sleep(1.5)
            postgres.start()
        eventually(
            lambda: {row["state"] for row in office.rows("deliveries")} == {"delivered"}, LIMIT_S, "all are told"
        )
    assert {posted.headers["webhook-id"] for posted in city.requests} == set(ids)
    assert office.rows("set_aside") == []
    database.close()
