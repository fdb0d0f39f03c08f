"""Destinations with trouble, and how many notices somebody got lately: small tables that those who tell share."""

from collections.abc import Collection
from dataclasses import fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.reports.breakers import Breaker
from bridge.storage.database import Database
from bridge.storage.statements import among, as_parameters, by_key, into
from bridge.storage.tables import destinations, paces, people

_FIELDS = tuple(f.name for f in fields(Breaker))
_IN_TROUBLE = (
    sa.select(destinations).where(among(destinations.c.destination, "names")).order_by(destinations.c.destination)
)
_TURN = (
    sa.select(people.c.person_id)
    .where(among(people.c.person_id, "ids"))
    .order_by(people.c.person_id)
    .with_for_update(key_share=True)
)


def lock(database: Database, connection: Connection, names: Collection[str]) -> dict[str, Breaker]:
    """Return, locked, those of the destinations that have trouble."""
    rows = connection.execute(database.for_update(_IN_TROUBLE), {"names": names}).mappings()
    return {row["destination"]: Breaker(**{name: row[name] for name in _FIELDS}) for row in rows}


def begin_trouble(database: Database, connection: Connection, name: str) -> Breaker:
    """Return a destination's breaker, locked; made if it had no trouble yet."""
    first: dict[str, Any] = {"destination": name, "failures": 0, "trips": 0, "last_error": ""}
    database.insert_new(connection, destinations, [first])
    return lock(database, connection, [name])[name]


def save(connection: Connection, breaker: Breaker) -> None:
    """Write a breaker that is there."""
    at = destinations.c.destination == breaker.destination
    connection.execute(sa.update(destinations).where(at).values(vars(breaker)))


def end_trouble(connection: Connection, name: str) -> None:
    """Forget a destination's trouble."""
    connection.execute(sa.delete(destinations).where(destinations.c.destination == name))


def troubled(connection: Connection) -> list[Breaker]:
    """Return every destination with trouble, the oldest trouble first."""
    rows = connection.execute(sa.select(destinations).order_by(destinations.c.failing_since)).mappings()
    return [Breaker(**{name: row[name] for name in _FIELDS}) for row in rows]


def lock_people(database: Database, connection: Connection, person_ids: Collection[str]) -> None:
    """Let nobody else decide at the same time what these people are told."""
    if not database.is_sqlite:
        connection.execute(_TURN, {"ids": person_ids}).all()


def save_pace(connection: Connection, person_id: str, since: datetime, sent: int) -> None:
    """Write how many notices somebody got since when; the caller holds their lock."""
    row = {"person_id": person_id, "since": since, "sent": sent}
    if not connection.execute(by_key(paces, tuple(row)), as_parameters(row)).rowcount:
        connection.execute(into(paces), [row])
