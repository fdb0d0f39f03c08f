"""Jembatan as it really runs: its own processes, started with `bridge …`, killed and started again by tests."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import requests

from bridge.reports.moves import Actor, Details
from bridge.reports.people import Person, Role
from bridge.reports.states import Move
from bridge.service import Service
from bridge.signing import sign, signing_key
from bridge.storage import escalations, people
from bridge.storage import reports as stored
from tests.servers import CityReceiver, Mail, eventually, free_port

ROOT = Path(__file__).parent.parent
COMMAND = Path(sys.executable).with_name("bridge")
KEY = "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU="
#: The category whose reports get a ladder of seconds; all others have hours.
FAST = "CEPAT"

PEOPLE = (
    ("ani", "officer", "bpsk-dki"),
    ("budi", "officer", "bpsk-dki"),
    ("citra", "officer", "bpsk-dki"),
    ("sekar", "secretariat", "bpsk-dki"),
    ("kartika", "chair", "bpsk-dki"),
    ("darma", "dinas_head", "dinas"),
    ("adi", "admin", "dinas"),
)
#: The rungs of the fast ladder, in order.
LADDER = ("next_member", "role:secretariat", "role:chair", "role:dinas_head", "role:admin")


def policies(first_s: float = 3, every_s: float = 1) -> str:
    """Return a policies.toml: the set `fast` escalates after seconds, `default` after hours."""
    return _set("default", "hours", 1, 1) + _set("fast", "seconds", first_s, every_s)


def _set(name: str, unit: str, first: float, every: float) -> str:
    rungs = "".join(
        _rung(f"{name}.acknowledge", f"{int(first + i * every)} {unit}", to, "both" if i == 0 else "notify")
        for i, to in enumerate(LADDER)
    )
    triage = _rung(f"{name}.triage", "5 hours", "role:secretariat", "notify")
    reminded = _rung(f"{name}.completion", f"3 {unit}", "citizen", "notify")
    closed = _rung(f"{name}.completion", f"6 {unit}", "assignee", "close")
    decided = _rung(f"{name}.decision", "21 working days", "role:chair", "notify")
    return (
        f'[{name}.acknowledge]\nspan = "{int(first)} {unit}"\n{rungs}'
        f'[{name}.triage]\nspan = "5 hours"\n{triage}'
        f'[{name}.completion]\nspan = "6 {unit}"\n{reminded}{closed}'
        f'[{name}.decision]\nspan = "21 working days"\n{decided}'
    )


def _rung(clock: str, at: str, to: str, do: str) -> str:
    return f'[[{clock}.ladder]]\nat = "{at}"\nto = "{to}"\ndo = "{do}"\n'


def make_config(folder: Path, policies_text: str, *, gathers: bool) -> Path:
    """Return a configuration folder: the shipped one, with a fast ladder for reports of category CEPAT.

    Unless it `gathers`, every notice is a mail of its own, however many one person gets of a run's tests.
    """
    shutil.copytree(ROOT / "config", folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (folder / "policies.toml").write_text(policies_text)
    channels = folder / "channels.toml"
    assert "most = 20" in channels.read_text()
    channels.write_text(channels.read_text().replace("most = 20", "most = 20" if gathers else "most = 0"))
    fast = f'[[rule]]\nname = "cepat"\noffice = "bpsk-dki"\npolicy = "fast"\n[rule.when]\ncategory = ["{FAST}"]\n'
    last = '[[rule]]\nname = "selebihnya"\noffice = "bpsk-dki"\n'
    (folder / "routing.toml").write_text(fast + last)
    return folder


@dataclass
class Running:
    """One installation: its variables, its processes, and the world around it."""

    folder: Path
    name: str
    database_url: str
    broker_url: str
    mail: Mail
    city: CityReceiver
    policies_text: str = field(default_factory=policies)
    gathers: bool = False
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.port, self.desk_port = free_port(), free_port()
        self.embedded = self.broker_url.startswith("embedded:")
        config = make_config(self.folder / "config", self.policies_text, gathers=self.gathers)
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "BRIDGE_DATABASE_URL": self.database_url,
            "BRIDGE_BROKER_URL": self.broker_url,
            "BRIDGE_DATA_DIR": str(self.folder / "data"),
            "BRIDGE_CONFIG_DIR": str(config),
            "BRIDGE_LISTEN": f"127.0.0.1:{self.port}",
            "BRIDGE_SECRET_KEY": "s" * 32,
            "BRIDGE_TICKET_KEY": "t" * 32,
            "BRIDGE_SMTP_URL": self.mail.url,
            "BRIDGE_AUDIT_EVERY_S": "2",
            "QLUE_WEBHOOK_SECRET": KEY,
            "QLUE_CALLBACK_URL": self.city.url,
            "QLUE_CALLBACK_SECRET": KEY,
        }
        # In one process the desk is on the same port as the way in; scaled out it has its own.
        self.desk = f"http://127.0.0.1:{self.port if self.embedded else self.desk_port}"
        self.env["BRIDGE_PUBLIC_URL"] = self.desk
        self.way_in = f"http://127.0.0.1:{self.port}/webhooks/qlue"

    # -- processes ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start everything and wait until it would accept a report and show a page."""
        if not self.embedded:
            self.command("migrate")
        for part in self.parts():
            self.start_part(part)
        self.wait_ready()
        self.add_people()

    def parts(self) -> list[str]:
        """Return the names of the processes this kind of installation has."""
        steps = ["take_in", "relay_outbox", "notify_office", "watch_clocks", "report_back", "set_aside", "audit"]
        return ["up"] if self.embedded else ["receive", "desk", *(f"work {step}" for step in steps)]

    def start_part(self, part: str) -> None:
        """Start one process (again); its log goes on in the same file."""
        env = self.env | ({"BRIDGE_LISTEN": f"127.0.0.1:{self.desk_port}"} if part == "desk" else {})
        log = self.folder / f"{part.replace(' ', '-')}.log"
        with log.open("ab") as file:
            self.processes[part] = subprocess.Popen(
                [str(COMMAND), *part.split()],
                env=env,
                stdout=file,
                stderr=file,
                start_new_session=True,
                cwd=self.folder,
            )

    def kill(self, part: str) -> None:
        """Kill one process and all it started, with SIGKILL: no last words."""
        os.killpg(self.processes[part].pid, signal.SIGKILL)
        self.processes[part].wait(10)

    def stop(self) -> None:
        """Stop everything in an orderly way; what does not stop in time is killed and said."""
        self.service.close()
        for process in self.processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        late = []
        for part, process in self.processes.items():
            try:
                process.wait(25)
            except subprocess.TimeoutExpired:
                late.append(part)
                self.kill(part)
        assert not late, f"did not stop within 25 s of SIGTERM: {late}"

    def wait_ready(self, limit_s: float = 60) -> None:
        """Wait until the way in and the desk say that they are ready."""
        for url in {f"http://127.0.0.1:{self.port}", self.desk}:
            eventually(lambda url=url: _ready(url), limit_s, f"{url} ready; logs in {self.folder}")  # type: ignore[misc]

    def command(self, *words: str, check: bool = True, stdin: str = "") -> str:
        """Run a `bridge` command and return what it printed."""
        done = subprocess.run(
            [str(COMMAND), *words],
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=180,
            cwd=self.folder,
            check=False,
        )
        assert not check or done.returncode == 0, f"bridge {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def add_people(self) -> None:
        """Add everybody the ladder names, and those who hold nothing else."""
        with self.service.database.write() as connection:
            for person, role, office in PEOPLE:
                people.save(connection, Person(person, person.title(), Role(role), office, f"{person}@bpsk.example"))

    # -- the city ----------------------------------------------------------------------------------------------

    def send(
        self,
        external_id: str,
        *,
        type_: str = "report.submitted",
        category: str = "ASURANSI",
        webhook_id: str = "",
        at: str = "2026-11-23T10:00:00+07:00",
        data: dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send one event as the city app would."""
        if data is None:
            data = {"title": f"Klaim ditolak {external_id}", "description": "Klaim saya ditolak.", "category": category}
            data |= {"reporter": {"name": "Sri Kanaria", "phone": "+62 812-0000-7777", "domicile": "31.74"}}
            data |= {"business": {"name": "PT Kenari Asuransi"}}
        event = {"type": type_, "timestamp": at, "data": {"id": external_id, **data}}
        return self.post(
            json.dumps(event).encode(), webhook_id or f"msg-{external_id}-{type_.replace('.', '-')}", headers
        )

    def post(self, body: bytes, webhook_id: str, more: Mapping[str, str] | None = None) -> requests.Response:
        """Send signed bytes, with more headers if given."""
        timestamp = int(time.time())
        signature = sign(signing_key(KEY), webhook_id, timestamp, body)
        headers = {"content-type": "application/json", "webhook-id": webhook_id}
        headers |= {"webhook-timestamp": str(timestamp), "webhook-signature": signature, **(more or {})}
        answer = requests.post(self.way_in, data=body, headers=headers, timeout=30)
        assert answer.status_code == 202, f"{answer.status_code}: {answer.text}"
        return answer

    def callbacks(self, external_id: str) -> list[dict[str, Any]]:
        """Return the data of the callbacks that came for one report, in the order they came."""
        events = [json.loads(posted.body) for posted in list(self.city.requests)]
        return [event["data"] for event in events if event["data"]["id"] == external_id]

    # -- looking and acting -------------------------------------------------------------------------------------

    @cached_property
    def service(self) -> Service:
        """The parts of this installation inside the test process, for counting and for acting fast."""
        service = Service.from_environment(self.env)
        service.rules.prepare()
        return service

    def report(self, ticket: str) -> dict[str, Any]:
        """Return a report's row, its history, and `owed`: the state of each of its clocks; empty while unknown."""
        with self.service.database.read() as connection:
            try:
                report = stored.by_ticket(connection, ticket)
            except stored.NoSuchReport:
                return {}
            owed = stored.obligations_of(connection, [report.report_id])[report.report_id]
            history = stored.history_of(connection, report.report_id)
        return {**vars(report), "history": history, "owed": {o.kind: o.state for o in owed}}

    def escalations(self, ticket: str) -> list[dict[str, Any]]:
        """Return a report's escalations, oldest first."""
        with self.service.database.read() as connection:
            return escalations.listed(connection, escalations.Wanted(ticket=ticket))[::-1]

    def acknowledge(self, ticket: str, person: str = "ani") -> None:
        """Acknowledge in somebody's name."""
        self.service.casework.acknowledge(ticket, Actor(f"person:{person}"))

    def move(self, move: Move, ticket: str, **details: Any) -> None:
        """Make any other move."""
        self.service.casework.move(move, ticket, Actor("person:ani"), Details(**details))

    def mails_to(self, person: str, ticket: str = "") -> list[Any]:
        """Return the mails a person got, about one report if a ticket is given."""
        address = f"{person}@bpsk.example"
        return [
            m.message
            for m in list(self.mail.messages)
            if address in m.recipients and ticket in str(m.message["Subject"])
        ]

    def track(self, ticket: str) -> str:
        """Return the citizen's page."""
        return requests.get(f"{self.desk}/track/{urllib.parse.quote(ticket)}", timeout=10).text


def _ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/readyz", timeout=5).status_code == 200
    except requests.RequestException:
        return False
