"""A slow address holds up nobody: its lane works on by itself, and what it has not done comes again."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from bridge.storage.database import DatabaseAway
from bridge.storage.tables import deliveries
from consumers.lanes import FULL_FOR_S, MOST_WAITING, WIDTH, Lanes, _Lane, by_person, by_report
from consumers.telling import LEASE_S
from tests.servers import eventually
from tests.storage.office import Office

Message = dict[str, Any]


class Recorder:
    """What the lanes' steps were given, and how each behaves."""

    def __init__(self) -> None:
        self.handled: list[tuple[str, str]] = []
        self.slow, self.open = set[str](), threading.Event()
        self.fails: type[Exception] | None = None
        self.made = self.closed = 0
        self.owes = False
        self.sending_s = 0.0
        self.sending_since: float | None = None

    def make(self) -> "Recorder":
        self.made += 1
        return self

    def handle(self, messages: Sequence[Message]) -> None:
        for message in messages:
            delivery_id = str(message["data"]["delivery_id"])
            if delivery_id in self.slow:
                self.sending_since = time.monotonic()
                assert self.open.wait(30)
                self.sending_since = None
            if self.fails:
                raise self.fails
            self.handled.append((threading.current_thread().name, delivery_id))

    def settled(self) -> bool:
        return not self.owes

    def close(self) -> None:
        self.closed += 1

    @property
    def done(self) -> list[str]:
        return [delivery_id for _, delivery_id in self.handled]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def callbacks(office: Office, **counts: int) -> dict[str, list[Message]]:
    """Make callbacks to destinations, so many each; returns their messages."""
    total = sum(counts.values())
    office.receive_many(total)
    rows = office.rows("deliveries", purpose="callback")
    made: dict[str, list[Message]] = {}
    for name, count in counts.items():
        mine, rows = rows[:count], rows[count:]
        for row in mine:
            office.set("deliveries", {"recipient": name}, delivery_id=row["delivery_id"])
        made[name] = [{"type": "callback.due", "data": {"delivery_id": row["delivery_id"]}} for row in mine]
    with office.database.write() as connection:
        connection.execute(
            sa.delete(deliveries).where(deliveries.c.purpose == "callback", deliveries.c.recipient == "qlue")
        )
        connection.exec_driver_sql("DELETE FROM outbox")
    return made


def ids(messages: Sequence[Message]) -> list[str]:
    return [message["data"]["delivery_id"] for message in messages]


def test_everything_is_handled_before_it_is_acknowledged(office: Office, recorder: Recorder) -> None:
    made = callbacks(office, one=6, two=6)
    Lanes(office.database, "t", recorder.make, by_report).handle(made["one"] + made["two"])
    assert sorted(recorder.done) == sorted(ids(made["one"] + made["two"]))
    assert office.rows("outbox") == []


def test_slow_destination_delays_no_other_and_what_it_has_not_done_comes_again(
    office: Office, recorder: Recorder
) -> None:
    made = callbacks(office, slow=5, quick=5)
    recorder.slow = set(ids(made["slow"]))
    lanes = Lanes(office.database, "t", recorder.make, by_report)
    began = time.monotonic()
    lanes.handle(made["slow"])
    lanes.handle(made["quick"])
    assert time.monotonic() - began < 20
    assert set(recorder.done) == set(ids(made["quick"]))
    again = office.rows("outbox")
    assert sorted(row["data"]["delivery_id"] for row in again) == sorted(ids(made["slow"]))
    assert all((row["available_at"] - office.now()).total_seconds() > LEASE_S - 30 for row in again)
    recorder.open.set()
    eventually(lambda: len(recorder.done) == 10, 20)


def test_quick_destination_takes_one_lane_so_that_much_leaves_together(office: Office, recorder: Recorder) -> None:
    made = callbacks(office, one=40)
    lanes = Lanes(office.database, "t", recorder.make, by_report)
    for _ in range(3):
        lanes.handle(made["one"])
    assert (recorder.made, len(recorder.done)) == (1, 120)


@pytest.mark.parametrize("known_by", ["waiting in vain", "its times"])
def test_slow_destination_takes_a_few_lanes_and_one_report_stays_in_its_own(
    office: Office, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, known_by: str
) -> None:
    monkeypatch.setattr("consumers.lanes.QUICK_S", -1.0 if known_by == "its times" else 0.5)
    made = callbacks(office, one=40)
    lanes = Lanes(office.database, "t", recorder.make, by_report)
    if known_by == "waiting in vain":
        recorder.slow = {ids(made["one"])[0]}
    lanes.handle(made["one"][:1])
    recorder.open.set()
    eventually(lambda: len(recorder.done) == 1, 20)
    recorder.handled.clear()
    for _ in range(3):
        lanes.handle(made["one"])
    lane_of: dict[str, set[str]] = {}
    for lane, delivery_id in recorder.handled:
        lane_of.setdefault(delivery_id, set()).add(lane)
    assert all(len(lanes) == 1 for lanes in lane_of.values())
    assert 1 < len({lane for lane, _ in recorder.handled}) <= WIDTH
    assert recorder.made <= WIDTH


def test_destination_that_was_slow_is_taken_for_quick_after_a_while(
    office: Office, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.lanes.QUICK_S", -1.0)
    monkeypatch.setattr("consumers.lanes.SLOW_FOR_S", 0.0)
    made = callbacks(office, one=20)
    lanes = Lanes(office.database, "t", recorder.make, by_report)
    lanes.handle(made["one"])
    lanes.handle(made["one"])
    assert (recorder.made, len(recorder.done)) == (1, 40)


def test_lane_that_is_full_gets_no_more(office: Office, recorder: Recorder) -> None:
    made = callbacks(office, slow=1)
    recorder.slow = set(ids(made["slow"]))
    lanes = Lanes(office.database, "t", recorder.make, by_report)
    lanes.handle(made["slow"])
    (lane,) = lanes._lanes.values()
    lane.waiting = MOST_WAITING
    lanes._slow_until.clear()  # into the same lane
    lanes.handle(made["slow"])
    soon, later = sorted((row["available_at"] - office.now()).total_seconds() for row in office.rows("outbox"))
    assert soon <= FULL_FOR_S < LEASE_S - 30 < later, "what never got into a lane need not wait for its death"
    recorder.open.set()
    eventually(lambda: len(recorder.done) == 1, 20)


def test_fault_in_a_lane_lets_no_message_be_acknowledged(office: Office, recorder: Recorder) -> None:
    made = callbacks(office, one=3)
    recorder.fails = DatabaseAway
    with pytest.raises(DatabaseAway):
        Lanes(office.database, "t", recorder.make, by_report).handle(made["one"])


def test_step_that_cannot_be_made_is_heard_of(office: Office) -> None:
    def make() -> Recorder:
        raise ZeroDivisionError

    made = callbacks(office, one=1)
    with pytest.raises(ZeroDivisionError):
        Lanes(office.database, "t", make, by_report).handle(made["one"])


def test_lane_that_had_nothing_to_do_ends_and_another_takes_over(
    office: Office, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.lanes.IDLE_S", 0.05)
    made = callbacks(office, one=1)
    lanes = Lanes(office.database, "idle", recorder.make, by_report)
    lanes.handle(made["one"])
    eventually(lambda: not [t for t in threading.enumerate() if t.name.startswith("idle-")], 20)
    lanes.handle(made["one"])
    assert (recorder.made, recorder.closed, len(recorder.done)) == (2, 1, 2)


def test_new_lane_whose_first_messages_come_slowly_is_not_idle(
    office: Office, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.lanes.IDLE_S", 0.0)
    put = _Lane.put

    def slowly(*given: Any) -> Any:
        time.sleep(0.1)
        return put(*given)

    monkeypatch.setattr(_Lane, "put", slowly)
    made = callbacks(office, one=1)
    Lanes(office.database, "t", recorder.make, by_report).handle(made["one"])
    assert (recorder.done, office.rows("outbox")) == (ids(made["one"]), [])


def test_told_to_stop_it_ends_what_it_has_in_hand_and_begins_nothing_more(office: Office, recorder: Recorder) -> None:
    made = callbacks(office, slow=1)
    recorder.slow = set(ids(made["slow"]))
    lanes = Lanes(office.database, "t", recorder.make, by_report)
    lanes.handle(made["slow"])
    lanes._slow_until.clear()  # into the same lane
    lanes.handle(made["slow"])  # waits behind the first
    threading.Timer(0.5, recorder.open.set).start()
    lanes.finish()
    assert recorder.done == ids(made["slow"])
    began = time.monotonic()
    lanes.finish()
    assert time.monotonic() - began < 5


def test_lane_that_knows_of_something_sent_and_not_written_does_not_end(
    office: Office, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.lanes.IDLE_S", 0.05)
    asked = 0

    def settled() -> bool:
        nonlocal asked
        asked += 1
        return not recorder.owes

    monkeypatch.setattr(recorder, "settled", settled)
    recorder.owes = True
    made = callbacks(office, one=1)
    Lanes(office.database, "owing", recorder.make, by_report).handle(made["one"])
    eventually(lambda: asked >= 3, 20)
    assert recorder.closed == 0
    recorder.owes = False
    eventually(lambda: recorder.closed == 1, 20)


def test_message_of_something_that_has_ended_is_dropped(office: Office, recorder: Recorder) -> None:
    made = callbacks(office, one=1)
    office.set("deliveries", {"state": "delivered", "finished_at": office.now()}, purpose="callback")
    Lanes(office.database, "t", recorder.make, by_report).handle(made["one"])
    assert recorder.done == []


def test_fresh_notice_is_in_the_lane_of_the_persons_first_channel(office: Office, recorder: Recorder) -> None:
    office.set("people", {"channels": ["telegram:1", "email"]})
    office.receive("Q-1")
    (row,) = office.rows("deliveries", purpose="notice")
    Lanes(office.database, "t", recorder.make, by_person).handle([{"data": {"delivery_id": row["delivery_id"]}}])
    assert recorder.handled[0][0].startswith("t-telegram-")
