"""What a database says of a statement that failed quotes no row: errors go into logs, rows hold what citizens wrote."""

import traceback
from typing import Any

import pytest
import sqlalchemy as sa

from bridge.storage.database import Conflict, Database, StatementFailed
from bridge.storage.sets import Writes, insert
from bridge.storage.tables import engine, reports

CANARY = "Kalimat kenari"
ROW: dict[str, Any] = {"report_id": "r-1", "ticket": "0000-0000-0000", "title": CANARY}
BAD: dict[str, Any] = {
    "a row that lacks what it needs": ROW,
    "a character no text holds": {**ROW, "title": f"{CANARY} \0"},
    "half of a character": {**ROW, "title": f"{CANARY} \ud800"},
    "a number too large": {**ROW, "amount_idr": 10**30, "title": CANARY},
    "a text where a number belongs": {**ROW, "cycle": "many"},
    "a thing with no place in a row": {**ROW, "title": {CANARY}},
}


@pytest.mark.parametrize("row", BAD.values(), ids=BAD)
def test_no_error_of_a_failed_statement_quotes_the_row(database: Database, row: dict[str, Any]) -> None:
    with pytest.raises(Exception) as caught, database.write() as connection:  # noqa: PT011 - each database has its own
        insert(database, connection, reports, [row])
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_no_conflict_quotes_the_row(database: Database) -> None:
    with pytest.raises(Conflict) as caught, database.write() as connection:
        connection.execute(sa.insert(engine), [{"name": "clocks", "version": 1, "held_why": CANARY, "findings": []}])
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_no_failed_change_quotes_the_row(database: Database) -> None:
    with pytest.raises((StatementFailed, Conflict)) as caught, database.write() as connection:
        writes = Writes()
        writes.update(engine, [{"name": "clocks", "held_why": CANARY, "version": None}])
        writes.send(database, connection)
    assert CANARY not in "".join(traceback.format_exception(caught.value))
