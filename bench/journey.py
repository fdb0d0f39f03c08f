"""How long a report's way takes: webhook sent to mail accepted, and acknowledged to callback received.

    python -m bench.journey [--kinds full embedded] [--rates 1 50 200] [--seconds 15] [--quick]

On the full stack (RabbitMQ, PostgreSQL, the processes of docker-compose.yml) and embedded (`bridge up`), all on
this machine, with a real SMTP server and a real receiver of callbacks. Reports are sent at a fixed rate,
whatever becomes of them, and each one's time counts from when it was due. Then the officers click the links
of their mails at the same rate. Every report must arrive.
"""

import argparse
import json
import re
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http.cookies import SimpleCookie
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from bench.bridges import KINDS, TICKET_KEY
from bench.common import (
    ROOT,
    NotAsExpected,
    end_in_order,
    percentile,
    save,
    scratch_folder,
    served,
    table,
    wait_until,
)
from bench.load import paced_since
from bench.signed import body, new_ids, new_secret, requests
from bridge.reports.tickets import ticket_for
from tests.servers import CityReceiver, Mail, Mailed, Posted

CONNECTIONS = 16
WARM_UP_REPORTS = 20
#: How long after the last was due the slowest may take, in seconds.
ARRIVAL_S = 60.0
TO_REACH = {"full": "p50 ≤ 100 ms, p99 ≤ 500 ms at 50/s", "embedded": "p50 ≤ 150 ms"}


@dataclass(frozen=True)
class Leg:
    """One leg at one rate: milliseconds of those that arrived, how many did not, how many did twice."""

    kind: str
    leg: str
    rate: float
    sent: int
    took_ms: list[float]
    missing: int
    twice: int


class Town:
    """The bridge with all that stands around it."""

    def __init__(self, kind: str, folder: Path, stack: ExitStack) -> None:
        self.kind, self._secret = kind, new_secret()
        self.mail = served(stack, Mail(folder / "mail"))
        self.city = served(stack, CityReceiver())
        outside = {
            "QLUE_WEBHOOK_SECRET": self._secret,
            "QLUE_CALLBACK_URL": self.city.url,
            "QLUE_CALLBACK_SECRET": new_secret(),
            "BRIDGE_SMTP_URL": self.mail.url,
        }
        self._bridge = KINDS[kind](stack, folder, outside)
        # The sender is a process of its own: the mail server and the city are threads of this one.
        self._sender = stack.enter_context(ProcessPoolExecutor(1, get_context("spawn")))

    def report(self, rate: float, seconds: int) -> Leg:
        """Send reports; each has arrived when the mail server has accepted the officer's mail."""
        ids = new_ids(round(rate * seconds))
        tickets = [ticket_for(TICKET_KEY.encode(), "qlue", one) for one in ids]
        signed = requests(self._secret, [body(one) for one in ids], host=self._bridge.way_in)
        seen = len(self.mail.messages)
        due = self._send(self._bridge.way_in, signed, tickets, rate, seconds)
        return self._arrivals("webhook → mail", rate, due, _Arrived(self.mail.messages, seen, _ticket_mailed))

    def acknowledge(self, rate: float, seconds: int) -> Leg:
        """Click the links of the newest mails; each has arrived when the city has been told."""
        links = dict(_links(self.mail.messages[-round(rate * seconds) :]))
        clicks = _clicks(self._bridge.desk, list(links.values()))
        seen = len(self.city.requests)
        due = self._send(self._bridge.desk, clicks, list(links), rate, seconds)
        return self._arrivals("ack → callback", rate, due, _Arrived(self.city.requests, seen, _told))

    def _send(
        self, address: str, signed: list[bytes], names: Sequence[str], rate: float, seconds: int
    ) -> dict[str, float]:
        """Send at the rate, and return when each was due, by name."""
        job = self._sender.submit(
            paced_since, address, signed, connections=CONNECTIONS, seconds=seconds, rate=rate, trail_s=ARRIVAL_S
        )
        measured, began_at = job.result(seconds + ARRIVAL_S + 10)
        if measured.accepted < len(names):
            raise NotAsExpected(f"{self.kind}, {rate:g}/s: not all were accepted: {measured}")
        return {name: began_at + number / rate for number, name in enumerate(names)}

    def _arrivals(self, leg: str, rate: float, due: Mapping[str, float], arrived: "_Arrived[Any]") -> Leg:
        with suppress(NotAsExpected):  # what is missing then is counted
            wait_until(lambda: due.keys() <= arrived.look().keys(), ARRIVAL_S, leg)
        times = arrived.look()
        took = [(min(times[name]) - due_at) * 1000 for name, due_at in due.items() if name in times]
        twice = sum(len(at) > 1 for at in times.values())
        return Leg(self.kind, leg, rate, len(due), took, len(due) - len(took), twice)


_One = TypeVar("_One", Mailed, Posted)


class _Arrived(Generic[_One]):
    """When what was recorded arrived, by ticket; each is read once: the machine has other things to do."""

    def __init__(self, recorded: Sequence[_One], seen: int, read: Callable[[_One], tuple[str, float] | None]) -> None:
        self._recorded, self._seen, self._read = recorded, seen, read
        self._times: dict[str, list[float]] = {}

    def look(self) -> dict[str, list[float]]:
        """Return all times since the first look, since 1970."""
        new = self._recorded[self._seen :]
        self._seen += len(new)
        for found in filter(None, map(self._read, new)):
            self._times.setdefault(found[0], []).append(found[1])
        return self._times


def _ticket_mailed(mailed: Mailed) -> tuple[str, float]:
    # All mail about a report refers to <ticket@…>.
    found = re.search(rb"^References: <([^@>]+)@", mailed.raw, re.MULTILINE)
    return found[1].decode() if found else "", mailed.arrived_at.timestamp()


def _links(mails: Sequence[Mailed]) -> Iterator[tuple[str, str]]:
    """Yield ticket and one-click address of each mail."""
    for mailed in mails:
        part = mailed.message.get_body(("plain",))
        found = re.search(r"https?://\S+(/a/\S+)", part.get_content() if part else "")
        if found:
            yield _ticket_mailed(mailed)[0], found[1]


def _clicks(address: str, paths: Sequence[str]) -> list[bytes]:
    """Return the POSTs a browser would send, all with the session and the form token of the first page."""
    with urllib.request.urlopen(f"http://{address}{paths[0]}", timeout=10) as page:
        cookie = SimpleCookie(page.headers["Set-Cookie"])
        token = re.search(r'name="csrf_token" value="([^"]+)"', page.read().decode())
    form = urlencode({"csrf_token": token[1] if token else ""})
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in cookie.items())
    return [
        (
            f"POST {path} HTTP/1.1\r\nHost: {address}\r\nCookie: {cookies}\r\nContent-Length: {len(form)}\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\n\r\n{form}"
        ).encode()
        for path in paths
    ]


def _told(post: Posted) -> tuple[str, float] | None:
    data = json.loads(post.body)["data"]
    return (data["ticket"], post.arrived_at.timestamp()) if data["status"] == "acknowledged" else None


def travel(kind: str, rates: Sequence[float], seconds: int) -> Iterator[Leg]:
    """Start one kind of bridge and yield both legs at every rate."""
    with scratch_folder(f"journey-{kind}") as folder, ExitStack() as stack:
        town = Town(kind, folder, stack)
        town.report(WARM_UP_REPORTS, 1)
        town.acknowledge(WARM_UP_REPORTS, 1)
        for rate in rates:
            yield town.report(rate, seconds)
            yield town.acknowledge(rate, seconds)


def as_table(legs: Sequence[Leg]) -> str:
    """Return one row per leg and rate."""
    heads = ("", "leg", "rate /s", "sent", "p50 ms", "p99 ms", "longest ms", "missing", "twice", "to reach")
    return table("journey: from the moment each was due", heads, [_row(leg) for leg in legs])


def _row(leg: Leg) -> list[str]:
    times = [f"{percentile(leg.took_ms, share):,.0f}" for share in (0.5, 0.99, 1)]
    counts = [str(leg.missing), str(leg.twice)]
    return [leg.kind, leg.leg, f"{leg.rate:g}", str(leg.sent), *times, *counts, TO_REACH[leg.kind]]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--rates", nargs="+", type=float, default=[1, 50, 200], help="reports per second")
    parser.add_argument("--seconds", type=int, default=15, help="of sending, per rate")
    parser.add_argument("--quick", action="store_true", help="3 s at 1 and 20/s, to see that it works")
    options = parser.parse_args()
    if options.quick:
        options.rates, options.seconds = [1, 20], 3
    return options


def main() -> None:
    """Travel, print the table, keep the figures; exit code 1 if a report did not arrive."""
    options = _options()
    end_in_order()
    legs: list[Leg] = []
    for kind in options.kinds:
        for leg in travel(kind, options.rates, options.seconds):
            legs.append(leg)
            print(f"{kind:9} {leg.leg:15} {leg.rate:g}/s  p50 {percentile(leg.took_ms, 0.5):.0f} ms", flush=True)
    print("\n" + as_table(legs))
    print(save("journey", {"options": vars(options), "legs": [vars(leg) for leg in legs]}).relative_to(ROOT))
    sys.exit(any(leg.missing for leg in legs))


if __name__ == "__main__":
    main()
