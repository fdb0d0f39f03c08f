"""What a spool looks like from outside: figures, and what an operator has to know, even of one that is damaged."""

import os
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bridge.broker.spool_store import Look, Row, Unreadable, look

#: So many of the oldest are read, to say since when they wait and whether they can be read.
_LOOKED_AT = 64
_HELP = "docs/operations.md, A damaged spool"


@dataclass(frozen=True)
class SpoolState:
    """What waits: how many reports, since when the oldest (UTC; None when empty), and free bytes above the floor.

    `unreadable` counts what lies aside, or will, because it cannot be read. `unusable` says why nobody can tell what
    waits: then `waiting` is None.
    """

    waiting: int | None
    oldest_at: datetime | None
    free_bytes: int
    unreadable: int = 0
    unusable: str = ""

    @property
    def full(self) -> bool:
        """Tell whether the disk has come down to the floor: nothing more is taken."""
        return self.free_bytes <= 0

    @property
    def damage(self) -> list[str]:
        """Say what is broken, and what to do about it."""
        found = []
        if self.unusable:
            found.append(
                f"the spool's file cannot be used ({self.unusable}): it is left as it is and may hold accepted "
                f"reports, new ones go to the queue alone; see {_HELP}"
            )
        if self.unreadable:
            found.append(
                f"{self.unreadable} reports in the spool cannot be read: they are kept whole in its table "
                f"`unreadable`, the others go on; see {_HELP}"
            )
        return found


def spool_state(path: Path, *, floor_bytes: int) -> SpoolState:
    """Return what waits in a spool; one that was never needed is empty, one that is broken says so."""
    free = free_bytes(path) - floor_bytes
    try:
        seen = look(path, _LOOKED_AT) if path.exists() else Look(0, [], 0)
    except (sqlite3.Error, OSError) as error:
        return SpoolState(None, None, free, unusable=str(error))
    found = [at for at in map(_at, seen.oldest) if at]
    return SpoolState(seen.waiting, found[0] if found else None, free, seen.aside + len(seen.oldest) - len(found))


def free_bytes(path: Path) -> int:
    """Return what is free on a file's disk."""
    folder = next(folder for folder in path.parents if folder.exists())
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def _at(row: Row) -> datetime | None:
    try:
        return row.message().at
    except Unreadable:
        return None
