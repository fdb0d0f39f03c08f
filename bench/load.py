"""The load: wrk at full speed, or our own paced sender at a fixed rate.

    QLUE_WEBHOOK_SECRET=whsec_… python -m bench.load 127.0.0.1:8311 --connections 64 --seconds 4 [--rate 1500]

wrk costs a few microseconds per request, so it is not the bottleneck; it has no fixed rate, and its closed
loop waits when the server does (it corrects its percentiles for that, alike for everybody). The paced sender
is an open loop: a request is due at its time whatever became of others, and its latency counts from then.
"""

import argparse
import asyncio
import json
import os
import socket
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from statistics import median

from bench.common import BENCH, percentile
from bench.signed import bodies, requests

#: Distinct requests per run; more cost only memory, and ours does not look for repeats on the way in.
REQUESTS = 20_000
#: Statuses from here on are refusals.
REFUSED = 400
#: How long answers may trail after the last request was due, in seconds.
TRAIL_S = 10.0


@dataclass(frozen=True)
class Measured:
    """What one run saw. `requests` are answered ones; accepted is what of them was 2xx or 3xx."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    refused: int
    broken: int
    timed_out: int

    @property
    def accepted(self) -> int:
        """Return how many were accepted."""
        return self.requests - self.refused

    @property
    def per_s(self) -> float:
        """Return how many were accepted per second."""
        return self.accepted / self.seconds


def together(slices: Sequence[Measured]) -> Measured:
    """Return several runs as one: counts and times added up, the medians of the percentiles, the longest."""
    added = {
        name: sum(getattr(one, name) for one in slices)
        for name in ("requests", "seconds", "refused", "broken", "timed_out")
    }
    middle = {name: median(getattr(one, name) for one in slices) for name in ("p50_ms", "p99_ms")}
    return Measured(**added, **middle, max_ms=max(one.max_ms for one in slices))


@contextmanager
def request_file(signed: Sequence[bytes]) -> Iterator[Path]:
    """Write requests the way load.lua reads them."""
    with tempfile.NamedTemporaryFile(prefix="bench-requests-") as file:
        file.writelines(b"%d\n%b" % (len(one), one) for one in signed)
        file.flush()
        yield Path(file.name)


def full_speed(address: str, signed: Sequence[bytes], *, connections: int, seconds: int) -> Measured:
    """Send as fast as `connections` connections get answers, with wrk."""
    with request_file(signed) as file:
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "10s"]
        command += ["-s", str(BENCH / "load.lua"), f"http://{address}/", "--", str(file)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 30)
    line = next(line for line in done.stdout.splitlines() if line.startswith("JSON "))
    return Measured(**json.loads(line.removeprefix("JSON ")))


def paced(address: str, signed: Sequence[bytes], *, connections: int, seconds: int, rate: float) -> Measured:
    """Send `rate` requests per second, each at its time, over at most `connections` connections."""
    return paced_since(address, signed, connections=connections, seconds=seconds, rate=rate)[0]


def paced_since(
    address: str, signed: Sequence[bytes], *, connections: int, seconds: int, rate: float, trail_s: float = TRAIL_S
) -> tuple[Measured, float]:
    """Do the same, wait `trail_s` for the last answers, and return also when the first was due (since 1970)."""
    load = _Paced(address, signed, connections, seconds, rate, trail_s)
    return asyncio.run(load.run()), load.began_at


class _Paced:
    def __init__(
        self,
        address: str,
        signed: Sequence[bytes],
        connections: int,
        seconds: int,
        rate: float,
        trail_s: float = TRAIL_S,
    ) -> None:
        host, _, port = address.rpartition(":")
        self._address, self._connections = (host, int(port)), connections
        self._signed, self._gap_s, self._left = cycle(signed), 1 / rate, round(rate * seconds)
        self._idle: deque[_Line] = deque()
        self._due: deque[float] = deque()
        self._open, self._trail_s = 0, trail_s
        self._finished = asyncio.Event()
        self.latencies_s: list[float] = []
        self.refused = self.broken = 0
        self.began_at = 0.0

    async def run(self) -> Measured:
        self._loop = asyncio.get_running_loop()
        for _ in range(self._connections):
            await self._loop.create_connection(lambda: _Line(self), *self._address)
        begin, self.began_at = self._loop.time(), time.time()
        self._next_at = begin
        self._tick()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._finished.wait(), self._left * self._gap_s + self._trail_s)
        seconds = self._loop.time() - begin
        for line in self._idle:
            line.transport.abort()
        p50, p99, most = (percentile(self.latencies_s, share) * 1000 for share in (0.5, 0.99, 1))
        open_still = len(self._due) + self._open
        return Measured(len(self.latencies_s), seconds, p50, p99, most, self.refused, self.broken, open_still)

    def _tick(self) -> None:
        now = self._loop.time()
        while self._left and self._next_at <= now:
            self._due.append(self._next_at)
            self._next_at += self._gap_s
            self._left -= 1
        self._send()
        if self._left:
            self._loop.call_at(self._next_at, self._tick)

    def _send(self) -> None:
        while self._due and self._idle:
            self._open += 1
            self._idle.popleft().send(next(self._signed), self._due.popleft())

    def ready(self, line: "_Line") -> None:
        self._idle.append(line)

    def answered(self, line: "_Line", status: int, due_at: float) -> None:
        self.latencies_s.append(self._loop.time() - due_at)
        self.refused += status >= REFUSED
        self._idle.append(line)
        self._settled()

    def lost(self, line: "_Line", *, waiting: bool) -> None:
        if waiting:
            self.broken += 1
            self._settled()
        else:
            self._idle.remove(line)

    def _settled(self) -> None:
        self._open -= 1
        self._send()
        if not (self._left or self._due or self._open):
            self._finished.set()


class _Line(asyncio.Protocol):
    """One connection with at most one request under way."""

    transport: asyncio.Transport

    def __init__(self, load: _Paced) -> None:
        self._load, self._got, self._due_at = load, b"", 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._load.ready(self)

    def send(self, signed: bytes, due_at: float) -> None:
        self._due_at = due_at
        self.transport.write(signed)

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, found, rest = self._got.partition(b"\r\n\r\n")
        if not found or len(rest) < _length(head):
            return
        due_at, self._due_at, self._got = self._due_at, 0.0, b""
        self._load.answered(self, int(head[9:12]), due_at)

    def connection_lost(self, _: Exception | None) -> None:
        self._load.lost(self, waiting=bool(self._due_at))


def _length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0


def status_of(address: str, signed: bytes) -> int | None:
    """Return the status one request is answered with, or None when nobody answers."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(signed)
            head = connection.recv(4096)
    except OSError:
        return None
    return int(head[9:12]) if head[9:12].isdigit() else None


def main() -> None:
    """Send, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("address", help="host:port")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rate", type=float, help="requests per second; without it, as fast as it goes")
    options = parser.parse_args()
    signed = requests(os.environ["QLUE_WEBHOOK_SECRET"], bodies(REQUESTS), host=options.address)
    send = partial(paced, rate=options.rate) if options.rate else full_speed
    seen = send(options.address, signed, connections=options.connections, seconds=options.seconds)
    print(json.dumps({**asdict(seen), "per_s": round(seen.per_s, 1)}))


if __name__ == "__main__":
    main()
