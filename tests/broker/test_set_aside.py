"""A webhook no step can handle: through the real queues to the list, back when a person says so, and back again."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from bridge.broker.topology import DELIVERY_LIMIT
from bridge.rules import Rules
from bridge.storage.database import Database
from bridge.storage.migrate import migrate
from bridge.worklist import Worklist
from consumers.relay_outbox import RelayOutbox
from consumers.runtime import DeadLetterWorker, QueueWorker
from consumers.set_aside import SetAside
from consumers.take_in import TakeIn
from tests.broker.queues import INTAKE, LIMIT_S, Broker
from tests.servers import eventually
from tests.storage.office import ARRIVALS, SOURCE, Office, body, id_of


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """An office beside the queue."""
    database = Database(f"sqlite:///{tmp_path}/bridge.sqlite3")
    migrate(database)
    yield Office(database)
    database.close()


@contextmanager
def at_work(broker: Broker, office: Office, rules: Rules) -> Iterator[None]:
    """Let take_in, under these rules, and set_aside work for as long as the block lasts."""
    stop, database = threading.Event(), office.database
    steps = (
        QueueWorker(broker.url, [INTAKE], TakeIn(database, rules, ARRIVALS), stop),
        DeadLetterWorker(broker.url, [f"{INTAKE}.dead"], SetAside(database, ARRIVALS.vault), stop),
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


def _release(broker: Broker, office: Office, number: int, reason: str) -> None:
    Worklist(office.database, ARRIVALS).release(number, "person:adi", reason)
    with broker.publisher() as publisher:
        assert RelayOutbox(office.database, publisher).relay() == 1


def _line(office: Office, state: str) -> dict[str, Any]:
    rows = eventually(lambda: office.rows("set_aside", state=state), LIMIT_S, f"one is {state}")
    assert len(office.rows("set_aside")) == 1
    return dict(rows[0])


def test_webhook_no_rule_takes_waits_for_a_person_and_is_a_report_once_there_is_one(
    broker: Broker, office: Office
) -> None:
    nobody = Rules(office.database, replace(office.rules.book, rules=()))
    nobody.prepare()
    content, came_at = body("Q-1"), datetime.now(UTC) - timedelta(hours=5)
    broker.put(ARRIVALS.sealed(SOURCE, "msg-1", "k1", came_at, sha256(content).hexdigest(), content))
    with at_work(broker, office, nobody):
        line = _line(office, "waiting")
        assert "take_in could not handle this message of bridge.intake.dead" in line["reasons"][0]
        assert (f"{DELIVERY_LIMIT} times" in line["reasons"][0]) != broker.embedded, "as far as the broker says it"
        _release(broker, office, line["id"], "dicoba lagi")
        again = _line(office, "waiting")
    assert (again["id"], again["reasons"][0]) == (line["id"], "it was released, and failed again")

    with at_work(broker, office, office.rules):
        _release(broker, office, line["id"], "aturan ditambahkan")
        (report,) = eventually(lambda: office.rows("reports"), LIMIT_S, "the report")
    assert (report["report_id"], report["received_at"]) == (id_of("Q-1"), came_at)
    (kept,) = office.rows("webhooks")
    assert (kept["webhook_id"], kept["key_id"]) == ("msg-1", "k1"), "its own id: a retry of the city changes nothing"
    assert _line(office, "released")["id"] == line["id"]
    assert [row["reason"] for row in office.rows("set_aside_decisions")] == ["dicoba lagi", "aturan ditambahkan"]
    broker.settles_at(intake=0, intake_dead=0)
