"""A small town for the browser: one real `bridge up`, its people, complaints, and ladders of seconds where asked for."""

import json
import shutil
from pathlib import Path
from typing import Any

from playwright.sync_api import StorageState

from bridge.auth import hash_password
from bridge.demo import __file__ as demo
from bridge.links import AckLink
from bridge.reports.moves import Actor, Details
from bridge.reports.people import Person, Role
from bridge.reports.states import Move, Outcome
from bridge.service import Service
from bridge.storage import escalations, people, set_aside
from bridge.storage import reports as stored
from bridge.storage.reports import NoSuchReport
from bridge.storage.workers import pulse
from tests.servers import eventually
from tests.web.processes import ROOT, Bridge, new_id, post, report, signed
from tests.web.told_story import Told, happen, trouble

PASSWORD = "kata sandi untuk uji"
#: Reports of this category climb the demo's ladder of seconds; all others have working hours.
FAST = "CEPAT"
PEOPLE = (
    Person("ani", "Ani Rahmawati", Role.OFFICER, "bpsk-dki", "ani@bpsk.example", "consumer"),
    Person("budi", "Budi Santoso", Role.OFFICER, "bpsk-dki", "budi@bpsk.example", "business"),
    Person("sekar", "Sekar Wulandari", Role.SECRETARIAT, "bpsk-dki", "sekretariat@bpsk.example"),
    Person("kartika", "Kartika Hidayat", Role.CHAIR, "bpsk-dki", "ketua@bpsk.example"),
    Person("darma", "Darma Siregar", Role.DINAS_HEAD, "dinas", "kepala@dinas.example"),
    Person("adi", "Adi Nugroho", Role.ADMIN, "dinas", "admin@kota.example"),
)
COMPLAINT = {
    "description": "Motor saya ditarik tiga orang di Jalan Raya Pasar Minggu tanpa surat tugas.\n\nMohon BPSK memanggil mereka.",
    "reporter": {
        "name": "Siti Kenari",
        "phone": "+62 812-0000-7777",
        "email": "siti@warga.example",
        "domicile": "31.74",
    },
    "business": {"name": "PT Kenanga Multi Finance", "address": "Jl. Contoh Raya No. 12, Jakarta Selatan"},
    "amount_idr": 12_500_000,
    "attachments": [{"url": "https://qlue.example/foto/1.jpg", "media_type": "image/jpeg"}],
}


class Town:
    """The running installation, and ways to bring it into a state as fast as possible."""

    def __init__(self, folder: Path) -> None:
        self.bridge = Bridge(folder, "up", BRIDGE_CONFIG_DIR=str(_make_config(folder / "config")))
        self.bridge.start()
        self.url = self.bridge.url
        #: Cookies of those who have logged in, by name.
        self.sessions: dict[str, StorageState] = {}
        # Beside the process, on the same files: for what no page offers, such as the first person.
        self.service = Service.from_environment(self.bridge.environment())
        self.service.rules.prepare()
        self._add_people()
        self._in_trouble = False
        #: A report nobody answers.
        self.ignored = self.complain("Klaim asuransi kesehatan ditolak tanpa alasan yang jelas", category=FAST)

    def _add_people(self) -> None:
        hashed = hash_password(PASSWORD)
        with self.service.database.write() as connection:
            for person in PEOPLE:
                people.save(connection, person)
                people.set_fields(connection, person.person_id, password_hash=hashed)

    def complain(self, title: str = "Motor ditarik leasing di jalan", assignee: str = "", **data: Any) -> str:
        """Send a complaint as the city does, and return its ticket once the desk knows it."""
        reply = post(self.bridge.port, report(new_id("QL"), title=title, **(COMPLAINT | data)))
        ticket = str(json.loads(reply.body)["ticket"])
        eventually(lambda: self.knows(ticket), 20, f"{ticket} is on the desk\n{self.bridge.log_end()}")
        if assignee:
            person = next(person for person in PEOPLE if person.person_id == assignee)
            self.service.casework.assign(ticket, person, Actor("cli:test"), "uji")
        return ticket

    def set_aside(self) -> tuple[int, bytes]:
        """Send a report without a title, which is set aside; returns its number and what it would be, mended."""
        name, external_id = new_id(), new_id("QL")
        invalid = report(external_id, title=None)
        reply = post(self.bridge.port, invalid, signed(invalid, webhook_id=name))
        assert reply.json()["status"] == "set_aside"

        def number() -> int:
            with self.service.database.read() as connection:
                return next((row["id"] for row in set_aside.listed(connection) if row["webhook_id"] == name), 0)

        return eventually(number, 20, "it lies aside"), report(external_id)

    def told(self, ticket: str, *story: Told) -> list[str]:
        """Let deliveries about a report have become what is said, and destinations be in trouble; returns the ids."""
        if not self._in_trouble:
            trouble(self.service)
            self._in_trouble = True
        return happen(self.service, ticket, *story)

    def move(self, ticket: str, *moves: Move) -> str:
        """Make moves in the chair's name, and return the ticket."""
        details = {
            Move.ASK_COMPLETION: Details(missing=("Bukti perolehan (bon, faktur, kwitansi)", "Saksi")),
            Move.REGISTER: Details(case_number="017/REG/BPSK-DKI/XI/2026"),
            Move.CLOSE: Details(outcome=Outcome.SETTLED),
        }
        for move in moves:
            self.service.casework.move(move, ticket, Actor("person:kartika"), details.get(move, Details()))
        return ticket

    def status(self, ticket: str) -> str:
        """Return where a report stands."""
        with self.service.database.read() as connection:
            return stored.by_ticket(connection, ticket).status

    def level(self, ticket: str) -> int:
        """Return the highest level a report has climbed to."""
        with self.service.database.read() as connection:
            rows = escalations.listed(connection, escalations.Wanted(ticket=ticket))
        return max((row["level"] for row in rows), default=0)

    def exhausted(self) -> int:
        """Return how many clocks have told every level and are still unanswered."""
        with self.service.database.read() as connection:
            return pulse(connection, self.service.database.now(connection)).exhausted

    def link(self, ticket: str, person: str) -> str:
        """Return the path of the one-click link somebody is sent."""
        with self.service.database.read() as connection:
            found = stored.by_ticket(connection, ticket)
        url = self.service.links.to_acknowledge(AckLink(found.report_id, found.cycle, person))
        return url.removeprefix(self.service.settings.public_url)

    def close(self) -> None:
        """End everything."""
        self.service.close()
        self.bridge.close()

    def knows(self, ticket: str) -> bool:
        """Tell whether a report has arrived."""
        try:
            return bool(self.status(ticket))
        except NoSuchReport:
            return False


def _make_config(folder: Path) -> Path:
    shutil.copytree(ROOT / "config", folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    seconds = (Path(demo).parent / "policies.toml").read_text().replace("[default.", "[fast.")
    with (folder / "policies.toml").open("a") as file:
        file.write(seconds)
    fast = f'[[rule]]\nname = "cepat"\noffice = "bpsk-dki"\npolicy = "fast"\n[rule.when]\ncategory = ["{FAST}"]\n'
    (folder / "routing.toml").write_text(fast + (ROOT / "config/routing.toml").read_text())
    return folder
