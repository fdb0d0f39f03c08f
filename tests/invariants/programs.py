"""Processes for the kill run: a nursery that has imported everything and forks watchers and people on request.

`programs.py URL`: each line of its input starts one, `watcher 7` or `person 7` (the number seeds its choices); the
answer is its pid. All of them end with the nursery, and the nursery with whoever started it.
"""

import ctypes
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import sqlalchemy as sa
import structlog

from bridge.casework import Casework
from bridge.reports.clocks import Kind
from bridge.reports.moves import Actor, Details
from bridge.reports.states import Move, MoveRefused, Outcome
from bridge.storage import reports as stored
from bridge.storage.database import Conflict, Database, DatabaseAway
from bridge.storage.tables import reports
from consumers.watch_clocks import WatchClocks
from tests.storage.office import PEOPLE, Rung, make_rules

#: Seconds instead of hours: several steps due together, and the citizen's clock closes reports while people answer.
LADDERS: dict[Kind, tuple[Rung, ...]] = {
    Kind.ACKNOWLEDGE: (
        (0, "assignee", "warn"),
        (1, "next_member", "both"),
        (1, "person:gone", "notify"),
        (2, "role:chair", "notify"),
        (3, "role:admin", "notify"),
    ),
    Kind.TRIAGE: ((1, "role:secretariat", "notify"), (3, "role:chair", "notify")),
    Kind.COMPLETION: ((1, "citizen", "notify"), (2, "assignee", "close")),
}
#: Reports whose number divides by this are left to the clock alone.
LEFT_ALONE = 4
PR_SET_PDEATHSIG = 1


def watcher(url: str, seed: int) -> None:
    """Watch the clocks as `bridge work watch_clocks` does, in batches of some size."""
    database = Database(url)
    watching = WatchClocks(database, make_rules(database, LADDERS))
    watching.most = random.Random(seed).choice([1, 3, 20, 100])
    _for_ever(watching.turn)


def person(url: str, seed: int) -> None:
    """Make moves at reports, one after the other: any that may be allowed."""
    database, chance = Database(url), random.Random(seed)
    casework = Casework(database, make_rules(database, LADDERS))
    with database.read() as connection:
        rows = connection.execute(sa.select(reports.c.ticket, reports.c.external_id)).all()
    tickets = [ticket for ticket, external_id in rows if int(external_id.rpartition("-")[2]) % LEFT_ALONE]
    actors = [Actor(f"person:{one.person_id}", one) for one in PEOPLE]
    details = Details(outcome=Outcome.SETTLED, case_number="17/BPSK", missing=("KTP",), reason="uji")

    def make_a_move() -> None:
        ticket = chance.choice(tickets)
        with database.read() as connection:
            present = stored.by_ticket(connection, ticket)
        likely = {
            "received": (Move.ACKNOWLEDGE,),
            "acknowledged": (Move.ASK_COMPLETION, Move.ASK_COMPLETION, Move.REGISTER, Move.CLOSE, Move.WITHDRAW),
            "needs_completion": (Move.RESUME, Move.RESUME, Move.CLOSE),
            "registered": (Move.CLOSE,),
            "closed": (Move.REOPEN,),
        }[present.status]
        try:
            if likely == (Move.ACKNOWLEDGE,):
                casework.acknowledge(ticket, chance.choice(actors))
            else:
                casework.move(chance.choice(likely), ticket, chance.choice(actors), details)
        except MoveRefused:
            return  # somebody else was there first

    _for_ever(make_a_move)


def _for_ever(work: Callable[[], None]) -> None:
    while True:
        try:
            work()
        except (Conflict, DatabaseAway):
            continue


def _read_once(url: str) -> None:
    # The configuration is read once, before anybody is forked: what is killed must have begun to work.
    database = Database(url)
    make_rules(database, LADDERS)
    database.close()


def main(url: str) -> None:
    """Start what is asked for, until the input ends."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    programs = {"watcher": watcher, "person": person}
    _read_once(url)
    print("ready", flush=True)
    for line in sys.stdin:
        name, seed = line.split()
        pid = os.fork()
        if pid == 0:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            programs[name](url, int(seed))
        print(pid, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
