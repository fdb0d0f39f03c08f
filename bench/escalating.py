"""What `clocks` compares with: the rows a watcher wrote, written again by bare SQL through psycopg."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

BATCH = 100
#: What a step adds, parents first, and what it changes: the columns by which a row is found come last.
ADDED = ("history", "escalations", "deliveries", "outbox")
CHANGED = {
    "obligations": ("step", "level", "next_due", "deadline_at", "calendar_version", "moved_at", "report_id", "kind"),
    "reports": ("assignee", "assigned_before", "sequence", "report_id"),
}
KEYS = {"obligations": 2, "reports": 1}
CLAIM = "SELECT * FROM obligations WHERE next_due <= %s ORDER BY next_due LIMIT %s FOR UPDATE SKIP LOCKED"
LOCK = "SELECT * FROM reports WHERE report_id = ANY(%s) ORDER BY report_id FOR UPDATE SKIP LOCKED"
_OF_REPORTS = "report_id = ANY(%s)"

Rows = list[tuple[Any, ...]]


def connect(url: str) -> psycopg.Connection[Any]:
    """Return a bare connection to a database given by its SQLAlchemy URL."""
    return psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://"))


@dataclass
class Written:
    """What steps left: a statement per table, and by report the values to run it with."""

    statements: dict[str, str] = field(default_factory=dict)
    values: dict[str, dict[str, Rows]] = field(default_factory=dict)

    def of(self, table: str, report_ids: Iterable[str]) -> Rows:
        """Return the values for these reports."""
        found = self.values[table]
        return [row for report_id in report_ids for row in found.get(report_id, ())]


def read_back(connection: psycopg.Connection[Any], report_ids: list[str]) -> Written:
    """Return what the steps of these reports wrote; nothing else may be in the outbox."""
    written = Written()
    of_delivery: dict[str, str] = {}
    for table in (*CHANGED, *ADDED):
        rows = _rows(connection, table, report_ids)
        names = CHANGED.get(table) or tuple(name for name in (rows[0] if rows else ()) if name != "id")
        values: dict[str, Rows] = defaultdict(list)
        for row in rows:
            if table == "deliveries":
                of_delivery[row["delivery_id"]] = row["report_id"]
            report_id = row.get("report_id") or of_delivery[row["data"]["delivery_id"]]
            values[report_id].append(tuple(_plain(row[name]) for name in names))
        written.statements[table], written.values[table] = _statement(table, names), values
    return written


def tick(connection: psycopg.Connection[Any], written: Written) -> int:
    """Claim a batch and write what `written` has for it, in one transaction; returns how many were claimed."""
    with connection.transaction(), connection.cursor() as cursor:
        now = cursor.execute("SELECT clock_timestamp()").fetchone()
        claimed = cursor.execute(CLAIM, ((now or ())[0], BATCH)).fetchall()
        if not claimed:
            return 0
        report_ids = [row[0] for row in claimed]
        cursor.execute(LOCK, (report_ids,)).fetchall()
        for table, statement in written.statements.items():
            if values := written.of(table, report_ids):
                cursor.executemany(statement, values)
    return len(claimed)


def undo(connection: psycopg.Connection[Any], before: Written, report_ids: list[str]) -> None:
    """Take back what steps of these reports did, also out of what is append-only."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # triggers and references are off
        cursor.execute("DELETE FROM outbox")
        cursor.execute("DELETE FROM escalation_seals")
        for table in ("deliveries", "escalations", "history"):
            cursor.execute(f"DELETE FROM {table} WHERE report_id = ANY(%s)".encode(), (report_ids,))
        for table in CHANGED:
            cursor.executemany(before.statements[table], before.of(table, report_ids))


def _rows(connection: psycopg.Connection[Any], table: str, report_ids: list[str]) -> list[dict[str, Any]]:
    which = {"outbox": "%s::text[] IS NOT NULL", "obligations": f"{_OF_REPORTS} AND kind = 'acknowledge'"}
    with connection.cursor(row_factory=dict_row) as cursor:
        statement = f"SELECT * FROM {table} WHERE {which.get(table, _OF_REPORTS)}"
        return cursor.execute(statement.encode(), (report_ids,)).fetchall()


def _statement(table: str, names: tuple[str, ...]) -> str:
    if table in CHANGED:
        values, keys = names[: -KEYS[table]], names[-KEYS[table] :]
        changes, found_by = ", ".join(f"{n} = %s" for n in values), " AND ".join(f"{n} = %s" for n in keys)
        return f"UPDATE {table} SET {changes} WHERE {found_by}"
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})"


def _plain(value: Any) -> Any:
    return Jsonb(value) if isinstance(value, dict | list) else value
