"""The log written as a file is the same chain, whichever database it comes from."""

import io
from datetime import timedelta

import pytest

from bridge import log_files
from bridge.chain import Broken, follow
from bridge.reports.clocks import Kind
from bridge.storage import escalations
from bridge.storage.escalations import Wanted
from bridge.storage.tables import escalations as log
from tests.storage.office import LADDER, Office


def _written(office: Office, form: str) -> str:
    write = {"csv": log_files.as_csv, "json": log_files.as_json}[form]
    pages = escalations.walk_chain(office.database, Wanted(warnings=True))
    return "".join(write([[log_files.as_object(row) for row in page] for page in pages]))


@pytest.fixture
def fired(office: Office) -> Office:
    """An office whose log has all there is: warnings, nobody to tell, remarks, an instant without a fraction."""
    office.use({Kind.ACKNOWLEDGE: [(1800, "assignee", "warn"), *LADDER]})
    office.set("people", {"active": 0}, person_id="kartika")
    office.receive_many(3)
    office.pass_time(20_000)
    for row in office.rows("obligations", kind="acknowledge"):
        whole = row["next_due"].replace(microsecond=0) - timedelta(seconds=1)
        office.set("obligations", {"next_due": whole}, report_id=row["report_id"], kind="acknowledge")
    office.tick_all()
    with office.database.write() as connection:
        assert escalations.seal(office.database, connection) == 18
    return office


@pytest.mark.parametrize("form", ["csv", "json"])
def test_chain_followed_through_a_file_ends_at_the_head_of_the_log(fired: Office, form: str) -> None:
    rows = fired.rows("escalations")
    assert any(not row["told"] for row in rows)
    assert any(row["remark"] for row in rows)
    assert any(row["due_at"].microsecond == 0 for row in rows)
    with fired.database.read() as connection:
        head = escalations.head(connection)
    assert list(follow(log_files.links(io.StringIO(_written(fired, form)))))[-1] == head


@pytest.mark.parametrize("form", ["csv", "json"])
def test_rows_without_a_number_are_no_part_of_the_chain(fired: Office, form: str) -> None:
    lines = _written(fired, form).replace("\r\n", "\n").splitlines()
    without = lines[1].replace('"seq": 1,', '"seq": null,') if form == "json" else "," + lines[1].partition(",")[2]
    file = io.StringIO("\n".join([lines[0], without, *lines[1:]]))
    assert len(list(follow(log_files.links(file)))) == 18


def test_file_holds_every_column_of_the_log() -> None:
    called = {"to" if column.name == "target" else column.name for column in log.c}
    assert called | {"seq", "hash", "delivered", "answered"} == set(log_files.KEYS)


def test_row_that_comes_twice_breaks_the_chain(fired: Office) -> None:
    lines = _written(fired, "csv").splitlines()
    with pytest.raises(Broken) as broken:
        list(follow(log_files.links(io.StringIO("\n".join([*lines, lines[-1]])))))
    assert broken.value.seq == 19
