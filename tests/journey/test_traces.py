"""One trace per report, from the city's webhook to the callback, whichever processes it went through."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.collectors import Collector, Told
from tests.running import FAST, Running
from tests.servers import CityReceiver, Mail, PostgreSQL, RabbitMQ, eventually, free_port, new_folder

CITY = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
EVERY_STEP = {"report", "receive", "take_in", "relay_outbox", "notify", "escalate", "move", "callback"}


@dataclass
class Traced:
    """An installation that exports its traces, and where they go."""

    running: Running
    collector: Collector


@pytest.fixture(params=["embedded", "full"])
def traced(request: pytest.FixtureRequest) -> Iterator[Traced]:
    """An installation of its own, one process or many, that exports to a collector of its own."""
    folder = new_folder(f"traces-{request.param}")
    mail, city, collector = Mail(folder / "mail"), CityReceiver(), Collector()
    database, broker = f"sqlite:///{folder}/bridge.sqlite3", f"embedded:///{folder}/queue.sqlite3"
    if request.param == "full":
        postgres: PostgreSQL = request.getfixturevalue("postgres")
        rabbitmq: RabbitMQ = request.getfixturevalue("rabbitmq")
        database, broker = postgres.new_database(), rabbitmq.new_vhost()
    for edge in (mail, city, collector):
        edge.start()
    running = Running(folder, request.param, database, broker, mail, city)
    running.env |= {"OTEL_TRACES_EXPORTER": "otlp,console", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    running.env |= {"OTEL_SERVICE_NAME": "jembatan-test", "OTEL_BSP_SCHEDULE_DELAY": "200"}
    running.start()
    yield Traced(running, collector)
    running.stop()
    for edge in (mail, city, collector):
        edge.stop()


def test_report_has_one_trace_from_the_webhook_to_the_callback_with_the_citys_own_beside_it(traced: Traced) -> None:
    bird = secrets.token_hex(6)
    report_id, ticket = _escalated_and_acknowledged(traced.running, bird)

    spans = _whole(traced.collector, report_id)

    assert {span.name for span in spans} == EVERY_STEP
    assert {span.service for span in spans} == {"jembatan-test"}
    assert {
        span.attributes["ticket"] for span in spans if span.name != "receive" and "type" not in span.attributes
    } == {ticket}
    _parents_connect(spans)
    _city_is_beside_it(spans)
    _callbacks_carried_it(traced.running, spans)
    assert not any("traceparent" in mail.message for mail in list(traced.running.mail.messages))
    _nothing_personal_left(traced, bird)


def _escalated_and_acknowledged(running: Running, bird: str) -> tuple[str, str]:
    """Send a report of canaries, wait for the first rung and acknowledge; returns its id and ticket."""
    data = {
        "title": f"Judul{bird}",
        "description": f"Uraian{bird}",
        "category": FAST,
        "business": {"name": f"PT {bird}"},
    }
    data |= {"reporter": {"name": f"Siti{bird}", "phone": f"+62 8{int(bird, 16) % 10**12:012}", "domicile": "31.74"}}
    answer = running.send("T-1", data=data, headers={"traceparent": CITY}).json()
    ticket = str(answer["ticket"])
    eventually(lambda: running.escalations(ticket), 30, "the first rung")
    running.command("reports", "ack", ticket)
    eventually(lambda: any(c["status"] == "acknowledged" for c in running.callbacks("T-1")), 30, "the callback")
    return str(answer["report_id"]), ticket


def _whole(collector: Collector, report_id: str) -> list[Told]:
    """Return the trace as soon as every callback's attempt has been exported."""
    eventually(lambda: {span.name for span in collector.of(report_id)} >= EVERY_STEP, 30, "a span of every step")
    eventually(lambda: not _orphans(collector.of(report_id)), 30, "every parent")
    return collector.of(report_id)


def _orphans(spans: list[Told]) -> list[Told]:
    known = {span.span_id for span in spans}
    return [span for span in spans if span.parent_id and span.parent_id not in known]


def _parents_connect(spans: list[Told]) -> None:
    by_id = {span.span_id: span for span in spans}
    first = [span for span in spans if not span.parent_id]
    above = {(span.name, by_id[span.parent_id].name) for span in spans if span.parent_id}
    assert [span.name for span in first] == ["report"]
    assert len(by_id) == len(spans), "no id is given twice"
    assert above == {
        ("receive", "report"),
        ("take_in", "receive"),
        ("escalate", "report"),
        ("move", "report"),
        *(("relay_outbox", step) for step in ("take_in", "escalate", "move")),
        ("notify", "relay_outbox"),
        ("callback", "relay_outbox"),
    }


def _city_is_beside_it(spans: list[Told]) -> None:
    _, trace_id, span_id, _ = CITY.split("-")
    assert {span.name for span in spans if span.links} == {"receive", "take_in"}
    assert {link for span in spans for link in span.links} == {(trace_id, span_id)}


def _callbacks_carried_it(running: Running, spans: list[Told]) -> None:
    carried = {posted.headers["traceparent"] for posted in list(running.city.requests)}
    assert carried >= {f"00-{span.trace_id}-{span.span_id}-01" for span in spans if span.name == "callback"}
    assert {header.split("-")[1] for header in carried} == {spans[0].trace_id}
    assert all(span.attributes["status"] == 200 for span in spans if span.name == "callback")


def _nothing_personal_left(traced: Traced, bird: str) -> None:
    traced.running.stop()
    phone = f"8{int(bird, 16) % 10**12:012}"
    logs = b"".join(path.read_bytes() for path in traced.running.folder.glob("*.log"))
    assert b'"name": "take_in"' in logs, "the console exporter writes into the log"
    for place in (logs, *traced.collector.bodies):
        assert not [word for word in (bird, phone, "bpsk.example") if word.encode() in place]


def test_without_its_variables_no_part_of_opentelemetry_is_loaded_and_nothing_is_sent(
    mail: Mail, city: CityReceiver, tmp_path: Path
) -> None:
    running = Running(
        tmp_path, "off", f"sqlite:///{tmp_path}/b.sqlite3", f"embedded:///{tmp_path}/q.sqlite3", mail, city
    )
    collector = Collector()
    collector.start()
    running.env |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "PYTHONPROFILEIMPORTTIME": "1"}
    running.start()

    answer = running.send("T-2", headers={"traceparent": CITY}).json()
    posted = city.wait_for(1, 30)
    running.stop()

    trace_id = answer["report_id"].replace("-", "")
    assert posted[0].headers["traceparent"] == f"00-{trace_id}-{trace_id[:16]}-01"
    loaded = (tmp_path / "up.log").read_text()
    assert "bridge.tracing" in loaded
    assert "opentelemetry" not in loaded
    assert "span_export" not in loaded
    assert collector.bodies == []
    collector.stop()


def test_collector_that_is_away_costs_neither_a_report_nor_more_than_two_seconds_at_the_end(
    mail: Mail, city: CityReceiver, tmp_path: Path
) -> None:
    running = Running(
        tmp_path, "away", f"sqlite:///{tmp_path}/b.sqlite3", f"embedded:///{tmp_path}/q.sqlite3", mail, city
    )
    running.env |= {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
    running.env |= {"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    running.start()

    ticket = running.send("T-3").json()["ticket"]
    eventually(lambda: running.callbacks("T-3"), 30, "the callback")
    log = tmp_path / "up.log"
    eventually(lambda: "traces_not_exported" in log.read_text(), 30, "a line that says so")
    running.command("reports", "ack", ticket)
    eventually(lambda: len(running.callbacks("T-3")) >= 2, 30, "the callback of the move")
    running.stop()

    assert log.read_text().count("traces_not_exported") == 1
    assert "Traceback" not in log.read_text()


def test_end_of_a_process_waits_two_seconds_for_a_collector_that_never_answers(tmp_path: Path) -> None:
    program = (
        "import atexit, os, socket, time\n"
        "from bridge import tracing\n"
        "silent = socket.create_server(('127.0.0.1', 0))\n"
        "os.environ['OTEL_EXPORTER_OTLP_ENDPOINT'] = f'http://127.0.0.1:{silent.getsockname()[1]}'\n"
        "tracing.configure(['otlp'])\n"
        "with tracing.span('move', '0d9c1f3e-0000-5000-8000-000000000001'): pass\n"
        "began = time.monotonic()\n"
        "atexit._run_exitfuncs()\n"
        "print(time.monotonic() - began)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={"PATH": os.environ["PATH"]},
    )
    assert 1.5 < float(done.stdout) < 4


def test_receiver_that_is_told_to_stop_exports_what_it_still_holds(
    mail: Mail, city: CityReceiver, tmp_path: Path
) -> None:
    running = Running(
        tmp_path, "way-in", f"sqlite:///{tmp_path}/b.sqlite3", f"embedded:///{tmp_path}/q.sqlite3", mail, city
    )
    collector = Collector()
    collector.start()
    running.env |= {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    running.env |= {"OTEL_BSP_SCHEDULE_DELAY": "60000", "BRIDGE_RECEIVER_WORKERS": "1"}
    running.command("migrate")  # not for the receiver, which has no database: for the end of `running`
    running.start_part("receive")
    running.wait_ready()

    report_id = running.send("T-4").json()["report_id"]
    assert collector.spans == []
    running.stop()

    assert [span.name for span in collector.of(report_id)] == ["receive"]
    collector.stop()
