"""The story a newcomer watches in the first minute: filed, ignored, climbing, answered. Told in the terminal."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import click

from bridge.auth import hash_password
from bridge.demo.city import CityApp, create_city
from bridge.reports.moves import Actor, Details
from bridge.reports.people import Person, Role
from bridge.reports.states import Move, MoveRefused, Outcome
from bridge.running import serve
from bridge.simulation.complaints import complaint
from bridge.storage import escalations, people
from bridge.words import ZONE, say

if TYPE_CHECKING:
    from bridge.running import Crew
    from bridge.service import Service

PASSWORD = "jembatan-demo"  # noqa: S105 - printed on the screen; pretend people on loopback

PEOPLE = (
    Person("ani", "Ani Rahmawati", Role.OFFICER, "bpsk-dki", "ani@bpsk.example", "consumer"),
    Person("budi", "Budi Santoso", Role.OFFICER, "bpsk-dki", "budi@bpsk.example", "business"),
    Person("citra", "Citra Lestari", Role.OFFICER, "bpsk-dki", "citra@bpsk.example", "government"),
    Person("sekar", "Sekar Wulandari", Role.SECRETARIAT, "bpsk-dki", "sekretariat@bpsk.example"),
    Person("kartika", "Kartika Hidayat", Role.CHAIR, "bpsk-dki", "ketua@bpsk.example"),
    Person("darma", "Darma Siregar", Role.DINAS_HEAD, "dinas", "kepala@dinas.example"),
    Person("adi", "Adi Nugroho", Role.ADMIN, "dinas", "admin@kota.example"),
)

#: The chair answers the first report once it has climbed to this level.
ANSWERED_AT_LEVEL = 3


class Demo:
    """Adds the people, the city app, and one report that nobody answers until the chair does."""

    def __init__(self, service: Service, crew: Crew) -> None:
        self._service = service
        self._crew = crew
        self._city = CityApp(service)
        self._said: set[int] = set()

    def start(self) -> None:
        """Start the city app and the story."""
        self._add_people()
        port = self._service.settings.listen_port + 1
        serve(create_city(self._city), self._service.settings.listen_host, port, self._crew)
        click.secho(
            f"""
This is the demo: a pretend city, and deadlines of seconds.
  City app      http://127.0.0.1:{port}/           file a complaint here, watch its colour
  Desk          {self._service.settings.public_url}/desk/      log in as {", ".join(p.person_id for p in PEOPLE)}
                                          password: {PASSWORD}
  Mail          {self._service.settings.public_url}/desk/mail  (as sekar, kartika, darma or adi)
Now watch: a citizen complains, and nobody answers …
""",
            fg="cyan",
        )
        self._crew.add("story", self._tell)

    def _add_people(self) -> None:
        hashed = hash_password(PASSWORD)
        with self._service.database.write() as connection:
            for person in PEOPLE:
                people.save(connection, person)
                people.set_fields(connection, person.person_id, password_hash=hashed)

    def _tell(self) -> None:
        rng = random.Random()  # noqa: S311 - a story
        data = complaint(rng, rng.randrange(10_000, 99_999), datetime.now(ZONE))
        answer = self._city.submit(data)["answer"]
        ticket = answer["ticket"]
        _say(f"Warga mengadu (a citizen complains): {data['title']}  →  {ticket}")
        click.echo(f"           the citizen's page: {answer['track_url']}")
        if not self._until(lambda: self._told(ticket) >= ANSWERED_AT_LEVEL):
            return
        try:
            self._answer(ticket)
        except MoveRefused:
            _say("Somebody was faster than the story: the report has been moved on the desk.")

    def _told(self, ticket: str) -> int:
        """Say each escalation of a report once; returns the highest level so far."""
        with self._service.database.read() as connection:
            rows = escalations.listed(connection, escalations.Wanted(ticket=ticket))
            names = people.names(connection)
        for row in reversed(rows):
            if row["id"] not in self._said:
                self._said.add(row["id"])
                who = ", ".join(names.get(p, p) for p in row["told"])
                rung = say(row["target"].removeprefix("role:"), "en")
                _say(f"Tidak ditanggapi (no answer): level {row['level']} → {rung}: {who}")
        return max((row["level"] for row in rows), default=0)

    def _answer(self, ticket: str) -> None:
        chair = next(person for person in PEOPLE if person.role is Role.CHAIR)
        actor = Actor(f"person:{chair.person_id}", chair)
        self._service.casework.acknowledge(ticket, actor)
        _say(f"Ketua menanggapi (the chair answers): {ticket} is yellow now")
        if self._pause(8):
            self._service.casework.move(Move.CLOSE, ticket, actor, Details(outcome=Outcome.SETTLED))
            _say(f"Perdamaian (settled): {ticket} is green, and the city app knows")
            click.echo(
                "\nNow it is your turn: file a complaint in the city app, log in as ani, acknowledge it in time.\n"
            )

    def _until(self, condition: Callable[[], bool], limit_s: float = 300) -> bool:
        until = time.monotonic() + limit_s
        while time.monotonic() < until and not self._crew.stop.wait(0.5):
            if condition():
                return True
        return False

    def _pause(self, seconds: float) -> bool:
        return not self._crew.stop.wait(seconds)


def _say(text: str) -> None:
    click.secho(f"{time.strftime('%H:%M:%S')}   {text}", bold=True)
