"""What an acknowledgement waits for while clocks fire (I39)."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from bridge.reports.guard import Limits
from tests.storage.crashes import Working
from tests.storage.held import watcher
from tests.storage.office import ANI, Office


class Turns:
    """A database's turn to write; notes when this thread has asked for it, and when it has given it back."""

    def __init__(self, turn: AbstractContextManager[Any]) -> None:
        self._turn, self._thread = turn, threading.get_ident()
        self.mine: list[float] = []

    def _note(self) -> None:
        if threading.get_ident() == self._thread:
            self.mine.append(time.monotonic())

    def __enter__(self) -> None:
        self._note()
        self._turn.__enter__()

    def __exit__(self, *raised: Any) -> None:
        self._turn.__exit__(*raised)
        self._note()


def test_ack_waits_for_at_most_one_tick(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """I39: while a backlog is worked off, no two whole ticks fit between an ack's asking to write and its having written.

    What it does before and after waits for nobody, but on a busy machine for the interpreter.
    """
    tickets = office.receive_many(300)
    office.pass_time(20_000)
    mine, stop = watcher(office, Limits(), most=10), threading.Event()
    ticks: list[tuple[float, float]] = []
    turns = Turns(office.database.turn)
    monkeypatch.setattr(office.database, "turn", turns)

    def work() -> None:
        while not stop.is_set():
            began = time.monotonic()
            if mine.tick():
                ticks.append((began, time.monotonic()))

    worker = Working(work)
    worker.start()
    acks = []
    for ticket in tickets[::10]:
        turns.mine.clear()
        office.casework.acknowledge(ticket, ANI)
        acks.append((turns.mine[0], turns.mine[-1]))
    stop.set()
    worker.result()
    inside = [sum(begin <= b and e <= end for b, e in ticks) for begin, end in acks]
    assert ticks
    assert max(inside) <= 1, (inside, acks, ticks)


class Audited:
    """What this thread asks of the world outside, as Python's own audit events tell. A hook can't be taken out."""

    def __init__(self) -> None:
        self.thread = 0
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, _: tuple[Any, ...]) -> None:
        if self.thread == threading.get_ident() and event.startswith(
            ("open", "socket.", "subprocess.", "os.", "time.sleep", "smtplib.", "urllib.", "http.")
        ):
            self.seen.append(event)


@pytest.fixture(scope="module")
def audited() -> Iterator[Audited]:
    """The hook, deaf at the end."""
    made = Audited()
    yield made
    made.thread = 0


def test_tick_does_no_io_but_the_databases(office: Office, audited: Audited) -> None:
    """I39: nothing an ack could wait for."""
    office.receive_many(30)
    office.pass_time(3600)
    office.watcher.tick()  # connections are open and code is loaded now
    office.pass_time(3600)
    audited.seen.clear()
    audited.thread = threading.get_ident()
    try:
        assert office.watcher.tick() > 0
        seen = list(audited.seen)
        open("/dev/null").close()  # the hook does hear something
    finally:
        audited.thread = 0
    assert (seen, "open" in audited.seen) == ([], True)
