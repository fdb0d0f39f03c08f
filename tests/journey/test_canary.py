"""A canary report is sent through everything; then every place is searched where its personal data has no business.

The words are new in every run: other tests fill the same servers with theirs.
"""

import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from bridge.reports.states import Move, Outcome
from tests.running import FAST, Running
from tests.servers import CityReceiver, Mail, PostgreSQL, RabbitMQ, Server, eventually, new_folder

#: Statements that let take_in fail at one report, whatever it does: a step that crashes with a traceback.
_CRASH = {
    "sqlite": "CREATE TRIGGER crash BEFORE INSERT ON reports WHEN NEW.external_id = 'C-crash' "
    "BEGIN SELECT RAISE(ABORT, 'crash wanted'); END",
    "postgresql": "CREATE FUNCTION crash() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'crash wanted' USING DETAIL = NEW.description; END $$; "
    "CREATE TRIGGER crash BEFORE INSERT ON reports FOR EACH ROW WHEN (NEW.external_id = 'C-crash') EXECUTE FUNCTION crash()",
}

OPEN311_KEY = f"an-api-key-{secrets.token_hex(12)}"


@dataclass
class Canary:
    """An installation, the words that must not leak, and what was seen on the way."""

    running: Running
    servers: list[Server]
    #: Contact data: nowhere in clear.
    contact: dict[str, str]
    #: What the citizen wrote: in the database and before those who work with it, nowhere else.
    words: dict[str, str]
    seen: list[str] = field(default_factory=list)

    @property
    def digits(self) -> str:
        """Return the telephone number as JSON could hold it: a number."""
        return re.sub(r"\D", "", self.contact["phone"])

    def see(self, text: str) -> str:
        """Keep what somebody outside, or an operator, got to see."""
        self.seen.append(text)
        return text

    def report(self, **changed: Any) -> dict[str, Any]:
        """Return the data of a report full of canaries."""
        words = self.words
        data = {"title": words["title"], "description": words["description"], "category": FAST}
        data |= {"reporter": {**self.contact, "domicile": "31.74"}, "business": {"name": words["business"]}}
        return data | changed

    def logs(self) -> str:
        """Return what the processes have written so far."""
        return "".join(path.read_text("utf-8", "replace") for path in self.running.folder.glob("*.log"))


@pytest.fixture(params=["embedded", "full"])
def canary(request: pytest.FixtureRequest) -> Iterator[Canary]:
    """An installation of its own: embedded with logs for people, in many processes with logs for machines."""
    folder = new_folder(f"canary-{request.param}")
    mail, city, servers = Mail(folder / "mail"), CityReceiver(), []
    database, broker = f"sqlite:///{folder}/bridge.sqlite3", f"embedded:///{folder}/queue.sqlite3"
    if request.param == "full":
        postgres: PostgreSQL = request.getfixturevalue("postgres")
        rabbitmq: RabbitMQ = request.getfixturevalue("rabbitmq")
        database, broker, servers = postgres.new_database(), rabbitmq.new_vhost(), [postgres, rabbitmq]
    mail.start()
    city.start()
    running = Running(folder, request.param, database, broker, mail, city)
    running.env["OPEN311_API_KEY"] = OPEN311_KEY
    running.env["BRIDGE_LOG"] = "json" if servers else "text"
    running.start()
    bird = secrets.token_hex(6)
    contact = {
        "name": f"Siti{bird} Kenari",
        "phone": f"+62 8{int(bird, 16) % 10**12:012}",
        "email": f"siti.{bird}@warga.example",
    }
    words = {"title": f"Judul{bird}", "description": f"Uraian{bird} panjang", "business": f"PT Usaha{bird}"}
    yield Canary(running, servers, contact, words)
    running.stop()
    city.stop()
    mail.stop()


def test_no_log_metric_error_queue_or_file_holds_what_it_must_not(canary: Canary) -> None:
    running = canary.running
    ticket = _through_everything(canary)
    _everything_that_can_go_wrong(canary)
    _through_open311(canary)
    _what_operators_and_citizens_see(canary, ticket)
    running.stop()
    everything = [*canary.contact.values(), *canary.words.values(), canary.digits, OPEN311_KEY]
    assert "message_failed" in canary.logs()
    assert "Traceback" in canary.logs() or "Error" in canary.logs()
    assert _found(everything, {"logs": canary.logs().encode()}) == []
    assert _found(everything, {f"seen {number}": text.encode() for number, text in enumerate(canary.seen)}) == []
    assert _found(everything, {f"callback {n}": posted.body for n, posted in enumerate(running.city.requests)}) == []
    secret = [*canary.contact.values(), canary.words["description"], canary.words["business"]]
    assert _found(secret, {f"mail {n}": bytes(m.message) for n, m in enumerate(running.mail.messages)}) == []
    assert _found([*canary.contact.values(), canary.digits, OPEN311_KEY], _files(canary)) == []


def _through_everything(canary: Canary) -> str:
    """Let it be taken in, told, amended, escalated, looked at, acknowledged, closed and called back."""
    running = canary.running
    ticket = str(running.send("C-1", data=canary.report()).json()["ticket"])
    eventually(lambda: running.report(ticket), 30)
    later = "2026-11-23T11:00:00+07:00"
    running.send("C-1", type_="report.amended", at=later, data=canary.report(title=canary.words["title"] + " lagi"))
    eventually(lambda: len(running.escalations(ticket)) >= 3, 40)
    running.acknowledge(ticket)
    running.move(Move.CLOSE, ticket, outcome=Outcome.REFERRED)
    eventually(lambda: any(c["status"] == "closed" for c in running.callbacks("C-1")), 40)
    running.send("C-2", data=canary.report(reporter={**canary.contact, "anonymous": True}))
    return ticket


def _everything_that_can_go_wrong(canary: Canary) -> None:
    running, name = canary.running, canary.contact["name"]
    with running.service.database.write() as connection:
        connection.exec_driver_sql(_CRASH["sqlite" if running.embedded else "postgresql"])
    wrong: list[dict[str, Any]] = [
        {"title": None},
        {"reporter": {**canary.contact, "domicile": name}},
        {"reporter": {**canary.contact, "anonymous": name}},
        {"reporter": {"name": name * 100, "phone": [name], "email": {"at": name}}},
        {"reporter": name},
        {"attachments": [{"url": name}]},
        {"amount_idr": name},
        {"reported_at": name},
        {"language": name},
        {"location": {"lat": name, "area": name}},
    ]
    for number, changed in enumerate(wrong):
        canary.see(running.send(f"C-bad-{number}", data=canary.report(**changed)).text)
    for number, body in enumerate(
        (
            *(f'{{"name": "{name}"', f'["{name}"]', f'"{name}\\ud800"', name, f'{{"type": "{name}"}}'),
            *(f'{{"{name}": 1, "{name}": 2}}', f'{{"type": {canary.digits}e999}}', f'{{"a": {{"{name}": NaN}}}}'),
        )
    ):
        canary.see(running.post(body.encode(), f"msg-broken-{number}").text)
    running.post(json.dumps({"other": name}).encode(), "msg-C-1-report-submitted")  # an id used twice
    running.send("C-crash", data=canary.report())
    headers = {"content-type": "application/json", "webhook-id": "x", "webhook-signature": f"v1,{name}"}
    canary.see(requests.post(running.way_in, data=name.encode(), headers=headers, timeout=10).text)
    canary.see(requests.get(f"{running.desk}/api/v1/reports", headers={"Authorization": "Bearer x"}, timeout=10).text)
    eventually(lambda: "message_failed" in canary.logs(), 60)
    eventually(lambda: any(row["why"] == "dead_letter" for row in _aside(running)), 60)


def _through_open311(canary: Canary) -> None:
    """Send it the other way in, in the body and in the address, whole and wrong in every place."""
    contact, words = canary.contact, canary.words
    first, _, last = contact["name"].partition(" ")
    form = {"api_key": OPEN311_KEY, "service_code": "ASURANSI", "address_string": "Jl. Contoh 1", "first_name": first}
    form |= {"last_name": last, "phone": contact["phone"], "email": contact["email"]}
    form |= {"attribute[title]": words["title"], "description": words["description"]}
    address = f"{canary.running.way_in.rpartition('/webhooks/')[0]}/open311/v2/requests.json"
    taken = [requests.post(address, data=form, timeout=10), requests.post(address, params=form, timeout=10)]
    assert [answer.status_code for answer in taken] == [200, 200], [answer.text for answer in taken]
    name = contact["name"]
    wrong = [
        {"lat": name, "long": name},
        {"media_url": name},
        {"attribute[consumer_domicile]": name},
        {"email": name * 20},
    ]
    wrong += [{"api_key": name}, {"attribute[amount_idr]": name, "address_string": ""}]
    refused = [requests.post(address, data=form | changed, timeout=10) for changed in wrong]
    assert {answer.status_code for answer in refused} <= {400, 403}
    for answer in (*taken, *refused):
        canary.see(answer.text)
    ticket = str(taken[0].json()[0]["service_request_id"])
    read = f"{canary.running.desk}/open311/v2/requests/{ticket}.json"
    eventually(lambda: requests.get(read, timeout=10).status_code == 200, 30)
    canary.see(requests.get(read, timeout=10).text)


def _aside(running: Running) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(running.command("set-aside", "list", "--json"))
    return rows


def _what_operators_and_citizens_see(canary: Canary, ticket: str) -> None:
    running = canary.running
    for words in (
        "doctor",
        "set-aside list",
        "deliveries list",
        "escalations export",
        "reports list",
        "data-key apply",
    ):
        canary.see(running.command(*words.split(), check=False))
    canary.see(running.track(ticket))
    for address in {f"http://127.0.0.1:{running.port}", running.desk}:
        for path in ("metrics", "readyz", "healthz"):
            canary.see(requests.get(f"{address}/{path}", timeout=10).text)


def _files(canary: Canary) -> dict[str, bytes]:
    """Return every file of the installation and of its servers: tables, write-ahead logs, queues, logs."""
    folders = [canary.running.folder]
    for server in canary.servers:
        folders.append(server.folder)
        if isinstance(server, PostgreSQL):
            with psycopg.connect(canary.running.database_url.replace("+psycopg", ""), autocommit=True) as connection:
                connection.execute("CHECKPOINT")
    return {str(path): _bytes(path) for folder in folders for path in folder.rglob("*") if path.is_file()}


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # a server tidied it away
        return b""


def _found(words: list[str], places: dict[str, bytes]) -> list[str]:
    return [f"{word} in {place}" for place, content in places.items() for word in words if word.encode() in content]
