"""SIGKILL at random over watchers and people at work, then counted: twice 0, out of order 0, after the end 0."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from bridge.reports.clocks import Kind
from bridge.storage import escalations
from bridge.storage.database import Database
from bridge.storage.migrate import migrate
from tests.invariants import checker, rebuild
from tests.invariants.checker import Facts, i11_overdue, violations
from tests.invariants.programs import LADDERS, LEFT_ALONE
from tests.invariants.town import facts_of
from tests.servers import PostgreSQL, eventually, new_folder
from tests.storage.office import ANI, Office

pytestmark = pytest.mark.timeout(1800)
#: Seconds for which processes are killed; more with JEMBATAN_STORM_S, for a night.
STORM_S = float(os.environ.get("JEMBATAN_STORM_S", "25"))
REPORTS = 160
CREW = {"watcher": 3, "person": 3}
#: Longest a person may wait for the clockwork, in seconds, on a machine that is busy with all this.
LONGEST_WAIT_S = 5.0


class Stamping(PostgreSQL):
    """A server that remembers when each transaction committed: "after" is the order of commits, not of clocks."""

    def command(self) -> list[str]:
        """See PostgreSQL.command."""
        return [*super().command(), "-c", "track_commit_timestamp=on"]


@pytest.fixture
def stamping() -> Iterator[Stamping]:
    """A server of the test's own."""
    server = Stamping(new_folder("postgres-stamping"))
    server.start()
    yield server
    server.close()


@dataclass
class Crew:
    """Processes at work, killed and replaced."""

    nursery: "subprocess.Popen[str]"
    at_work: dict[int, str] = field(default_factory=dict)
    started: int = 0
    kills: Counter[str] = field(default_factory=Counter)

    def start(self, what: str) -> None:
        """Start one more."""
        assert self.nursery.stdin and self.nursery.stdout
        self.started += 1
        self.nursery.stdin.write(f"{what} {self.started}\n")
        self.nursery.stdin.flush()
        self.at_work[int(self.nursery.stdout.readline())] = what

    def kill(self, pid: int) -> str:
        """Kill one, with SIGKILL."""
        what = self.at_work.pop(pid)
        os.kill(pid, signal.SIGKILL)
        return what


@pytest.fixture
def crew(stamping: Stamping) -> Iterator[Crew]:
    """Watchers and people on a database of the server, on which an office has reports."""
    url = stamping.new_database()
    database = Database(url)
    migrate(database)
    Office(database, LADDERS).receive_many(REPORTS)
    command = [sys.executable, str(Path(__file__).with_name("programs.py")), url]
    nursery = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert nursery.stdout and nursery.stdout.readline() == "ready\n"
    yield Crew(nursery)
    nursery.kill()
    nursery.communicate()
    database.close()


@pytest.fixture
def watched(crew: Crew) -> Iterator[Database]:
    """The crew's database."""
    database = Database(str(crew.nursery.args[-1]))  # type: ignore[index]
    yield database
    database.close()


def test_workers_killed_at_random_fire_everything_once_in_order_and_nothing_after_the_end(
    crew: Crew, watched: Database, stamping: Stamping, capsys: pytest.CaptureFixture[str]
) -> None:
    waits_s = _storm(crew, watched, random.Random(8311))
    for pid in [pid for pid, what in crew.at_work.items() if what == "person"]:
        crew.kill(pid)
    # Every ladder of seconds to its end: a step that falls due after the last watcher would be nobody's fault.
    soon = timedelta(seconds=60)
    eventually(lambda: not i11_overdue(facts_of(watched), _now(watched) + soon), 120, "every ladder has ended")
    for pid in list(crew.at_work):
        crew.kill(pid)
    while _seal(watched):
        pass

    facts = facts_of(watched)
    counts = {
        "fired twice": len(list(checker.i2_fires_at_most_once(facts))),
        "out of order": len(list(checker.i3_steps_rise_by_one(facts))),
        "fired early": len(list(checker.i4_nothing_fires_early(facts))),
        "fired after the end (by commit)": len(_after_the_end(facts, watched)),
        "log, state and deliveries differ": len(list(checker.i5_log_state_and_outbox_agree(facts))),
        "deliveries without their message": len(_unannounced(facts)),
        "overdue and not fired": len(i11_overdue(facts, _now(watched))),
        "state that does not follow from the log": len(rebuild.differences(facts.rows)),
        "ladders left alone that are not as one worker leaves them": len(_unlike_one_worker(facts, stamping)),
    }
    events = _events(watched)
    with capsys.disabled():
        print(f"\n{sum(crew.kills.values())} kills {dict(crew.kills)} in {STORM_S:.0f} s; {len(facts.log)} firings,")
        print(f"{dict(events)}; longest wait of an ack {max(waits_s):.3f} s of {len(waits_s)}; {counts}")
    assert set(counts.values()) == {0}, counts
    assert violations(facts) == []
    assert _chain_broken_at(watched) is None
    assert max(waits_s) < LONGEST_WAIT_S
    # That it was about something, and that the order of commits could have told.
    assert _about_something(crew, watched)
    assert _after_the_end(facts, watched, {"received": tuple(LADDERS)}) != []


def _storm(crew: Crew, database: Database, chance: random.Random) -> list[float]:
    """Kill and replace, one every so often; returns how long acknowledgements by an undisturbed person took."""
    for what, count in CREW.items():
        for _ in range(count):
            crew.start(what)
    office, waits_s = _undisturbed(database), []
    until = time.monotonic() + STORM_S
    # A busy machine gets less done in that time: then it goes on until it was about something.
    while time.monotonic() < until or not _about_something(crew, database):
        time.sleep(chance.uniform(0.02, 0.12))  # the rate of the storm, not a wait for something
        what = crew.kill(chance.choice(list(crew.at_work)))
        crew.kills[what] += 1
        crew.start(what)
        if crew.started % 10 == 0:
            waits_s.append(_acknowledged(office, f"ack-{crew.started * LEFT_ALONE + 1}"))
    return waits_s


def _about_something(crew: Crew, database: Database) -> bool:
    """Return whether there were kills on both sides, and moves enough for them to have met."""
    events = _events(database)
    moves = (events[name] for name in ("acknowledge", "ask_completion", "close", "reopen"))
    return min(crew.kills["watcher"], crew.kills["person"], *moves) >= 10


def _events(database: Database) -> Counter[str]:
    with database.read() as connection:
        return Counter(connection.execute(sa.text("SELECT event FROM history")).scalars())


def _acknowledged(office: Office, external_id: str) -> float:
    ticket = office.receive(external_id)
    begun = time.monotonic()
    assert office.casework.acknowledge(ticket, ANI).changed
    return time.monotonic() - begun


def _undisturbed(database: Database) -> Office:
    office = Office.__new__(Office)
    office.database = database
    office.use(LADDERS)
    return office


def _now(database: Database) -> datetime:
    with database.read() as connection:
        return database.now(connection)


def _seal(database: Database) -> int:
    with database.write() as connection:
        return escalations.seal(database, connection)


def _chain_broken_at(database: Database) -> int | None:
    with database.read() as connection:
        return escalations.verify(connection).broken_at


def _committed(database: Database, table: str) -> dict[int, datetime]:
    with database.read() as connection:
        rows = connection.execute(sa.text(f"SELECT id, pg_xact_commit_timestamp(xmin) FROM {table}"))
        return {row[0]: row[1] for row in rows}


#: Event -> the clocks that fire no more in the cycle once it is committed.
ENDS = {"acknowledge": (Kind.ACKNOWLEDGE,), "close": tuple(LADDERS), "withdraw": tuple(LADDERS)}


def _after_the_end(facts: Facts, database: Database, ends: Mapping[str, Sequence[Kind]] = ENDS) -> list[str]:
    """I1 by the order of commits: what fired for a clock after the line that ended it."""
    fired_at, said_at = _committed(database, "escalations"), _committed(database, "history")
    ended: dict[tuple[str, int, str], datetime] = {}
    for line in facts.rows["history"]:
        for kind in ends.get(line["event"], ()):
            ended.setdefault((line["report_id"], line["cycle"], str(kind)), said_at[line["id"]])
    return [
        f"{row['kind']} of {row['ticket']}, step {row['step']}"
        for row in facts.log
        if fired_at[row["id"]] > ended.get((row["report_id"], row["cycle"], row["kind"]), fired_at[row["id"]])
    ]


def _unannounced(facts: Facts) -> list[str]:
    announced = {message["data"]["delivery_id"] for message in facts.rows["outbox"]}
    return [row["delivery_id"] for row in facts.rows["deliveries"] if row["delivery_id"] not in announced]


def _unlike_one_worker(facts: Facts, server: Stamping) -> list[str]:
    """I36: what no person touched ends as one worker, never killed, leaves it."""
    database = Database(server.new_database())
    migrate(database)
    office = Office(database, LADDERS)
    office.receive("Q-0")
    office.pass_time(60)
    office.tick_all()
    alone = {(row["kind"], row["cycle"], row["step"], row["level"], row["did"]) for row in office.rows("escalations")}
    database.close()
    by_report = {row["report_id"]: row["external_id"] for row in facts.rows["reports"]}
    untouched = [i for i, name in by_report.items() if int(name.rpartition("-")[2]) % LEFT_ALONE == 0]
    assert len(untouched) == REPORTS // LEFT_ALONE
    fired: dict[str, set[tuple[str, int, int, int, str]]] = {report_id: set() for report_id in untouched}
    for row in facts.log:
        if row["report_id"] in fired:
            fired[row["report_id"]].add((row["kind"], row["cycle"], row["step"], row["level"], row["did"]))
    return [report_id for report_id, found in fired.items() if found != alone]
