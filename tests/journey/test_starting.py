"""Starting: the first minute of a newcomer, and a world that is not ready yet."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.running import COMMAND, Running
from tests.servers import CityReceiver, Mail, PostgreSQL, RabbitMQ, eventually, free_port, new_folder


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[bytes]", Path, int]]:
    """`bridge up --demo` as a newcomer starts it, what it prints, and its port."""
    port = free_port()
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8", "BRIDGE_LISTEN": f"127.0.0.1:{port}"}
    printed = tmp_path / "printed.txt"
    with printed.open("wb") as out:
        process = subprocess.Popen([str(COMMAND), "up", "--demo"], env=env, stdout=out, stderr=out, cwd=tmp_path)
    yield process, printed, port
    process.terminate()
    assert process.wait(25) == 0


def test_newcomer_watches_a_report_arrive_climb_and_be_answered_within_a_minute(
    demo: tuple["subprocess.Popen[bytes]", Path, int],
) -> None:
    process, printed, port = demo

    eventually(lambda: "is green" in printed.read_text() or process.poll() is not None, 90, "the story's end")

    said = printed.read_text()
    for promise in ("a citizen complains", "level 1", "level 2", "level 3", "the chair answers", "is green"):
        assert promise in said
    city = f"http://127.0.0.1:{port + 1}/"
    eventually(lambda: 'class="status hijau"' in requests.get(city, timeout=10).text, 20, "the signed callback")


def test_bad_configuration_stops_the_start_with_every_fault_at_once(tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "BRIDGE_LISTEN": "nowhere", "BRIDGE_LOG": "loud"}
    env |= {"BRIDGE_DATABASE_URL": "mysql://x", "BRIDGE_SECRET_KEY": "short", "BRIDGE_DATA_DIR": str(tmp_path)}

    done = subprocess.run([str(COMMAND), "up"], env=env, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 1
    for name in ("BRIDGE_LISTEN", "BRIDGE_LOG", "BRIDGE_DATABASE_URL", "BRIDGE_SECRET_KEY"):
        assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_everything_waits_for_broker_and_database_and_starts_when_they_come(mail: Mail, city: CityReceiver) -> None:
    folder = new_folder("late-world")
    rabbitmq, postgres = RabbitMQ(folder / "rabbitmq"), PostgreSQL(folder / "postgres")
    postgres.start()
    rabbitmq.start()
    running = Running(folder, "full", postgres.new_database(), rabbitmq.new_vhost(), mail, city)
    running.command("migrate")
    rabbitmq.stop()
    postgres.stop()
    for part in running.parts():
        running.start_part(part)
    watcher, receiver = folder / "work-watch_clocks.log", folder / "receive.log"
    eventually(lambda: "waiting_for" in watcher.read_text(), 40, "a line that says what is waited for")
    eventually(lambda: "broker_away" in receiver.read_text(), 40, "a line that says what is waited for")
    assert all(process.poll() is None for process in running.processes.values()), "nothing may crash"

    postgres.start()
    rabbitmq.start()

    running.wait_ready()
    running.add_people()
    ticket = eventually(lambda: _accepted(running), 40, "a first report")
    eventually(lambda: running.report(ticket), 30, "taken in")
    running.stop()
    rabbitmq.close()
    postgres.close()


def _accepted(running: Running) -> str:
    try:
        return str(running.send("S-1").json()["ticket"])
    except (AssertionError, requests.RequestException):
        return ""
