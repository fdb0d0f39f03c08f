"""Today's calendars and policies for clocks that run already: shown first, then applied a batch at a time."""

import gc
import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import structlog

from bridge.reports.clocks import Policy
from bridge.reports.moves import Actor
from bridge.reports.recompute import Change, Counts, Moved, Standing, move
from bridge.rules import Rules
from bridge.storage import recompute as stored
from bridge.storage.database import Connection, Database

log = structlog.get_logger()

#: What one batch may take, in seconds: who acknowledges meanwhile waits for no more than one.
BATCH_S = 0.04
SMALLEST_BATCH, LARGEST_BATCH = 50, 250
#: How often reports somebody holds are tried again, and how long before giving up, in seconds.
AGAIN_S, GIVE_UP_S = 0.1, 60.0


class Superseded(Exception):
    """Somebody began to apply another version meanwhile; theirs goes on, this one stopped."""


class StillHeld(Exception):
    """Other transactions kept holding some reports; the rest is done, and doing it again does these."""


@dataclass(frozen=True)
class Preview:
    """What applying a change would do: the counts, and the clocks that move with their tickets, overdue ones first."""

    targets: dict[str, str]
    counts: Counts
    moves: list[tuple[str, Moved]]


@dataclass
class _Work:
    """One apply under way."""

    change: Change
    targets: dict[str, str]
    reason: str
    actor: Actor
    number: int = 0
    counts: Counts = field(default_factory=Counts)


class _Pile:
    """Reports to be gone through, handed out to threads a batch at a time."""

    def __init__(self, ids: Sequence[str], progress: Callable[[int], None]) -> None:
        self._left = iter(ids)
        self._done, self._progress = 0, progress
        self._lock = threading.Lock()

    def take(self, most: int) -> list[str]:
        """Return the next ones, nothing when there are none."""
        with self._lock:
            return list(itertools.islice(self._left, most))

    def give_back(self, counts: Counts, tried: int, total: Counts) -> None:
        """Add what became of so many to the total."""
        with self._lock:
            total.include(counts)
            self._done += tried
            self._progress(self._done)

    def put_away(self) -> None:
        """Hand out no more: all are done, or one thread has failed."""
        with self._lock:
            self._left = iter(())


class Recomputing:
    """Previews and applies changes to running clocks."""

    def __init__(self, database: Database, rules: Rules) -> None:
        self._database = database
        self._rules = rules

    def preview(self, change: Change, *, most: int = sys.maxsize) -> Preview:
        """Return what applying would do now, at most so many moves in full; nothing is changed."""
        with _no_search_for_cycles():
            return self._rules.deciding(lambda: self._preview(change, most))

    def apply(
        self, change: Change, *, reason: str, actor: Actor, progress: Callable[[int, int], None] | None = None
    ) -> Counts:
        """Apply it to every clock concerned; returns what that did.

        Each batch is one transaction: killed anywhere, doing it again does what is left and nothing twice.

        Args:
            progress: Called after each batch with the reports done and the reports there are.

        Raises:
            Superseded: another version is being applied since.
            StillHeld: some reports were held by others all the time.
        """
        with self._database.read() as connection:
            concerned = stored.concerned(stored.standings(connection), change)
        work = _Work(change, _targets(change, concerned), reason, actor)
        if not concerned:
            return work.counts
        with self._database.write() as connection:
            now = self._database.now(connection)
            work.number = stored.begin(connection, change.what, work.targets, reason=reason, actor=actor.name, now=now)
        with _no_search_for_cycles():
            self._apply_all(work, progress or _unseen)
        with self._database.write() as connection:
            stored.finish(connection, work.number)
        log.info("applied", what=change.what, targets=work.targets, by=actor.name, **vars(work.counts))
        return work.counts

    def _preview(self, change: Change, most: int) -> Preview:
        counts = Counts()
        moves: list[tuple[str, Moved]] = []
        with self._database.read() as connection, self._database.read() as streaming:
            now = self._database.now(connection)
            concerned = stored.concerned(stored.standings(connection), change)
            if concerned:
                clocks = stored.open_clocks(self._database, streaming, change)
                counts.add(_shown(clocks, connection, change, now, moves, most))
        moves.sort(key=lambda one: (not one[1].overdue, one[1].after.deadline_at))
        return Preview(_targets(change, concerned), counts, moves[:most])

    def _apply_all(self, work: _Work, progress: Callable[[int, int], None]) -> None:
        left = found = self._left(work)
        give_up_at = time.monotonic() + GIVE_UP_S
        while left:
            moved_before = len(found) - len(left)
            self._go_through(work, left, lambda tried: progress(moved_before + tried, len(found)))  # noqa: B023
            # Not those a worker with older files starts meanwhile: that would be a race without an end.
            known, before = set(left), len(left)
            left = [report_id for report_id in self._left(work) if report_id in known]
            if len(left) < before:
                give_up_at = time.monotonic() + GIVE_UP_S
            elif time.monotonic() > give_up_at:
                raise StillHeld(f"{len(left)} reports were held by others for {GIVE_UP_S:.0f} seconds")
            if left:
                time.sleep(AGAIN_S)

    def _go_through(self, work: _Work, ids: Sequence[str], progress: Callable[[int], None]) -> None:
        """Move the clocks of these reports, in batches that take neither long nor are worth little.

        On PostgreSQL two at a time: while the database writes one, the next is decided. SQLite has one writer.
        """
        pile = _Pile(ids, progress)
        helpers = 0 if self._database.is_sqlite else 1
        with ThreadPoolExecutor(1) as pool:
            helping = [pool.submit(self._work_off, work, pile) for _ in range(helpers)]
            self._work_off(work, pile)
            for one in helping:
                one.result()

    def _work_off(self, work: _Work, pile: "_Pile") -> None:
        size = SMALLEST_BATCH
        try:
            while batch := pile.take(size):
                began = time.monotonic()
                counts = self._rules.deciding(partial(self._batch, work, batch))
                size = self._next_size(size, time.monotonic() - began)
                pile.give_back(counts, len(batch), work.counts)
        finally:
            pile.put_away()

    def _left(self, work: _Work) -> list[str]:
        """Return the reports with a clock that is still concerned."""
        with self._database.read() as connection:
            return stored.report_ids(connection, work.change)

    def _next_size(self, size: int, took_s: float) -> int:
        if self._database.is_sqlite:
            time.sleep(min(took_s, BATCH_S))  # one writer at a time: the others want their turn
        fitting = size * min(1.25, BATCH_S / max(took_s, 0.001))
        return max(SMALLEST_BATCH, min(int(fitting), LARGEST_BATCH))

    def _batch(self, work: _Work, ids: Sequence[str]) -> Counts:
        """Move the clocks of those reports nobody holds, in one transaction."""
        counts = Counts()
        with self._database.write() as connection:
            # A batch that a power cut takes back is left over for the next apply, as if it had never been tried.
            stored.need_not_be_on_disk(self._database, connection)
            clocks = stored.lock_free(self._database, connection, ids)
            # After the locks: whoever begins later than this look finds these clocks still to be moved.
            self._check_superseded(connection, work)
            now = self._database.now(connection)
            fired_at = partial(stored.fired_at, connection)
            decided = [
                move(obligation, standing, work.change, fired_at=fired_at, now=now)
                for _, standing, obligation in clocks
                if work.change.targets(standing)
            ]
            moves = [moved for moved, _ in decided]
            policies: dict[str, Policy] = {policy.version: policy for _, policy in decided}
            new = [p for version, p in policies.items() if version not in self._rules.book.policy_versions]
            stored.keep_policies(self._database, connection, new, now=now)
            stored.write_moves(self._database, connection, moves, reason=work.reason, actor=work.actor.name, now=now)
            counts.add(moves)
        self._rules.book.policy_versions.update({policy.version: policy for policy in new})
        return counts

    def _check_superseded(self, connection: Connection, work: _Work) -> None:
        for later in stored.begun_later(connection, work.number, work.change.what):
            if any(later["versions"].get(name, version) != version for name, version in work.targets.items()):
                raise Superseded(f"{later['actor']} applies another version since: {later['reason']}")


def _shown(
    clocks: Iterable[stored.OpenClock],
    connection: Connection,
    change: Change,
    now: datetime,
    moves: list[tuple[str, Moved]],
    most: int,
) -> Iterator[Moved]:
    """Yield what becomes of each clock, one by one; into `moves` go so many that move, and all that become overdue."""
    fired_at = partial(stored.fired_at, connection)
    for ticket, standing, obligation in clocks:
        moved, _ = move(obligation, standing, change, fired_at=fired_at, now=now)
        if (moved.overdue or len(moves) < most) and moved.moves:
            moves.append((ticket, moved))
        yield moved


def _targets(change: Change, concerned: Sequence[Standing]) -> dict[str, str]:
    """Return the versions that would be taken, by what takes them: a calendar, or a clock of a policy set."""
    return dict(sorted(filter(None, map(change.targets, concerned))))


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Let Python not look for objects that refer to each other: none are made here, and it is a tenth of the work."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _unseen(done: int, total: int) -> None:
    """Nobody watches."""
    del done, total
