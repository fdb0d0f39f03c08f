"""The statements that run all the time, as the functions that run them say them, and what the planner makes of them."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from bridge.storage import audit, deliveries, destinations, engine, escalations, outbox, told
from bridge.storage import reports as stored
from bridge.storage.database import Connection, Database
from bridge.storage.tables import metadata
from bridge.storage.workers import pulse

#: Runs one function of the storage, as the engine or a page does.
Run = Callable[[Database, Connection, datetime], object]

#: What the engine, the relay and the tellers ask, every second and for every batch.
ENGINE: Mapping[str, Run] = {
    "claim_due": lambda database, connection, now: stored.claim_due(database, connection, now, 100),
    "next_due": lambda _, connection, __: stored.next_due(connection),
    "lock of a batch's reports": lambda database, connection, _: stored.lock(
        database, connection, _some_ids(connection), skip_locked=True
    ),
    "obligations of a batch": lambda _, connection, __: stored.obligations_of(connection, _some_ids(connection)),
    "open reports by assignee": lambda _, connection, __: stored.open_by_assignee(connection),
    "seal": lambda _, connection, __: connection.execute(escalations.unsealed(_newest_sealed(connection), 1000)).all(),
    "engine's row": lambda database, connection, _: engine.enter(database, connection),
    "share that is due": lambda _, connection, now: engine.backlog(connection, now, lambda due: due + 1),
    "put off last": lambda _, connection, __: engine.last_stuck(
        connection, _some_ids(connection)[0], "clock:acknowledge"
    ),
    "outbox claim": lambda database, connection, now: outbox.claim(database, connection, now, 100),
    "outbox take": lambda _, connection, now: outbox.take(connection, now, 100),
    "outbox next_at": lambda _, connection, now: outbox.next_at(connection, now),
    "stranded deliveries": lambda database, connection, now: deliveries.announce_stranded(
        database, connection, now=now, older_s=300, most=100
    ),
    "whom deliveries are for": lambda _, connection, __: deliveries.recipients(connection, [_A_DELIVERY]),
    "what leaves together": lambda _, connection, now: deliveries.gathered(connection, ["ani"], now),
    "fellows of a digest": lambda _, connection, __: deliveries.fellows(connection, [_A_DELIVERY]),
    "whom a batch of notices is for": lambda _, connection, __: deliveries.lock_recipients(
        connection, _some_deliveries(connection)
    ),
    "deliveries of a batch": lambda _, connection, __: deliveries.lock(connection, _some_deliveries(connection)),
    "callbacks about a batch": lambda _, connection, __: deliveries.lock_with_siblings(
        connection, _some_deliveries(connection)
    ),
    "next callback in turn": lambda database, connection, now: deliveries.next_in_turn(
        database, connection, {"report_id": _A_DELIVERY, "recipient": "qlue", "delivery_id": _A_DELIVERY}, now=now
    ),
    "destinations in trouble": lambda database, connection, _: destinations.lock(database, connection, ["qlue"]),
}
#: What the auditor asks every half minute: bounded by the newest ten thousand rows of the log.
AUDITOR: Mapping[str, Run] = {"auditor": lambda database, connection, now: audit.look(database, connection, now)}
#: What pages ask when somebody looks.
PAGES: Mapping[str, Run] = {
    "inbox list, one officer's": lambda _, connection, __: stored.listed(
        connection, stored.Wanted(assignee="ani", open_only=True)
    ),
    "inbox list, everybody's": lambda _, connection, __: stored.listed(connection, stored.Wanted(open_only=True)),
    "escalation log list": lambda _, connection, __: escalations.listed(connection, escalations.Wanted()),
    "exhausted list": lambda _, connection, __: escalations.listed(connection, escalations.Wanted(exhausted=True)),
    "pulse": lambda _, connection, now: pulse(connection, now),
    "deliveries nobody heard": lambda _, connection, __: told.listed(connection, told.Wanted(unheard=True)),
    "figures of deliveries": lambda _, connection, now: told.counts(connection, now),
}


def statements(database: Database, run: Run) -> list[tuple[str, Any]]:
    """Return the SQL and the parameters of what a function asks; what it writes is taken back."""
    said: list[tuple[str, Any]] = []

    def note(_: object, __: object, statement: str, parameters: Any, *rest: object) -> None:
        said.append((statement, parameters))

    with database.engine.connect() as connection:
        now = database.now(connection)
        event.listen(connection, "before_cursor_execute", note)
        try:
            run(database, connection, now)
        finally:
            event.remove(connection, "before_cursor_execute", note)
            connection.rollback()
    return [one for one in said if one[0] not in _PREPARING and one[0].startswith(("SELECT", "DELETE"))]


def explain(database: Database, statement: str, parameters: Any, options: str = "") -> str:
    """Return the plan of a statement, as text; with ANALYZE among the options it is run, and taken back."""
    how = "EXPLAIN QUERY PLAN " if database.is_sqlite else f"EXPLAIN ({options or 'COSTS OFF'}) "
    with database.engine.connect() as connection:
        rows = connection.exec_driver_sql(how + statement, parameters).all()
        connection.rollback()
    return "\n".join(str(row[-1]) for row in rows)


def scans(database: Database, plan: str) -> list[str]:
    """Return the lines of a plan that read a table from end to end without an index."""
    lines = [line.strip() for line in plan.splitlines()]
    if database.is_sqlite:
        read = [line.split() for line in lines if line.startswith("SCAN ") and " INDEX " not in line]
        return [" ".join(words) for words in read if words[1] in metadata.tables]
    return [line for line in lines if "Seq Scan" in line]


_A_DELIVERY = "00000000-0000-5000-8000-000000000000"
_SOME = sa.text(
    "SELECT DISTINCT report_id FROM (SELECT report_id FROM obligations ORDER BY next_due LIMIT 100) AS soon"
)
_NEWEST = sa.text("SELECT coalesce(max(escalation_id), 0) FROM escalation_seals")
_CALLBACKS = sa.text("SELECT delivery_id FROM deliveries WHERE finished_at IS NULL AND sequence IS NOT NULL LIMIT 20")
_PREPARING = (_SOME.text, _NEWEST.text, _CALLBACKS.text)


def _some_ids(connection: Connection) -> list[str]:
    return list(connection.execute(_SOME).scalars())


def _some_deliveries(connection: Connection) -> list[str]:
    return list(connection.execute(_CALLBACKS).scalars()) or [_A_DELIVERY]


def _newest_sealed(connection: Connection) -> int:
    found: int = connection.execute(_NEWEST).scalar_one()
    return found
