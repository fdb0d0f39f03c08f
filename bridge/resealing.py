"""Everything that lies sealed, brought under the first key: looked at row by row, changed a batch at a time.

Each batch is a transaction of its own and waits for nobody: killed anywhere, doing it again does what is left.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from bridge.contacts import is_clear
from bridge.contacts import sealed as sealed_reporter
from bridge.storage import sealed
from bridge.storage.database import Database
from bridge.storage.sealed import Found, Place
from bridge.vault import Unreadable, Vault, is_token

log = structlog.get_logger()

BATCH = 200
#: How many rows at each end of a table the doctor looks at.
SAMPLE = 300


@dataclass
class Tally:
    """What was found: rows looked at, of these in clear, under an older key or none of ours, and held by others."""

    looked: int = 0
    clear: int = 0
    older: int = 0
    lost: int = 0
    held: int = 0

    @property
    def stale(self) -> int:
        """Return how many are not under the first key, though they could be."""
        return self.clear + self.older


def survey(database: Database, vault: Vault) -> Tally:
    """Return how a sample of both ends of every table lies."""
    tally = Tally()
    for place in sealed.PLACES:
        with database.read() as connection:
            rows = dict(sealed.after(connection, place, None, most=SAMPLE))
            rows |= sealed.after(connection, place, None, most=SAMPLE, last=True)
        _stale(vault, list(rows.items()), tally)
    return tally


def reseal(
    database: Database, vault: Vault, *, dry_run: bool = False, progress: Callable[[int, int], None] | None = None
) -> Tally:
    """Bring everything under the first key, or with `dry_run` only count; returns what was found.

    Args:
        progress: Called after each batch with the rows done and the rows there are.
    """
    tally = Tally()
    with database.read() as connection:
        total = sum(sealed.count(connection, place) for place in sealed.PLACES)
    for place in sealed.PLACES:
        key: tuple[Any, ...] | None = None
        while rows := _next(database, place, key):
            key = rows[-1][0]
            stale = _stale(vault, rows, tally)
            if stale and not dry_run:
                tally.held += len(stale) - _renew(database, vault, place, stale)
            if progress:
                progress(tally.looked, total)
    log.info("resealed", **vars(tally))
    return tally


def _next(database: Database, place: Place, key: tuple[Any, ...] | None) -> list[Found]:
    with database.read() as connection:
        return sealed.after(connection, place, key, most=BATCH)


def _stale(vault: Vault, rows: list[Found], tally: Tally) -> list[Found]:
    """Return the rows that are not under the first key, counting all of them."""
    stale = []
    for key, value in rows:
        tally.looked += 1
        try:
            if renewed(vault, value) == value:
                continue
        except Unreadable:
            tally.lost += 1
            continue
        stale.append((key, value))
        if _in_clear(value):
            tally.clear += 1
        else:
            tally.older += 1
    return stale


def _renew(database: Database, vault: Vault, place: Place, stale: list[Found]) -> int:
    """Write the rows nobody holds, as they are by now, under the first key; returns how many those are."""
    with database.write() as connection:
        free = sealed.lock(database, connection, place, [key for key, _ in stale])
        sealed.put(connection, place, [(key, renewed(vault, value)) for key, value in free])
    return len(free)


def renewed(vault: Vault, value: Any) -> Any:
    """Return what a row keeps, bytes or a reporter, under the first key; the very same if it is already.

    Raises:
        Unreadable: no key of ours opens it.
    """
    if not isinstance(value, dict):
        return vault.renewed(value) if value else value
    if is_clear(value):
        return sealed_reporter(vault, value)
    if "sealed" not in value:
        return value
    return {**value, "sealed": vault.renewed(value["sealed"].encode("ascii")).decode("ascii")}


def _in_clear(value: Any) -> bool:
    return is_clear(value) if isinstance(value, dict) else not is_token(value)
