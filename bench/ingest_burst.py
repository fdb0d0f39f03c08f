"""Ten thousand webhooks at once from 500 connections, with and without 12 stalled bodies beside them.

    python -m bench.ingest_burst [--rounds 5] [--webhooks 10000] [--connections 500] [--stalled 12] [--quick]

`bridge receive` (2 processes) before a private RabbitMQ, direct and behind the shipped nginx. A round goes without,
with, for each way, so that the machine's mood cancels out; what counts is the ratio. All connections are open before
the first webhook goes out; each sends its share one after the other. The stalled ones have announced a body, sent the
beginning of it, and stay for the whole burst.

Behind nginx the load comes from 20 addresses, as the front limits what one address may do; one more run comes from one
address alone, to count its 429s. After every run the queue is emptied, and its webhooks are counted by their ids: all
that was answered 202 must be there once, and nothing else.
"""

import argparse
import asyncio
import json
import re
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench import queues
from bench.bridges import KEYS, command, wait_ready
from bench.common import (
    ROOT,
    end_in_order,
    paired_ratio,
    percentile,
    running,
    save,
    scratch_folder,
    served,
    table,
    wait_until,
)
from bench.signed import bodies, new_secret, requests
from tests.servers import Nginx, RabbitMQ, free_port
from tests.web.test_nginx_front import rendered

#: Addresses the load comes from behind the front: 500 connections would be over the limit of one.
ADDRESSES = [f"127.0.1.{number}" for number in range(1, 21)]
ONE_ADDRESS = ADDRESSES[:1]
HERE = ["127.0.0.1"]
QUEUE = "bridge.intake"
#: A burst that has not been answered by then has hung.
LIMIT_S = 180.0
ACCEPTED = 202
_WEBHOOK_ID = re.compile(rb"\r\nwebhook-id: (\S+)\r\n")


@dataclass
class Burst:
    """What one burst saw: every answer by its status, and what was then in the queue."""

    seconds: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)
    broken: int = 0
    lost: int = 0
    twice: int = 0
    unexplained: int = 0

    @property
    def wrong(self) -> int:
        """Return how many webhooks did not fare as promised."""
        others = sum(count for status, count in self.statuses.items() if status not in (ACCEPTED, 429))
        return others + self.broken + self.lost + self.twice + self.unexplained


class Load:
    """Sends all webhooks over all connections, and notes who was accepted."""

    def __init__(self, port: int, signed: Sequence[bytes], connections: int, addresses: Sequence[str]) -> None:
        self._port, self._addresses, self._connections = port, addresses, connections
        self._left = iter(signed)
        self._latencies_s: list[float] = []
        self.accepted: set[str] = set()
        self.refused: set[str] = set()
        self.seen = Burst()

    async def run(self, stalled: int) -> None:
        """Open everything, let the stalled ones begin, then send; returns with the last answer."""
        others = [await self._open(number) for number in range(stalled)]
        for _, writer in others:
            writer.write(next(self._left)[:-1000])
        lines = [await self._open(number) for number in range(self._connections)]
        began = time.monotonic()
        async with asyncio.timeout(LIMIT_S):
            await asyncio.gather(*(self._send(number, *line) for number, line in enumerate(lines)))
        self.seen.seconds = time.monotonic() - began
        self.seen.p50_ms, self.seen.p99_ms = (percentile(self._latencies_s, share) * 1000 for share in (0.5, 0.99))
        for _, writer in others:
            writer.transport.abort()

    async def _open(self, number: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = self._addresses[number % len(self._addresses)]
        return await asyncio.open_connection("127.0.0.1", self._port, local_addr=(address, 0))

    async def _send(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for signed in self._left:
            began = time.monotonic()
            try:
                writer.write(signed)
                status = await _answer(reader)
            except (OSError, asyncio.IncompleteReadError):
                self.seen.broken += 1
                reader, writer = await self._open(number)
                continue
            self._latencies_s.append(time.monotonic() - began)
            self._note(signed, status)
        writer.close()

    def _note(self, signed: bytes, status: int) -> None:
        self.seen.statuses[status] = self.seen.statuses.get(status, 0) + 1
        (self.accepted if status == ACCEPTED else self.refused).add(_webhook_id(signed))


def _webhook_id(signed: bytes) -> str:
    found = _WEBHOOK_ID.search(signed)
    assert found, "every request has one"
    return found[1].decode()


async def _answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    await reader.readexactly(int(length[1]) if length else 0)
    return int(head[9:12])


@dataclass(frozen=True)
class Course:
    """What stands ready: the receiver, the front, the broker."""

    broker_url: str
    receiver: int
    front: int
    secret: str
    payloads: list[bytes]

    def burst(self, port: int, addresses: Sequence[str], connections: int, stalled: int) -> Burst:
        """Send everything once, and count what came into the queue."""
        # Those that stall are webhooks too, on top; they never become whole.
        payloads = [*self.payloads[:stalled], *self.payloads]
        load = Load(port, requests(self.secret, payloads, host="bench"), connections, addresses)
        asyncio.run(load.run(stalled))
        wait_until(self._nothing_spooled, LIMIT_S, "the spool is empty")
        held = self._held()
        load.seen.lost = len(load.accepted - set(held))
        load.seen.twice = sum(count - 1 for count in held.values())
        load.seen.unexplained = len(set(held) - load.accepted)
        return load.seen

    def _nothing_spooled(self) -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.receiver}/metrics", timeout=30) as answer:
            return b"\nbridge_spool_messages 0.0" in answer.read()

    def _held(self) -> Counter[str]:
        """Empty the queue, and return how often each webhook was in it."""
        found: Counter[str] = Counter()

        def note(payload: bytes) -> int:
            data = json.loads(payload)["data"]
            items = data.get("items", [data])
            found.update(item["webhook_id"] for item in items)
            return len(items)

        queues.drained(self.broker_url, QUEUE, note)
        return found


@contextmanager
def course(webhooks: int) -> Iterator[Course]:
    """Start RabbitMQ, the receiver and the front."""
    with scratch_folder("ingest-burst") as folder, ExitStack() as stack:
        broker_url = served(stack, RabbitMQ(folder / "rabbitmq")).new_vhost()
        queues.declare_ours(broker_url)
        secret, receiver = new_secret(), free_port()
        env = {
            **KEYS,
            "BRIDGE_BROKER_URL": broker_url,
            "BRIDGE_DATA_DIR": str(folder / "data"),
            "BRIDGE_LISTEN": f"127.0.0.1:{receiver}",
            "BRIDGE_RECEIVER_WORKERS": "2",
            "QLUE_WEBHOOK_SECRET": secret,
        }
        process = stack.enter_context(running(command("receive"), env, folder / "receive.log"))
        wait_ready(process, f"127.0.0.1:{receiver}")
        front = served(stack, Nginx(_shared(folder / "nginx"), rendered([receiver], free_port())))
        yield Course(broker_url, receiver, front.port, secret, bodies(webhooks))


def _shared(folder: Path) -> Path:
    folder.mkdir()
    folder.chmod(0o755)
    return folder


def show(runs: dict[str, list[Burst]]) -> str:
    """Return a row for each kind of run, and the ratio of those with stalled bodies to those without."""
    heads = ("", "seconds", "/s", "p50, p99 ms", "answers", "lost", "twice", "with ÷ without", "spread", "to reach")
    rows = []
    before: dict[str, list[float]] = {}
    for name, seen in runs.items():
        seconds = [one.seconds for one in seen]
        way, _, beside = name.partition(", ")
        ratio = ["", "", ""]
        if beside and way in before:
            middle, least, most = paired_ratio(seconds, before[way])
            ratio = [f"{middle:.2f}", f"{least:.2f}-{most:.2f}", "≤ 1.10"]
        before.setdefault(way, seconds)
        rows.append([name, *_figures(seen), *ratio])
    return table("ingest-burst: until the last of them is answered", heads, rows)


def _figures(seen: Sequence[Burst]) -> list[str]:
    answers = sum((Counter(one.statuses) for one in seen), Counter[int]())
    seconds = median(one.seconds for one in seen)
    each = median(sum(one.statuses.values()) for one in seen)
    return [
        f"{seconds:.2f}",
        f"{each / seconds:,.0f}",
        f"{median(one.p50_ms for one in seen):.0f}, {median(one.p99_ms for one in seen):.0f}",
        ", ".join(f"{count:,} × {status}" for status, count in sorted(answers.items())),
        str(sum(one.lost for one in seen)),
        str(sum(one.twice for one in seen)),
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--webhooks", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=500)
    parser.add_argument("--stalled", type=int, default=12)
    parser.add_argument("--quick", action="store_true", help="one round of 2,000, to see that it works")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.webhooks = 1, 2_000
    return options


def main() -> None:
    """Run, print the table, keep the figures; exit code 1 if anything was lost, doubled or answered otherwise."""
    options = _options()
    end_in_order()
    with course(options.webhooks) as ready:
        ways = {"direct": (ready.receiver, HERE), "nginx": (ready.front, ADDRESSES)}
        beside = {"": 0, f", {options.stalled} stalled": options.stalled}
        runs: dict[str, list[Burst]] = {way + more: [] for way in ways for more in beside}
        for port, addresses in ways.values():  # everybody connected, every pattern compiled, before it counts
            ready.burst(port, addresses, options.connections, 0)
        for number in range(1, options.rounds + 1):
            for way, (port, addresses) in ways.items():
                for more, stalled in beside.items():
                    seen = ready.burst(port, addresses, options.connections, stalled)
                    runs[way + more].append(seen)
                    print(f"round {number}  {way + more:22} {seen.seconds:6.2f} s  {seen.statuses}", flush=True)
        runs["nginx from one address"] = [ready.burst(ready.front, ONE_ADDRESS, options.connections, 0)]
    print("\n" + show(runs))
    figures: dict[str, Any] = {name: [asdict(one) for one in seen] for name, seen in runs.items()}
    print(save("ingest_burst", {"options": vars(options), "runs": figures}).relative_to(ROOT))
    wrong = {name: sum(one.wrong for one in seen) for name, seen in runs.items()}
    print(f"answered otherwise than 202 or 429, broken off, lost, twice or unexplained: {sum(wrong.values())}")
    sys.exit(any(wrong.values()))


if __name__ == "__main__":
    main()
