"""A city app for tests, benches and demos: signs, sends, repeats and spoils complaints, and counts what came back."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import requests

from bridge.schemes import SCHEMES, Headers, Sending
from bridge.simulation.complaints import complaint
from bridge.words import ZONE

_TIMEOUT_S = 30
_USUAL = Headers("X-Hub-Signature-256", "webhook-id")


@dataclass(frozen=True)
class Plan:
    """What to send. `duplicates` and `faults` are percentages; `rate` is reports per second, 0 for no pause."""

    url: str
    key: str
    reports: int
    rate: float = 0.0
    duplicates: int = 0
    faults: int = 0
    seed: int = 1
    parallel: int = 4
    scheme: str = "standard-webhooks"
    headers: Headers = _USUAL

    @property
    def total(self) -> int:
        """Return the number of requests, duplicates included."""
        return len(deliveries(self))


@dataclass
class Tally:
    """What came back. `tickets` maps each accepted external id to its ticket."""

    sent: int = 0
    accepted: int = 0
    set_aside: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    unanswered: int = 0
    reports: int = 0
    seconds: float = 0.0
    tickets: dict[str, str] = field(default_factory=dict)
    different_tickets: int = 0

    def in_words(self) -> str:
        """Return the count as a person reads it."""
        refused = ", ".join(f"{count} × {status}" for status, count in sorted(self.refused.items())) or "none"
        return (
            f"{self.sent} sent in {self.seconds:.1f} s: {self.accepted} accepted ({self.reports} reports), "
            f"{self.set_aside} set aside, refused: {refused}, unanswered: {self.unanswered}."
        )


@dataclass(frozen=True)
class Outgoing:
    """One request to make."""

    webhook_id: str
    external_id: str
    body: bytes


def deliveries(plan: Plan) -> list[Outgoing]:
    """Return what the plan sends, in order; the same plan gives the same, but for the times in it."""
    rng = random.Random(plan.seed)  # noqa: S311 - believable, not secret
    found: list[Outgoing] = []
    for number in range(1, plan.reports + 1):
        data = complaint(rng, number, datetime.now(ZONE))
        external_id = f"SIM-{plan.seed}-{number}"
        data["id"] = external_id
        if rng.randrange(100) < plan.faults:
            del data["title"]
        event = {"type": "report.submitted", "timestamp": datetime.now(ZONE).isoformat(), "data": data}
        body = json.dumps(event, ensure_ascii=False).encode()
        outgoing = Outgoing(f"msg_sim_{plan.seed}_{number}", external_id, body)
        found += [outgoing] * (2 if rng.randrange(100) < plan.duplicates else 1)
    return found


def run(plan: Plan, progress: Callable[[int], Any] = lambda _: None) -> Tally:
    """Send everything and count; a request that gets no answer at all is counted, not repeated."""
    sender = _Sender(plan, progress)
    started = time.monotonic()
    with ThreadPoolExecutor(plan.parallel) as pool:
        for number, outgoing in enumerate(deliveries(plan)):
            if plan.rate:
                _wait_until(started + number / plan.rate)
            pool.submit(sender.send, outgoing)
    sender.tally.seconds = round(time.monotonic() - started, 3)
    sender.tally.reports = len(sender.tally.tickets)
    return sender.tally


class _Sender:
    def __init__(self, plan: Plan, progress: Callable[[int], Any]) -> None:
        self._plan, self._progress = plan, progress
        self._local = threading.local()
        self._lock = threading.Lock()
        self._refused: Counter[str] = Counter()
        self.tally = Tally()

    def send(self, outgoing: Outgoing) -> None:
        plan = self._plan
        sending = Sending(plan.key, plan.headers, outgoing.webhook_id, outgoing.body, int(time.time()))
        headers = {"content-type": "application/json", **SCHEMES[plan.scheme].proof(sending)}
        try:
            answer = self._session().post(self._plan.url, data=outgoing.body, headers=headers, timeout=_TIMEOUT_S)
        except requests.RequestException:
            with self._lock:
                self.tally.sent += 1
                self.tally.unanswered += 1
            return
        with self._lock:
            self._count(outgoing, answer)
            self._progress(1)

    def _count(self, outgoing: Outgoing, answer: requests.Response) -> None:
        self.tally.sent += 1
        if answer.status_code != 202:
            self._refused[str(answer.status_code)] += 1
            self.tally.refused = dict(self._refused)
            return
        found = answer.json()
        if found["status"] == "set_aside":
            self.tally.set_aside += 1
            return
        self.tally.accepted += 1
        before = self.tally.tickets.setdefault(outgoing.external_id, found["ticket"])
        self.tally.different_tickets += before != found["ticket"]

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.trust_env = False
        session: requests.Session = self._local.session
        return session


def _wait_until(moment: float) -> None:
    left = moment - time.monotonic()
    if left > 0:
        time.sleep(left)
