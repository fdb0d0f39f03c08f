"""What the auditor asks the database: is anything overlooked? Every question reads an index, or a bounded part."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.reports.findings import Finding, What
from bridge.storage.database import Database
from bridge.storage.engine import due, stuck
from bridge.storage.tables import deliveries, escalation_seals, escalations, obligations, outbox


@dataclass(frozen=True)
class Thresholds:
    """What is still in order, in seconds where nothing else is said."""

    missed_s: float = 15.0  # two polls of a watcher, and a few full batches
    outbox_s: float = 60.0
    stranded_s: float = 390.0  # relay_outbox announces again after 300, and looks every 30
    unsealed_s: float = 60.0
    transaction_s: float = 60.0
    dead_rows: int = 500_000  # fewer are never a finding: the outbox is all dead rows between two vacuums
    counted: int = 10_000  # how far rows are counted, and how many of the log's newest rows are looked at


DEFAULT = Thresholds()
#: The tables whose rows change all the time.
_HOT = ("obligations", "outbox", "deliveries")


def look(database: Database, connection: Connection, now: datetime, limits: Thresholds = DEFAULT) -> list[Finding]:
    """Return everything the facts give away; empty means: nobody is overlooked."""
    found = [*_late(connection, now, limits), *_log(connection, now, limits)]
    if not database.is_sqlite:
        found += [*_long_transaction(connection, now, limits), *_dead_rows(connection, now, limits)]
    return found


def _late(connection: Connection, now: datetime, limits: Thresholds) -> Iterator[Finding]:
    missed = due(connection, _before(now, limits.missed_s), limits.counted)
    if missed:
        first = connection.execute(sa.select(sa.func.min(obligations.c.next_due))).scalar()
        yield Finding(What.MISSED_STEPS, missed, first or now)
    put_off = stuck(connection, limits.counted)
    if put_off:
        yield Finding(What.CLOCKS_STUCK, len(put_off), min(put_off))
    oldest = connection.execute(sa.select(sa.func.min(outbox.c.available_at))).scalar()
    if oldest is not None and oldest < _before(now, limits.outbox_s):
        yield Finding(What.OUTBOX_LATE, (now - oldest).total_seconds(), oldest)
    since = _before(now, limits.stranded_s)
    open_ones = (
        sa.select(deliveries.c.next_attempt_at)
        .where(deliveries.c.finished_at.is_(None), deliveries.c.next_attempt_at < since)
        .where(sa.or_(deliveries.c.lease_until.is_(None), deliveries.c.lease_until < since))
        .order_by(deliveries.c.next_attempt_at)
        .limit(limits.counted)
    )
    stranded = _count(connection, open_ones.subquery())
    if stranded:
        yield Finding(What.DELIVERIES_STRANDED, stranded, since)


def _log(connection: Connection, now: datetime, limits: Thresholds) -> Iterator[Finding]:
    newest = sa.select(escalations).order_by(escalations.c.id.desc()).limit(limits.counted).subquery()
    notice = (
        # Not EXISTS: PostgreSQL would read all deliveries there are, and not look up those of each row.
        sa.select(deliveries.c.delivery_id)
        .where(deliveries.c.report_id == newest.c.report_id, deliveries.c.cycle == newest.c.cycle)
        # One decision has one `now`; a digest for several steps may bear the number of the last.
        .where(deliveries.c.kind == newest.c.kind, deliveries.c.created_at >= newest.c.fired_at)
        .limit(1)
        .scalar_subquery()
    )
    somebody = sa.cast(newest.c.told, sa.Text) != "[]"
    untold = _count(connection, newest, somebody, notice.is_(None))
    if untold:
        yield Finding(What.LOG_WITHOUT_NOTICES, untold, now)
    sealed = sa.exists().where(escalation_seals.c.escalation_id == newest.c.id)
    unsealed = _count(connection, newest, newest.c.fired_at < _before(now, limits.unsealed_s), ~sealed)
    if unsealed:
        yield Finding(What.LOG_UNSEALED, unsealed, now)


def _long_transaction(connection: Connection, now: datetime, limits: Thresholds) -> Iterator[Finding]:
    # Of roles other than ours PostgreSQL shows the beginning only to who may read all statistics.
    statement = sa.text(
        "SELECT extract(epoch FROM max(clock_timestamp() - xact_start)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    oldest_s = float(connection.execute(statement).scalar() or 0)
    if oldest_s > limits.transaction_s:
        yield Finding(What.LONG_TRANSACTION, oldest_s, _before(now, oldest_s))


def _dead_rows(connection: Connection, now: datetime, limits: Thresholds) -> Iterator[Finding]:
    statement = sa.text(
        "SELECT max(100.0 * n_dead_tup / (n_dead_tup + n_live_tup)) FROM pg_stat_user_tables"
        " WHERE relname = ANY(:hot) AND n_dead_tup >= :least AND n_dead_tup > n_live_tup"
    )
    percent = connection.execute(statement, {"hot": list(_HOT), "least": limits.dead_rows}).scalar()
    if percent is not None:
        yield Finding(What.DEAD_TUPLES, float(percent), now)


def _before(now: datetime, seconds: float) -> datetime:
    return now - timedelta(seconds=seconds)


def _count(connection: Connection, rows: sa.Subquery, *conditions: sa.ColumnElement[bool]) -> int:
    return connection.execute(sa.select(sa.func.count()).select_from(rows).where(*conditions)).scalar_one()
