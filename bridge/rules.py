"""The rulebook a process decides with: today's files, and every stored version running clocks hold on to."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from bridge.reports.recompute import CalendarChange
from bridge.reports.rulebook import Rulebook, UnknownVersion
from bridge.storage import people, recompute, restored, versions
from bridge.storage.database import Database
from bridge.storage.reports import open_by_office
from config.calendars import calendar_from, definition_of

_T = TypeVar("_T")


class Rules:
    """Today's rulebook, completed from the database when a clock names a version this process does not know."""

    def __init__(self, database: Database, book: Rulebook) -> None:
        self._database = database
        self.book = book

    def prepare(self) -> None:
        """Store today's versions, load all others, and see from where numbers go on; before the first decision."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            versions.keep(self._database, connection, self.book, now=now, definition_of=definition_of)
            numbers_from = restored.numbers_from(connection)
        self.book = replace(self.book, numbers_from=numbers_from)
        self._load()

    def lost_offices(self) -> dict[str, int]:
        """Return how many open reports lie with each office the files no longer name."""
        with self._database.read() as connection:
            found = open_by_office(connection)
        return {office: count for office, count in sorted(found.items()) if office not in self.book.offices}

    def earlier_calendars(self) -> dict[str, int]:
        """Return how many open clocks are counted by another calendar than their office's of today, by its name."""
        today = CalendarChange(self.book)
        with self._database.read() as connection:
            found = recompute.standings(connection)
        counted: Counter[str] = Counter()
        for standing, clocks in found.items():
            if target := today.targets(standing):
                counted[target[0]] += clocks
        return dict(sorted(counted.items()))

    def unknown_people(self) -> dict[str, set[str]]:
        """Return the persons today's ladders name that are not here, each with the clocks that name them."""
        with self._database.read() as connection:
            here = {person.person_id for person in people.active(connection)}
        found: dict[str, set[str]] = {}
        for set_name, policies in self.book.policies.items():
            for kind, policy in policies.items():
                for name in policy.persons - here:
                    found.setdefault(name, set()).add(f"{set_name}.{kind}")
        return dict(sorted(found.items()))

    def deciding(self, decide: Callable[[], _T]) -> _T:
        """Return `decide()`; if it meets a version another process started, load it and decide again."""
        try:
            return decide()
        except UnknownVersion:
            self._load()
            return decide()

    def _load(self) -> None:
        with self._database.read() as connection:
            versions.load(connection, self.book, calendar_from=calendar_from)
