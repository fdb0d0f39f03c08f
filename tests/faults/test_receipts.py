"""The city's list against ours after kills: exactly what it left out and added is found, and nothing was lost."""

import hashlib
import itertools
import json
import random
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from bridge.receipts.proof import proofs
from bridge.storage.receipts import Span
from tests.running import COMMAND, ROOT, Running
from tests.servers import RABBITMQ, RabbitMQ, eventually
from tests.web.processes import report

SENT, LEFT_OUT, ADDED = 200, 3, 2
pytestmark = pytest.mark.timeout(600)


@dataclass
class City:
    """A city app that keeps a list of what it sent, with our answers, and sends again until it has one."""

    running: Running
    listed: dict[str, dict[str, Any]] = field(default_factory=dict)
    unanswered: int = 0

    def send(self, webhook_id: str, body: bytes) -> None:
        """Send until answered, and write it down."""
        answer = eventually(lambda: self._answer(webhook_id, body), 90, f"an answer to {webhook_id}")
        entry = {"webhook_id": webhook_id, "sha256": hashlib.sha256(body).hexdigest()}
        self.listed.setdefault(webhook_id, entry | {"received_at": answer["received_at"]})

    def _answer(self, webhook_id: str, body: bytes) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self.running.post(body, webhook_id).json()
        except (requests.RequestException, AssertionError):
            self.unanswered += 1
            return {}
        return found

    def compare(self, entries: list[dict[str, Any]], *options: str) -> tuple[int, dict[str, Any]]:
        """Let the office compare a list; returns the exit code and what it says."""
        done = subprocess.run(
            [str(COMMAND), "receipts", "compare", "qlue", "-", "--json", *options],
            env=self.running.env, input=json.dumps(entries), capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.stderr == ""
        return done.returncode, json.loads(done.stdout)


def test_compare_finds_exactly_what_differs_and_nothing_is_lost_by_kills(stormy: Running) -> None:
    rng, city = random.Random(8311), City(stormy)
    kills = _send_under_kills(stormy, city, rng)

    stormy.wait_ready()
    eventually(lambda: _accepted(stormy) >= len(city.listed), 90, "everything answered is taken in")
    whole = list(city.listed.values())
    code, said = city.compare(whole)
    assert (code, said["counts"]) == (0, {"same": SENT, "different_body": 0, "missing_here": 0, "missing_there": 0})

    left_out = {entry["webhook_id"] for entry in rng.sample(whole, LEFT_OUT)}
    added = [{"webhook_id": f"never-{n}", "sha256": "a" * 64} for n in range(ADDED)]
    code, said = city.compare([entry for entry in whole if entry["webhook_id"] not in left_out] + added)
    assert code == 1
    assert {(one["what"], one["webhook_id"]) for one in said["differences"]} == {
        *(("missing_there", name) for name in left_out),
        *(("missing_here", one["webhook_id"]) for one in added),
    }
    # Only where the queue can be seen can it be said that nothing of them is on its way.
    hint = "not_accepted" if stormy.embedded else "may_be_on_its_way"
    assert {one["hint"] for one in said["differences"] if one["what"] == "missing_here"} == {hint}
    assert bool(said["complete_until"]) == stormy.embedded
    assert kills >= 3


def _send_under_kills(running: Running, city: City, rng: random.Random) -> int:
    """Send reports, repeats and what is no report, while the receiver and the worker are killed."""
    parts = itertools.cycle(["up"] if running.embedded else ["receive", "work take_in"])
    killers = []
    for number in range(SENT):
        body = b'{"type": "report.submitted"}' if number % 10 == 9 else report(f"R-{number}")
        if number % 50 == 25:
            killers.append(threading.Thread(target=_kill, args=(running, next(parts))))
            killers[-1].start()
        for _ in range(2 if rng.random() < 0.2 else 1):
            city.send(f"msg-R-{number}", body)
    for killer in killers:
        killer.join()
    return len(killers)


def _kill(running: Running, part: str) -> None:
    running.kill(part)
    running.start_part(part)


def _accepted(running: Running) -> int:
    with proofs(running.service, "qlue") as found:
        return found.count(Span())


ASKED = re.compile(r"```sh\n\s+date -u.*?```", re.DOTALL)


def test_operator_finds_out_on_rabbitmq_until_when_receipts_are_complete_as_the_page_says(
    stormy_full: Running, rabbitmq: RabbitMQ
) -> None:
    noted, spool, queues = _commands(stormy_full, rabbitmq)
    stormy_full.kill("work take_in")
    for number in range(5):
        stormy_full.post(report(f"R-{number}"), f"msg-R-{number}")
    assert _numbers(queues())["bridge.intake"] == 5, "accepted, and not there yet"

    stormy_full.start_part("work take_in")
    eventually(lambda: _accepted(stormy_full) == 5, 60, "all are taken in")
    at = datetime.fromisoformat(noted().strip())
    assert _numbers(spool()) == {
        "bridge_spool_messages": 0,
        "bridge_spool_unreadable": 0,
        "bridge_spool_unusable": 0,
    }
    found = _numbers(queues())
    assert {name: found[name] for name in ("bridge.intake", "bridge.intake.dead")} == {
        "bridge.intake": 0,
        "bridge.intake.dead": 0,
    }

    until = (at - timedelta(seconds=20)).isoformat()
    before, after = ((at - timedelta(seconds=age_s)).isoformat() for age_s in (60, 5))
    listed = [
        {"webhook_id": "never-sent", "sha256": "a" * 64, "sent_at": before},
        {"webhook_id": "lost", "sha256": "a" * 64, "received_at": before},
        {"webhook_id": "sent-just-now", "sha256": "a" * 64, "sent_at": after},
    ]
    _, said = City(stormy_full).compare(listed, "--complete-until", until)
    assert datetime.fromisoformat(said["complete_until"]) == datetime.fromisoformat(until)
    assert {one["webhook_id"]: one.get("hint") for one in said["differences"] if one["what"] == "missing_here"} == {
        "never-sent": "not_accepted",
        "lost": "lost",
        "sent-just-now": "may_be_on_its_way",
    }


def _commands(running: Running, rabbitmq: RabbitMQ) -> list[Callable[[], str]]:
    """Return the operator's three commands of docs/receipts.md, for this installation, which no engine contains."""
    block = ASKED.search((ROOT / "docs" / "receipts.md").read_text())
    assert block, "docs/receipts.md names the commands"
    vhost = urlsplit(running.broker_url).path[1:]
    here = {
        "docker compose exec receiver python": sys.executable,
        "127.0.0.1:8311": f"127.0.0.1:{running.port}",
        "docker compose exec rabbitmq rabbitmqctl": f"{RABBITMQ.with_name('rabbitmqctl')} -p {vhost}",
    }
    text = block[0].replace("\\\n", " ")
    for there, ours in here.items():
        assert there in text
        text = text.replace(there, ours)
    lines = [line.strip() for line in text.splitlines()[1:-1]]
    return [partial(_run, line, rabbitmq) for line in lines]


def _run(line: str, rabbitmq: RabbitMQ) -> str:
    done = subprocess.run(
        ["sh", "-c", line], env=rabbitmq.environment(), cwd=rabbitmq.folder, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def _numbers(printed: str) -> dict[str, float]:
    """Return what lines of a name and a number say, labels and the head of a table left out."""
    lines = [line.split() for line in printed.splitlines() if line != "name\tmessages"]
    return {name.partition("{")[0]: float(number) for name, number in lines}
