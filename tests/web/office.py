"""An office inside the test process: the real application on SQLite, its people, reports taken in by the real step."""

import itertools
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from bridge.app import create_app
from bridge.auth import hash_password
from bridge.links import AckLink
from bridge.reports.clocks import Kind
from bridge.reports.moves import Actor
from bridge.reports.people import Person, Role
from bridge.reports.report import Report
from bridge.reports.tickets import ticket_for
from bridge.service import Service
from bridge.storage import people
from bridge.storage import reports as stored
from bridge.storage.migrate import migrate
from bridge.storage.tables import obligations
from consumers.take_in import TakeIn
from consumers.watch_clocks import WatchClocks
from schemas.messages import load_message
from tests.web.processes import SECRET, new_id, report

PASSWORD = "kata sandi untuk uji"
ROLES = {
    "ani": Role.OFFICER,
    "budi": Role.OFFICER,
    "sekar": Role.SECRETARIAT,
    "kartika": Role.CHAIR,
    "darma": Role.DINAS_HEAD,
    "adi": Role.ADMIN,
}
#: Nothing of this may reach anybody without need.
CANARIES = {
    "name": "Siti Kenari",
    "phone": "+62 812-0000-7777",
    "email": "siti.kenari@warga.example",
    "description": "Kalimat kenari dalam uraian.",
    "business": "PT Kenari Pembiayaan",
}
_addresses = itertools.count(1)


@dataclass
class Visitor:
    """Somebody with a browser, at an address of their own: cookies, and the token of the forms."""

    client: FlaskClient
    address: str = field(default_factory=lambda: f"10.1.{next(_addresses)}.1")

    def get(self, path: str, **options: Any) -> TestResponse:
        """Open a page."""
        return self._open(path, method="GET", **options)

    def post(self, path: str, **form: str) -> TestResponse:
        """Send a form with its token, as a page of ours holds it."""
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.get("/desk/login").text)
        assert found
        return self._open(path, method="POST", data={"csrf_token": found[1], **form})

    def bare_post(self, path: str, **options: Any) -> TestResponse:
        """Send a form without a token, as another site would make a browser do."""
        return self._open(path, method="POST", **options)

    def log_in(self, name: str, password: str = PASSWORD, **form: str) -> TestResponse:
        """Fill in the form of the entrance."""
        return self.post("/desk/login", name=name, password=password, **form)

    def _open(self, path: str, **options: Any) -> TestResponse:
        return self.client.open(path, environ_base={"REMOTE_ADDR": self.address}, buffered=True, **options)


class Office:
    """The application, and ways to bring it into a state."""

    def __init__(self, folder: Path, **variables: str) -> None:
        settings = {"BRIDGE_DATA_DIR": str(folder), "QLUE_WEBHOOK_SECRET": SECRET}
        self.service = Service.from_environment(settings | variables)
        migrate(self.service.database)
        self.service.rules.prepare()
        self.app: Flask = create_app(self.service)
        self._take_in = TakeIn(self.service.database, self.service.rules, self.service.arrivals)
        self._watch = WatchClocks(self.service.database, self.service.rules)
        self._inside: dict[str, Visitor] = {}
        self.password_hash = hash_password(PASSWORD)
        for name, role in ROLES.items():
            self.add_person(name, role, password_hash=self.password_hash)

    def add_person(self, name: str, role: Role, **fields: Any) -> None:
        """Add somebody."""
        with self.service.database.write() as connection:
            people.save(connection, Person(name, name.title(), role, "bpsk-dki", f"{name}@bpsk.example"))
            if fields:
                people.set_fields(connection, name, **fields)

    def let_go(self, name: str) -> None:
        """Remove somebody."""
        with self.service.database.write() as connection:
            people.set_fields(connection, name, active=0)

    def visitor(self) -> Visitor:
        """Return somebody who has just come."""
        return Visitor(self.app.test_client())

    def inside(self, name: str) -> Visitor:
        """Return somebody who is logged in; one per person, for log-ins are counted."""
        if name not in self._inside:
            self._inside[name] = self.visitor()
            assert self._inside[name].log_in(name).status_code == 302
        return self._inside[name]

    def token(self, name: str) -> dict[str, str]:
        """Give somebody a bearer token and return the header to send."""
        with self.service.database.write() as connection:
            people.set_fields(connection, name, token_hash=sha256(name.encode()).hexdigest())
        return {"Authorization": f"Bearer {name}"}

    def new_report(self, **data: Any) -> str:
        """Take in a report and return its ticket."""
        external_id = new_id("QL")
        body = report(external_id, **data)
        message = self.service.arrivals.sealed("qlue", new_id(), "", datetime.now(UTC), sha256(body).hexdigest(), body)
        self._take_in.handle([load_message(json.loads(message.body()))])
        return ticket_for(self.service.settings.ticket_key, "qlue", external_id)

    def canary_report(self) -> str:
        """Take in a report full of what must not leak."""
        c = CANARIES
        person = {"name": c["name"], "phone": c["phone"], "email": c["email"], "domicile": "31.74"}
        return self.new_report(reporter=person, business={"name": c["business"]}, description=c["description"])

    def report(self, ticket: str) -> Report:
        """Return a report as it stands."""
        with self.service.database.read() as connection:
            return stored.by_ticket(connection, ticket)

    def assign(self, ticket: str, name: str) -> None:
        """Put a report on somebody's desk."""
        with self.service.database.read() as connection:
            person = people.one(connection, name)
        self.service.casework.assign(ticket, person, Actor("cli:test"), "uji")

    def let_pass(self, ticket: str, steps: int) -> None:
        """Let the next steps of the acknowledge clock fall due, warnings included, and fire."""
        for _ in range(steps):
            self._set_clock(ticket, "next_due")
            assert self._watch.tick() == 1
        self._set_clock(ticket, "deadline_at")

    def _set_clock(self, ticket: str, column: str) -> None:
        mine = (obligations.c.report_id == self.report(ticket).report_id) & (obligations.c.kind == Kind.ACKNOWLEDGE)
        with self.service.database.write() as connection:
            ago = self.service.database.now(connection) - timedelta(minutes=1)
            connection.execute(obligations.update().where(mine).values({column: ago}))

    def link(self, ticket: str, name: str) -> str:
        """Return the path of the one-click link somebody was sent in the report's present cycle."""
        found = self.report(ticket)
        url = self.service.links.to_acknowledge(AckLink(found.report_id, found.cycle, name))
        return url.removeprefix(self.service.settings.public_url)

    def close(self) -> None:
        """Close files."""
        self.service.close()
