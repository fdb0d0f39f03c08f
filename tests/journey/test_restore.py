"""The documented backup and restore, done with the documented commands, and what becomes of everybody afterwards."""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from bridge.reports.states import Move, Outcome
from bridge.restoring import first_number
from bridge.storage.tables import escalation_seals as seals
from bridge.storage.tables import escalations as log
from tests.running import COMMAND, FAST, LADDER, ROOT, Running, policies
from tests.servers import CityReceiver, Mail, PostgreSQL, RabbitMQ, eventually, new_folder

HOUR_AGO = datetime.now(UTC) - timedelta(hours=1)
OPERATIONS = (ROOT / "docs/operations.md").read_text("utf-8")
#: Compose's containers are processes here; which of them run is the test's business.
DOCKER = """#!/bin/sh
shift
case "$1 $2 $3" in
"exec -T postgres") shift 3; exec "$@" ;;
"run --rm migrate") exec {bridge} migrate ;;
"run --rm desk") shift 3; exec {bridge} "$@" ;;
esac
"""


class Restorable:
    """An installation whose operator follows docs/operations.md."""

    def __init__(self, running: Running, kind: str, parts: list[str]) -> None:
        self.running, self._kind = running, kind
        #: What works with the database: stopped while it is put back.
        self._parts = parts

    def follow(self, what: str) -> None:
        """Run the block of the page that does it, as it stands there."""
        block = re.search(rf"```sh {what}-{self._kind}\n(.*?)```", OPERATIONS, re.DOTALL)
        assert block
        done = subprocess.run(
            ["sh", "-e", "-c", block[1]],
            env=self.running.env,
            cwd=self.running.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{block[1]}: {done.stdout}{done.stderr}"

    def stop(self) -> None:
        """Stop what works with the database, hard: a disk has failed."""
        self.running.service.close()
        del self.running.service
        for part in self._parts:
            self.running.kill(part)

    def start(self) -> None:
        """Start it again."""
        for part in self._parts:
            self.running.start_part(part)
        self.running.wait_ready()

    def bridge(self, *words: str) -> tuple[int, str]:
        """Run a command that may refuse; returns its exit code and all it said."""
        done = subprocess.run(
            [str(COMMAND), *words], env=self.running.env, capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(params=["sqlite", "postgresql"])
def restorable(request: pytest.FixtureRequest) -> Iterator[Restorable]:
    """One machine with all in `var/`, and the same beside PostgreSQL and RabbitMQ."""
    folder = new_folder(f"restore-{request.param}")
    mail, city = Mail(folder / "mail"), CityReceiver()
    mail.start()
    city.start()
    (folder / "var").mkdir()
    database, broker = f"sqlite:///{folder}/var/bridge.sqlite3", f"embedded:///{folder}/var/queue.sqlite3"
    if request.param == "postgresql":
        database = _a_database_called_bridge(request.getfixturevalue("postgres"))
        rabbitmq: RabbitMQ = request.getfixturevalue("rabbitmq")
        broker = rabbitmq.new_vhost()
    running = Running(folder, request.param, database, broker, mail, city, policies_text=policies(first_s=5))
    running.env["BRIDGE_DATA_DIR"] = str(folder / "var")
    if request.param == "postgresql":
        _with_docker(running, request.getfixturevalue("postgres"))
    (folder / ".venv").symlink_to(sys.prefix)
    running.start()
    yield Restorable(running, request.param, [part for part in running.parts() if part != "receive"])
    running.stop()
    city.stop()
    mail.stop()


def _a_database_called_bridge(server: PostgreSQL) -> str:
    with psycopg.connect(f"postgresql://postgres@127.0.0.1:{server.port}/postgres", autocommit=True) as connection:
        connection.execute("CREATE ROLE bridge LOGIN SUPERUSER")  # as the image makes it
        connection.execute("CREATE DATABASE bridge OWNER bridge")
    return f"postgresql+psycopg://bridge@127.0.0.1:{server.port}/bridge"


def _with_docker(running: Running, server: PostgreSQL) -> None:
    docker = running.folder / "bin/docker"
    docker.parent.mkdir()
    docker.write_text(DOCKER.format(bridge=COMMAND))
    docker.chmod(0o755)
    running.env["PATH"] = os.pathsep.join([str(docker.parent), str(server.programs), running.env["PATH"]])
    running.env |= {"PGHOST": "127.0.0.1", "PGPORT": str(server.port)}


def last_told(running: Running, external_id: str) -> dict[str, Any]:
    """What a city shows that keeps to the contract: of the callbacks the one with the highest number."""
    return max(running.callbacks(external_id), key=lambda told: int(told["sequence"]), default={})


def head(running: Running) -> str:
    """The newest number of the log with its hash, as it is kept outside."""
    found = re.search(r"Head: (\d+) (\w+)", running.command("escalations", "verify"))
    assert found
    return f"{found[1]}:{found[2]}"


def all_sealed(running: Running) -> bool:
    """Tell whether every row of the log has its seal."""
    with running.service.database.read() as connection:
        counts = [connection.execute(sa.select(sa.func.count()).select_from(of)).scalar() for of in (log, seals)]
    return counts[0] == counts[1]


def city_list(folder: Path, *answers: Any) -> Path:
    """The city's own list of what we answered 202 to."""
    rows = [
        f"{one.request.headers['webhook-id']},{hashlib.sha256(one.request.body).hexdigest()},{one.json()['received_at']}"
        for one in answers
    ]
    file = folder / "sent.csv"
    file.write_text("\n".join(["webhook_id,sha256,received_at", *rows]))
    return file


def test_what_came_after_the_backup_is_had_again_and_city_and_office_go_on_after_a_restore(
    restorable: Restorable,
) -> None:
    running = restorable.running
    kept = running.send("R-1")
    slow = running.send("R-2", category=FAST)
    ticket, late = kept.json()["ticket"], slow.json()["ticket"]
    eventually(lambda: last_told(running, "R-1"), 20, "the first callback")
    eventually(lambda: running.report(late), 20, "the other report")
    restorable.follow("backup")

    lost = running.send("R-3")
    running.acknowledge(ticket)
    running.move(Move.CLOSE, ticket, outcome=Outcome.REFERRED)
    eventually(lambda: last_told(running, "R-1").get("status") == "closed", 20, "the city knows that it is closed")
    eventually(lambda: len(running.escalations(late)) == len(LADDER), 60, "the whole ladder")
    eventually(lambda: running.report(lost.json()["ticket"]), 20, "the report that will be lost")
    eventually(lambda: all_sealed(running), 20, "the whole log sealed")
    head_before = head(running)

    restorable.stop()
    restorable.follow("restore")
    restorable.start()

    # The city shows what we know; nobody is escalated while people look.
    assert running.report(lost.json()["ticket"]) == {}
    shown = eventually(lambda: (c := last_told(running, "R-1")).get("status") == "received" and c, 30, "told again")
    assert shown["sequence"] > first_number(HOUR_AGO)
    fired = len(running.escalations(late))
    assert "HELD" in running.command("engine", "status")

    # What the city has to send again is named, and is the same report as before.
    code, said = restorable.bridge("receipts", "compare", "qlue", str(city_list(running.folder, kept, slow, lost)))
    assert (code, "msg-R-3-report-submitted" in said, "msg-R-1-report-submitted" in said) == (1, True, False)
    again = running.send("R-3")
    assert (again.json()["ticket"], again.json()["sha256"]) == (lost.json()["ticket"], lost.json()["sha256"])
    eventually(lambda: running.report(lost.json()["ticket"]), 20, "it is here again")

    lost_again = eventually(lambda: [c for c in running.callbacks("R-3") if c["sequence"] > first_number(HOUR_AGO)], 20)
    assert lost_again[0]["status"] == "received"

    # People do again what they did, and the city takes it.
    running.acknowledge(ticket)
    eventually(lambda: last_told(running, "R-1").get("status") == "acknowledged", 20, "the city takes what comes")
    assert len(running.escalations(late)) == fired, "it is held"

    # What is overdue fires once, in order; the log is whole, and says that it is not the one from before.
    running.command("engine", "release", "--reason", "diperiksa")
    eventually(lambda: len(running.escalations(late)) == len(LADDER), 30, "the whole ladder")
    assert [row["target"] for row in running.escalations(late)] == list(LADDER)
    eventually(lambda: all_sealed(running), 20, "the whole log sealed")
    assert restorable.bridge("escalations", "verify")[0] == 0
    assert restorable.bridge("escalations", "verify", "--expect", head_before)[0] == 1
    eventually(lambda: "log_cut_off" in running.command("engine", "status"), 60, "the auditor says so, too")
    running.command("escalations", "accept-head", "--reason", "disk lost")
    eventually(lambda: running.command("engine", "status").count("\n") == 2, 60, "the auditor finds nothing any more")
