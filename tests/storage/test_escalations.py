"""The escalation log: nobody edits it, its numbers have no gap, and a change behind its back is found."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from bridge.reports.clocks import Kind
from bridge.reports.moves import Details
from bridge.reports.states import Move, Outcome
from bridge.reports.tickets import ticket_for
from bridge.storage import escalations
from bridge.storage.database import Connection, Database, StatementFailed
from bridge.storage.escalations import Sealer, Wanted
from bridge.storage.tables import escalations as log
from tests.storage.conftest import PostgresDatabases
from tests.storage.crashes import survives_every_crash, together
from tests.storage.office import ANI, KARTIKA, LADDER, SOURCE, TICKET_KEY, Office, id_of
from tests.storage.tampering import tamper

APPEND_ONLY = ("history", "escalations", "escalation_seals")


def _fire_all(office: Office, reports: int) -> None:
    """Let every ladder run to its end, without seals."""
    office.receive_many(reports)
    office.pass_time(20_000)
    office.tick_all()


def _seal(database: Database, most: int = 1000) -> int:
    with database.write() as connection:
        return escalations.seal(database, connection, most=most)


def _verify(office: Office, last: int | None = None) -> tuple[int, int, int | None]:
    with office.database.read() as connection:
        verdict = escalations.verify(connection, last=last)
    return verdict.sealed, verdict.unsealed, verdict.broken_at


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("deed", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_database_itself_refuses_to_change_what_was_written(office: Office, table: str, deed: str) -> None:
    _fire_all(office, 1)
    _seal(office.database)
    before = office.rows(table)
    key = "seq" if table == "escalation_seals" else "id"
    if "TRUNCATE" in deed and office.database.is_sqlite:
        deed = "DELETE FROM {0} WHERE {1} > 0"  # SQLite knows no TRUNCATE
    with pytest.raises(StatementFailed, match="append-only"), office.database.engine.begin() as connection:
        connection.execute(sa.text(deed.format(table, key, key)))
    assert office.rows(table) == before != []


#: As SQLite and as PostgreSQL say it: table -> the unique keys by which a row can be met again.
_MET_AGAIN = {
    "history": ["id"],
    "escalations": ["id", "report_id, kind, cycle, step"],
    "escalation_seals": ["seq", "escalation_id"],
}


@pytest.mark.parametrize(("table", "key"), [(table, key) for table, keys in _MET_AGAIN.items() for key in keys])
def test_database_itself_refuses_to_replace_what_was_written(office: Office, table: str, key: str) -> None:
    _fire_all(office, 1)
    _seal(office.database, most=4)
    before = office.rows(table)
    other = {"history": "actor", "escalations": "target", "escalation_seals": "hash"}[table]
    changed = {name: f"'0' AS {name}" if name == other else name for name in before[0]}
    if "id" in changed and key != "id":
        changed["id"] = "id + 1000 AS id"  # another row that bears the same key
    elif table == "escalation_seals" and key == "escalation_id":
        changed["seq"] = "seq + 1000 AS seq"
    insert = f"INTO {table} ({', '.join(changed)}) SELECT {', '.join(changed.values())} FROM {table} WHERE true"
    if office.database.is_sqlite:
        deed = f"INSERT OR REPLACE {insert}"
    else:
        deed = f"INSERT {insert} ON CONFLICT ({key}) DO UPDATE SET {other} = '0'"
    with pytest.raises(StatementFailed, match="append-only"), office.database.engine.begin() as connection:
        connection.execute(sa.text(deed))
    assert office.rows(table) == before != []


def test_seals_number_the_log_without_a_gap_in_the_order_it_fired(office: Office) -> None:
    _fire_all(office, 4)
    assert [_seal(office.database), _seal(office.database)] == [20, 0]
    seals = {row["escalation_id"]: row["seq"] for row in office.rows("escalation_seals")}
    assert sorted(seals.values()) == list(range(1, 21))
    log = sorted(office.rows("escalations"), key=lambda row: seals[row["id"]])
    assert [row["fired_at"] for row in log] == sorted(row["fired_at"] for row in log)
    assert _verify(office) == (20, 0, None)


def test_sealing_in_small_parts_gives_the_same_chain(office: Office) -> None:
    _fire_all(office, 2)
    while _seal(office.database, most=3):
        assert _verify(office)[2] is None
    assert _verify(office) == (10, 0, None)


def test_sealers_that_run_at_once_leave_no_gap_and_no_second_number(office: Office) -> None:
    _fire_all(office, 10)

    def seal_on() -> int:
        return sum(_seal(office.database, most=2) for _ in range(30))

    sealed = together(*[seal_on] * 4)
    while more := _seal(office.database):
        sealed.append(more)
    assert sum(sealed) == 50
    assert [row["seq"] for row in office.rows("escalation_seals")] == list(range(1, 51))
    assert _verify(office) == (50, 0, None)


def test_sealer_that_looks_only_at_the_end_of_the_log_gives_the_same_chain(office: Office) -> None:
    sealer = Sealer(office.database)
    for round_number in range(4):
        office.receive(f"Q-{round_number}")
        office.pass_time(20_000)
        office.tick_all()
        assert [sealer.seal(most=3) for _ in range(3)] == [3, 2, 0]
    assert sealer.seal() == 0
    assert _verify(office) == (20, 0, None)


def test_sealer_finds_a_row_that_commits_long_after_later_ones_were_sealed(
    postgres_databases: PostgresDatabases,
) -> None:
    office = Office(postgres_databases.give(0))
    _fire_all(office, 1)
    sealer = Sealer(office.database)
    with office.database.write() as late:
        _log_again(late, 100)
        for step in (200, 300, 400):
            with office.database.write() as connection:
                _log_again(connection, step)
            assert sealer.seal() == (6 if step == 200 else 1)
            assert sealer.seal() == 0
    assert [sealer.seal(), sealer.seal()] == [1, 0]
    assert _verify(office) == (9, 0, None)
    office.database.close()


def _log_again(connection: Connection, step: int) -> None:
    """Write one more row into the log: the first one, as another step."""
    row = dict(connection.execute(sa.select(log).order_by(log.c.id).limit(1)).mappings().one())
    connection.execute(sa.insert(log), [{**{name: row[name] for name in row if name != "id"}, "step": step}])


def test_death_between_any_two_statements_of_sealing_leaves_no_gap(office: Office) -> None:
    _fire_all(office, 1)

    def none_sealed() -> None:
        assert office.rows("escalation_seals") == []

    assert survives_every_crash(office.database, lambda: _seal(office.database), none_sealed) >= 4
    assert _verify(office) == (5, 0, None)


def test_rows_that_are_not_sealed_yet_are_counted(office: Office) -> None:
    _fire_all(office, 1)
    _seal(office.database, most=2)
    assert _verify(office) == (2, 3, None)


TAMPERINGS = {
    "another person told": ("UPDATE escalations SET told = '[\"adi\"]' WHERE id = {id}", 7),
    "fired earlier": ("UPDATE escalations SET fired_at = due_at WHERE id = {id}", 7),
    "less late": ("UPDATE escalations SET lateness_s = 0 WHERE id = {id}", 7),
    "nobody held it": ("UPDATE escalations SET held_by = NULL WHERE id = {id}", 7),
    "row taken out": ("DELETE FROM escalations WHERE id = {id}", 7),
    "row and seal taken out": ("DELETE FROM escalation_seals WHERE seq = 7", 7),
    "hash changed": ("UPDATE escalation_seals SET hash = '0' WHERE seq = 7", 7),
    "number changed": ("UPDATE escalation_seals SET seq = 70 WHERE seq = 7", 7),
    "last rows": ("DELETE FROM escalations WHERE id >= {id}", 7),
    "all rows": ("DELETE FROM escalations", 1),
}


def _id_at(office: Office, seq: int) -> int:
    return next(int(row["escalation_id"]) for row in office.rows("escalation_seals") if row["seq"] == seq)


@pytest.mark.parametrize("name", TAMPERINGS)
def test_change_behind_the_logs_back_is_found_where_it_was_made(office: Office, name: str) -> None:
    _fire_all(office, 2)
    _seal(office.database)
    statement, place = TAMPERINGS[name]
    tamper(office.database, statement.format(id=_id_at(office, place)))
    assert _verify(office)[2] == place
    assert _verify(office, last=10 - place + 1)[2] is not None, "nor is the badge of the page green"


@pytest.mark.parametrize("name", ["last rows", "all rows"])
def test_rows_that_come_after_deleted_ones_do_not_hide_them(office: Office, name: str) -> None:
    _fire_all(office, 2)
    _seal(office.database)
    statement, place = TAMPERINGS[name]
    tamper(office.database, statement.format(id=_id_at(office, place)))
    office.receive("Q-later")
    office.pass_time(20_000)
    office.tick_all()
    _seal(office.database)
    assert _verify(office)[2] == place


def test_head_kept_elsewhere_tells_that_the_end_was_cut_off_with_its_seals(office: Office) -> None:
    _fire_all(office, 2)
    _seal(office.database)
    with office.database.read() as connection:
        kept = escalations.head(connection)
        assert (kept.seq, escalations.hash_at(connection, kept.seq)) == (10, kept.hash)
        assert escalations.verify(connection).head == kept
    tamper(
        office.database,
        "DELETE FROM escalations WHERE id IN (SELECT escalation_id FROM escalation_seals WHERE seq > 7)",
    )
    tamper(office.database, "DELETE FROM escalation_seals WHERE seq > 7")
    assert _verify(office) == (7, 0, None), "nothing inside can tell"
    with office.database.read() as connection:
        assert escalations.hash_at(connection, kept.seq) is None
    office.receive("Q-later")
    office.pass_time(20_000)
    office.tick_all()
    _seal(office.database)
    with office.database.read() as connection:
        assert escalations.hash_at(connection, kept.seq) not in (None, kept.hash), "written anew"


def test_last_part_of_the_chain_can_be_checked_alone(office: Office) -> None:
    _fire_all(office, 2)
    _seal(office.database)
    assert _verify(office, last=3) == (10, 0, None)
    tamper(office.database, "UPDATE escalation_seals SET hash = '0' WHERE seq = 9")
    assert _verify(office, last=3)[2] == 9


def test_empty_log_is_whole(office: Office) -> None:
    assert (_seal(office.database), _verify(office)) == (0, (0, 0, None))
    with office.database.read() as connection:
        assert escalations.hash_at(connection, 0) == escalations.head(connection).hash == "0" * 64


def test_chain_is_followed_over_many_pages(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(escalations, "PAGE", 3)
    _fire_all(office, 2)
    _seal(office.database)
    assert _verify(office) == (10, 0, None)
    tamper(office.database, f"UPDATE escalations SET level = 9 WHERE id = {_id_at(office, 10)}")
    assert _verify(office)[2] == 10


def _listed(office: Office, /, most: int = 200, **wanted: Any) -> list[dict[str, Any]]:
    with office.database.read() as connection:
        return escalations.listed(connection, Wanted(**wanted), most=most)


def test_log_is_listed_newest_first_with_number_and_whether_the_notices_arrived(office: Office) -> None:
    ticket = office.receive("Q-1")
    office.pass_time(8000)
    office.tick_all()
    _seal(office.database)
    office.set("deliveries", {"state": "delivered"}, step=2)
    second, first = _listed(office, ticket=ticket)
    assert [(row["level"], row["seq"], row["delivered"]) for row in (first, second)] == [(1, 1, False), (2, 2, True)]
    assert all(len(row["hash"]) == 64 for row in (first, second))


def test_notice_of_several_levels_counts_for_each_of_them(office: Office) -> None:
    office.use({Kind.ACKNOWLEDGE: [(3600, "role:chair", "notify"), (7200, "role:chair", "notify")]})
    _fire_all(office, 1)
    (notice,) = office.rows("deliveries", event="escalation")
    assert [row["delivered"] for row in _listed(office)] == [False, False]
    office.set("deliveries", {"state": "delivered"}, delivery_id=notice["delivery_id"])
    assert [row["delivered"] for row in _listed(office)] == [True, True]


def test_step_that_told_nobody_is_neither_delivered_nor_undelivered(office: Office) -> None:
    office.set("people", {"active": 0}, person_id="kartika")
    office.receive("Q-1")
    office.pass_time(20_000)
    office.tick_all()
    assert [row["delivered"] for row in _listed(office, level=3)] == [None]


WANTED: dict[str, tuple[dict[str, Any], Callable[[dict[str, Any]], bool]]] = {
    "person": ({"person": "kartika"}, lambda row: "kartika" in row["told"]),
    "level": ({"level": 2}, lambda row: row["level"] == 2),
    "kind": ({"kind": "triage"}, lambda row: row["kind"] == "triage"),
    "after": ({"after_seq": 5}, lambda row: row["seq"] > 5 and row["level"] > 0),
    "office": ({"office": "nowhere"}, lambda row: False),
    "until": ({"until": datetime(2020, 1, 1, tzinfo=UTC)}, lambda row: False),
    "since": ({"since": datetime(2020, 1, 1, tzinfo=UTC)}, lambda row: row["level"] > 0),
    "still open": ({"still_open": True}, lambda row: row["level"] > 0 and row["report_id"] == id_of("Q-1")),
    "exhausted": (
        {"exhausted": True},
        lambda row: (
            row["report_id"] == id_of("Q-1") and (row["kind"], row["step"]) in (("acknowledge", 6), ("triage", 1))
        ),
    ),
    "all but warnings": ({}, lambda row: row["level"] > 0),
    "warnings too": ({"warnings": True}, lambda row: True),
}


@pytest.mark.parametrize("name", WANTED)
def test_log_is_listed_by_what_is_wanted(office: Office, name: str) -> None:
    office.use({Kind.ACKNOWLEDGE: [(1800, "assignee", "warn"), *LADDER], Kind.TRIAGE: [(3000, "role:chair", "notify")]})
    _fire_all(office, 2)
    office.casework.acknowledge(ticket_for(TICKET_KEY, SOURCE, "Q-0"), ANI)
    office.casework.move(Move.CLOSE, ticket_for(TICKET_KEY, SOURCE, "Q-0"), ANI, Details(outcome=Outcome.SETTLED))
    _seal(office.database)
    wanted, holds = WANTED[name]
    everything = _listed(office, warnings=True)
    found = _listed(office, **wanted)
    assert [row["id"] for row in found] == [row["id"] for row in everything if holds(row)]
    assert len(everything) == 14
    assert [row["answered"] for row in everything] == [row["report_id"] == id_of("Q-0") for row in everything]
    assert bool(found) is any(map(holds, everything))


@pytest.mark.parametrize("rows_a_page", [1, 3, 14, 15])
def test_log_read_in_pages_is_the_log_read_at_once(
    office: Office, monkeypatch: pytest.MonkeyPatch, rows_a_page: int
) -> None:
    office.use({Kind.ACKNOWLEDGE: [(1800, "assignee", "warn"), *LADDER], Kind.TRIAGE: [(3000, "role:chair", "notify")]})
    _fire_all(office, 2)
    _seal(office.database, most=12)
    at_once = _listed(office, warnings=True)
    monkeypatch.setattr(escalations, "PAGE", rows_a_page)
    wanted = Wanted(warnings=True)
    assert _listed(office, warnings=True) == at_once
    assert [len(_listed(office, warnings=True, most=most)) for most in (1, 5, 14, 20)] == [1, 5, 14, 14]
    pages = list(escalations.walk(office.database, wanted))
    assert [row for page in pages for row in page] == at_once
    assert max(map(len, pages)) == min(rows_a_page, 14)
    chained = [row for page in escalations.walk_chain(office.database, wanted) for row in page]
    assert [row["seq"] for row in chained] == list(range(1, 13))
    assert sorted(chained, key=lambda row: -row["id"]) == [row for row in at_once if row["seq"]]
    later = [row["seq"] for page in escalations.walk_chain(office.database, Wanted(after_seq=9)) for row in page]
    assert later == [row["seq"] for row in chained if row["seq"] > 9 and row["level"]]


def test_log_of_more_rows_than_a_statement_takes_parameters_is_read_whole(office: Office) -> None:
    _fire_all(office, 1)
    count = 70_000
    with office.database.write() as connection:
        _multiply_log(connection, count)
    assert len(_listed(office, most=100_000)) == count + 5
    pages = [len(page) for page in escalations.walk(office.database, Wanted())]
    assert (sum(pages), max(pages)) == (count + 5, escalations.PAGE)


def _multiply_log(connection: Connection, count: int) -> None:
    """Write so many more rows into the log, like its first but for the step."""
    names = [column.name for column in log.c if column.name != "id"]
    values = ", ".join("1000 + number" if name == "step" else f"old.{name}" for name in names)
    connection.execute(
        sa.text(
            f"INSERT INTO escalations ({', '.join(names)}) WITH RECURSIVE copy(number) AS "
            f"(SELECT 1 UNION ALL SELECT number + 1 FROM copy WHERE number < {count}) "
            f"SELECT {values} FROM copy JOIN escalations AS old ON old.step = 1"
        )
    )


WARNED_TWICE = ((600, "assignee", "warn"), (1200, "assignee", "warn"), *LADDER[:2])


def test_clock_that_took_over_a_ladder_with_more_steps_stays_listed_as_exhausted(office: Office) -> None:
    """I15: the steps it passed over left no row, so the last row of all is an earlier one."""
    office.use({Kind.ACKNOWLEDGE: LADDER[:2]})
    survivor = office.receive("Q-2")
    office.pass_time(8000)
    office.tick_all()
    before = _listed(office, exhausted=True)
    office.use({Kind.ACKNOWLEDGE: WARNED_TWICE})
    duplicate = office.receive("Q-3")
    office.pass_time(1)
    office.set("obligations", {"deadline_at": before[0]["due_at"] - timedelta(days=9)}, report_id=id_of("Q-3"))
    office.casework.merge(duplicate, survivor, KARTIKA, "sama")
    (clock,) = office.rows("obligations", report_id=id_of("Q-2"), kind="acknowledge")
    assert (clock["step"], clock["next_due"]) == (4, None)
    assert [(row["ticket"], row["step"]) for row in before] == [(survivor, 2)]
    assert _listed(office, exhausted=True) == before


def test_exhausted_clock_without_any_row_is_listed_last_and_nobody_was_told(office: Office) -> None:
    _fire_all(office, 1)
    ticket = office.receive("Q-9")
    office.set("obligations", {"next_due": None}, report_id=id_of("Q-9"), kind="triage")
    told, untold = _listed(office, exhausted=True)
    assert told["fired_at"]
    assert (untold["ticket"], untold["kind"], untold["fired_at"], untold["told"]) == (ticket, "triage", None, [])
    assert _listed(office, exhausted=True, ticket=ticket, kind="triage", office="bpsk-dki") == [untold]
    assert _listed(office, exhausted=True, kind="summons") == []


def test_row_of_another_start_of_the_same_clock_is_not_what_exhausted_it(office: Office) -> None:
    _fire_all(office, 1)
    office.set("obligations", {"earlier_steps": 5}, report_id=id_of("Q-0"), kind="acknowledge")
    assert [(row["kind"], row["fired_at"]) for row in _listed(office, exhausted=True)] == [("acknowledge", None)]


def test_person_whose_id_is_part_of_anothers_is_not_mixed_up(office: Office) -> None:
    _fire_all(office, 1)
    assert _listed(office, person="adi")
    assert _listed(office, person="ad") == []
