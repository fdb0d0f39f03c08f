"""A contender that is up: loaded in slices, its 2xx counted against what is in its queue."""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import queues
from bench.common import ROOT, NotAsExpected, cpu_s, running, wait_until
from bench.contenders import Contender
from bench.load import Measured, full_speed, paced, status_of, together
from bench.signed import BODY_BYTES, key_of, request, requests
from tests.servers import free_port

#: A machine's mood changes within seconds, so nobody is loaded for longer before the next one's turn.
SLICE_S = 1
CONNECTIONS = (32, 64)
#: From the start of a contender to its first 202, in seconds.
READY_S = 30.0
ACCEPTED, NOT_AUTHENTIC = 202, 401

BARE = "c bare publisher"
BARE_QUEUE = "bench.bare"


@dataclass(frozen=True)
class Course:
    """What every contender runs on."""

    broker_url: str
    broker_pid: int
    folder: Path
    secret: str
    payloads: list[bytes]


@dataclass
class Tally:
    """Reports answered 2xx, reports sent without an answer being read, and reports found in the queue."""

    accepted: int = 0
    hung_up: int = 0
    stored: int = 0

    @property
    def lost(self) -> int:
        """Return how many were accepted and are not in the queue."""
        return max(0, self.accepted - self.stored)

    @property
    def unexplained(self) -> int:
        """Return how many are in the queue although nobody sent them."""
        return max(0, self.stored - self.accepted - self.hung_up)


@dataclass
class Cost:
    """Time spent on any core by a contender's processes, and by the broker for it."""

    own: float = 0.0
    broker: float = 0.0


class Standing:
    """A contender and what it has done so far, by round and kind of run: c32, c64, half."""

    def __init__(self, contender: Contender, course: Course) -> None:
        self.name, self._contender, self._course = contender.name, contender, course
        self._port = free_port()
        self._address, self.log = f"127.0.0.1:{self._port}", course.folder / f"{contender.queue}.log"
        self._seen: dict[str, list[Measured]] = {}
        self.rounds: list[dict[str, Measured]] = []
        #: Per accepted report at full speed, by round: steadier than rates when the machine is not ours alone.
        self.core_ms: list[Cost] = []
        self.tally = Tally()

    def start(self, stack: ExitStack) -> None:
        """Start it, wait for its first 202, and see that it checks signatures.

        Raises:
            NotAsExpected: it ended, was not ready in time, or took a body that was changed.
        """
        env = self._contender.environment(self._port, self._course.broker_url, self._course.secret)
        process = stack.enter_context(running(self._contender.command(self._port), env, self.log))
        self._pid = process.pid
        good = request(key_of(self._course.secret), self._course.payloads[0], host=self._address)

        def accepts() -> bool:
            if process.poll() is not None:
                raise NotAsExpected("it ended before it was ready")
            status = status_of(self._address, good)
            self.tally.hung_up += status not in (None, ACCEPTED)
            return status == ACCEPTED

        wait_until(accepts, READY_S, "the first 202")
        self.tally.accepted += 1
        if (status := status_of(self._address, good[:-2] + b" }")) != NOT_AUTHENTIC:
            raise NotAsExpected(f"a changed body was answered {status}, not 401: that is not the same work")

    def begin_round(self) -> None:
        """Sign the requests anew (signatures are good for five minutes)."""
        self._seen, self._spent = defaultdict(list), Cost()
        self._signed = requests(self._course.secret, self._course.payloads, host=self._address)

    def slice(self, connections: int) -> None:
        """Load it at full speed for one slice; at its end up to one request per connection is hung up on."""
        with self._metered():
            seen = full_speed(self._address, self._signed, connections=connections, seconds=SLICE_S)
        self._note(f"c{connections}", seen, connections)

    def half(self, seconds: int) -> None:
        """Load it at half the rate it has just had over the most connections."""
        most = CONNECTIONS[-1]
        rate = together(self._seen[f"c{most}"]).per_s / 2
        self._note("half", paced(self._address, self._signed, connections=most, seconds=seconds, rate=rate), 0)

    def end_round(self) -> None:
        """Keep the round's figures; empty the queue and count what was in it."""
        accepted = sum(seen.accepted for run, slices in self._seen.items() if run != "half" for seen in slices)
        self.core_ms.append(Cost(self._spent.own * 1000 / accepted, self._spent.broker * 1000 / accepted))
        self.rounds.append({run: together(seen) for run, seen in self._seen.items()})
        self.count()

    def count(self) -> None:
        """Empty the queue and count what was in it."""
        queue = self._contender.queue
        self.tally.stored += queues.drained(self._course.broker_url, queue, self._contender.reports_in)

    def per_s(self, run: str) -> list[float]:
        """Return its rate in every round."""
        return [runs[run].per_s for runs in self.rounds]

    @contextmanager
    def _metered(self) -> Iterator[None]:
        own, broker = cpu_s(self._pid), cpu_s(self._course.broker_pid)
        yield
        self._spent.own += cpu_s(self._pid) - own
        self._spent.broker += cpu_s(self._course.broker_pid) - broker

    def _note(self, run: str, seen: Measured, hung_up: int) -> None:
        self._seen[run].append(seen)
        self.tally.accepted += seen.accepted
        self.tally.hung_up += hung_up + seen.broken + seen.timed_out


class Bare:
    """Reference (c): a process of its own per slice, one kind of run only."""

    def __init__(self, broker_url: str, messages: int) -> None:
        self._broker_url, self._messages = broker_url, messages
        self._seen: list[float] = []
        self.rounds: list[float] = []

    def slice(self) -> None:
        """Note how many messages per second were confirmed.

        Raises:
            NotAsExpected: more or fewer are in the queue than were confirmed.
        """
        command = [sys.executable, "-m", "bench.peers.bare_publisher", self._broker_url, BARE_QUEUE]
        command += ["--messages", str(self._messages), "--bytes", str(BODY_BYTES)]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=90)
        seen = json.loads(done.stdout)
        held = queues.held(self._broker_url, BARE_QUEUE)
        queues.delete(self._broker_url, BARE_QUEUE)
        if held != seen["confirmed"]:
            raise NotAsExpected(f"{BARE}: {seen['confirmed']} confirmed, {held} in the queue")
        self._seen.append(seen["per_s"])

    def end_round(self) -> None:
        """Keep the round's mean."""
        self.rounds.append(sum(self._seen) / len(self._seen))
        self._seen.clear()
