"""An office whose engine is held, released, and sees its clock set, for the tests of the engine."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from bridge.reports.guard import Limits
from bridge.storage import engine
from bridge.storage.database import Connection
from consumers.watch_clocks import WatchClocks
from tests.storage.office import Office

#: Six due at once, more than the half: enough to try the guard with.
FEW = Limits(least=5)


class Clock:
    """The database's clock, as somebody sets it."""

    def __init__(self, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        real = office.database.now
        self.ahead = timedelta(0)

        def now(connection: Connection) -> datetime:
            return real(connection) + self.ahead

        monkeypatch.setattr(office.database, "now", now)

    def set_by(self, seconds: float) -> None:
        """Set the clock forward, or back."""
        self.ahead += timedelta(seconds=seconds)


def row(office: Office) -> dict[str, Any]:
    """Return the engine's row."""
    (found,) = office.rows("engine")
    return found


def hold(office: Office, why: str = "cli:root: the disk moves") -> None:
    with office.database.write() as connection:
        engine.hold_for_good(office.database, connection, why, now=office.database.now(connection))


def release(office: Office) -> None:
    with office.database.write() as connection:
        held_since = engine.read(connection).held_since
        assert held_since
        assert engine.let_go(connection, held_since)


def watcher(office: Office, limits: Limits = FEW, most: int = 100) -> WatchClocks:
    made = WatchClocks(office.database, office.rules, limits)
    made.most = most
    return made
