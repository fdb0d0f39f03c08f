"""People, their passwords and tokens (only hashes of either)."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.reports.people import Person
from bridge.storage.rows import person_of
from bridge.storage.statements import among
from bridge.storage.tables import people

#: What is changed by itself, not with the rest.
_THEIR_OWN = ("absent_from", "absent_until", "channels", "quiet", "digest", "turned_off", "stand_in")
_ACTIVE = people.c.active == 1
_ALL = sa.select(people).where(_ACTIVE).order_by(people.c.person_id)
_THESE = sa.select(people).where(among(people.c.person_id, "ids"), _ACTIVE)


class NoSuchPerson(LookupError):
    """No active person has this id."""


def active(connection: Connection) -> list[Person]:
    """Return everybody who may be assigned or told, present or not."""
    return [person_of(row) for row in connection.execute(_ALL).mappings()]


def one(connection: Connection, person_id: str) -> Person:
    """Return a person.

    Raises:
        NoSuchPerson: not there, or no longer active.
    """
    found = by_ids(connection, [person_id])
    if not found:
        raise NoSuchPerson(person_id)
    return found[person_id]


def by_ids(connection: Connection, person_ids: Collection[str]) -> dict[str, Person]:
    """Return those of the people who are active, by id."""
    rows = connection.execute(_THESE, {"ids": person_ids}).mappings()
    return {row["person_id"]: person_of(row) for row in rows}


def with_stand_ins(connection: Connection, found: dict[str, Person]) -> dict[str, Person]:
    """Return these people by id, and whoever may have to stand in for one of them."""
    if any(person.stand_in and person.absent_from for person in found.values()):
        return {person.person_id: person for person in active(connection)}
    return found


def names(connection: Connection) -> dict[str, str]:
    """Return the name of everybody who ever was, by id."""
    return dict(connection.execute(sa.select(people.c.person_id, people.c.name)).all())


def password_hash(connection: Connection, person_id: str) -> str | None:
    """Return the password hash of an active person, or None."""
    row = _row(connection, people.c.person_id == person_id)
    return row["password_hash"] if row else None


def by_token(connection: Connection, token_hash: str) -> Person | None:
    """Return the active person an API token belongs to, or None."""
    row = _row(connection, people.c.token_hash == token_hash)
    return person_of(row) if row else None


def save(connection: Connection, person: Person) -> None:
    """Add a person, or change one who is there; password, token, absence and how they want to be told stay."""
    row = {**vars(person), "active": 1}
    changes = {name: value for name, value in row.items() if name not in _THEIR_OWN}
    changed = connection.execute(sa.update(people).where(people.c.person_id == person.person_id).values(changes))
    if not changed.rowcount:
        connection.execute(sa.insert(people), [row])


def set_fields(connection: Connection, person_id: str, **values: Any) -> None:
    """Change single columns (password_hash, token_hash, active).

    Raises:
        NoSuchPerson: not there.
    """
    if not connection.execute(sa.update(people).where(people.c.person_id == person_id).values(values)).rowcount:
        raise NoSuchPerson(person_id)


def set_absence(connection: Connection, person_id: str, since: datetime | None, until: datetime | None) -> None:
    """Mark a person absent for a span of instants; both None: present again.

    Raises:
        NoSuchPerson: not there.
    """
    set_fields(connection, person_id, absent_from=since, absent_until=until)


def _row(connection: Connection, condition: sa.ColumnElement[bool]) -> sa.RowMapping | None:
    return connection.execute(sa.select(people).where(condition, _ACTIVE)).mappings().first()
