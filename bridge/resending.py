"""Sending once more what somebody asks for, a batch at a time: the page and the command do it alike.

Each batch is a transaction of its own, and the note of who did it grows with it: killed anywhere, what left is noted,
and doing it again leaves out what has left already.
"""

from collections.abc import Callable

from bridge.reports.setting_aside import ReasonMissing
from bridge.storage import told
from bridge.storage.database import Connection, Database
from bridge.storage.told import Wanted

#: Deliveries to a transaction: so long nobody else gets at their rows, and on SQLite at any.
BATCH = 500


def resend(
    database: Database,
    wanted: Wanted,
    *,
    actor: str,
    reason: str,
    again: bool = False,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Let deliveries leave once more, whatever became of them; returns how many.

    What is being sent at this moment stays as it is, and so does what was sent once more in the last ten minutes.

    Args:
        actor: Who says so, as history names people: `person:adi`, `cli:root`.
        reason: Why; kept with the note, which is written once, and only if anything leaves.
        again: Also what was sent once more in the last ten minutes.
        progress: Called after each batch with the number of deliveries so far.

    Raises:
        ReasonMissing: it is empty.
        DatabaseAway: what is done is done and noted; doing it again does what is left.
    """
    if not reason.strip():
        raise ReasonMissing("sending once more needs a reason")
    note, count, last = _Note(wanted, actor, reason.strip()), 0, ""
    while ids := _batch(database, note, again=again, after=last):
        count, last = count + len(ids), ids[-1]
        if progress:
            progress(count)
    return count


def preview(database: Database, wanted: Wanted, *, again: bool = False) -> int:
    """Return how many deliveries `resend` would let leave at this moment."""
    with database.read() as connection:
        return told.would_leave(connection, wanted, now=database.now(connection), again=again)


class _Note:
    """The one line about a replay, written with its first batch."""

    def __init__(self, wanted: Wanted, actor: str, reason: str) -> None:
        self.wanted = wanted
        self._actor, self._reason = actor, reason
        self._number: int | None = None

    def count(self, database: Database, connection: Connection, more: int) -> None:
        """Add what a batch sent."""
        if self._number is not None:
            told.add_to_replay(connection, self._number, more)
            return
        now = database.now(connection)
        self._number = told.note_replay(connection, self.wanted, more, reason=self._reason, actor=self._actor, now=now)


def _batch(database: Database, note: _Note, *, again: bool, after: str) -> list[str]:
    with database.write() as connection:
        now = database.now(connection)
        ids = told.once_more(database, connection, note.wanted, now=now, most=BATCH, again=again, after=after)
        if ids:
            note.count(database, connection, len(ids))
    return ids
