"""What the inbox, the pages and `--json` list: the right rows, in the right order, without the secret ones."""

from datetime import timedelta
from typing import Any

import pytest

from bridge.reports.clocks import Kind
from bridge.reports.moves import Details
from bridge.reports.states import Move, Outcome
from bridge.storage import engine, set_aside, told, workers
from bridge.storage import reports as stored
from bridge.storage.reports import NoSuchReport, Wanted
from bridge.storage.set_aside import NothingAside
from tests.storage.office import ANI, Office, body, plain, webhook


def _listed(at: Office, most: int = 200, **wanted: Any) -> list[str]:
    with at.database.read() as connection:
        return [row["external_id"] for row in stored.listed(connection, Wanted(**wanted), most=most)]


def _three(office: Office) -> None:
    """Q-1 closed, Q-2 acknowledged (budi), Q-3 received, due first (ani)."""
    first = office.receive("Q-1", title="Motor ditarik", business={"name": "PT Kenari Kafé"})
    second = office.receive("Q-2", title="Tagihan 100% salah")
    office.receive("Q-3", title="Klaim ditolak", business={"name": "PT Merpati"})
    office.casework.acknowledge(first, ANI)
    office.casework.move(Move.CLOSE, first, ANI, Details(outcome=Outcome.SETTLED))
    office.casework.acknowledge(second, ANI)
    office.set("reports", {"assignee": "budi"}, external_id="Q-2")
    office.set("reports", {"assignee": "ani"}, external_id="Q-3")


def test_reports_are_listed_by_what_is_due_next_and_closed_ones_last(office: Office) -> None:
    _three(office)
    assert _listed(office) == ["Q-3", "Q-2", "Q-1"]
    assert _listed(office, most=2) == ["Q-3", "Q-2"]


def test_reports_due_at_the_same_time_are_listed_newest_first(office: Office) -> None:
    for number in range(3):
        office.receive(f"Q-{number}")
    due = office.now()
    office.set("obligations", {"deadline_at": due})
    assert _listed(office) == ["Q-2", "Q-1", "Q-0"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"status": "closed"}, ["Q-1"]),
        ({"assignee": "budi"}, ["Q-2"]),
        ({"open_only": True}, ["Q-3", "Q-2"]),
        ({"source": "qlue"}, ["Q-3", "Q-2", "Q-1"]),
        ({"source": "jaki"}, []),
        ({"office": "dinas"}, []),
        ({"search": "motor"}, ["Q-1"]),
        ({"search": "KENARI"}, ["Q-1"]),
        ({"search": "100% salah"}, ["Q-2"]),
        ({"search": "0_ s"}, []),
        ({"search": "Kafé"}, ["Q-1"]),
        ({"search": "merpati", "assignee": "ani", "open_only": True}, ["Q-3"]),
        ({"search": "'; DROP TABLE reports; --"}, []),
    ],
    ids=str,
)
def test_reports_are_found_by_what_is_wanted(office: Office, wanted: dict[str, Any], found: list[str]) -> None:
    _three(office)
    assert _listed(office, **wanted) == found


def test_listed_report_brings_its_obligations_and_is_found_by_ticket(office: Office) -> None:
    _three(office)
    ticket = office.rows("reports", external_id="Q-3")[0]["ticket"]
    with office.database.read() as connection:
        (row,) = stored.listed(connection, Wanted(search=ticket))
    assert [obligation.kind for obligation in row["obligations"]] == [Kind.ACKNOWLEDGE, Kind.TRIAGE]


def test_reports_are_counted_per_status(office: Office) -> None:
    _three(office)
    with office.database.read() as connection:
        assert stored.counted(connection, Wanted()) == {"closed": 1, "acknowledged": 1, "received": 1}
        assert stored.counted(connection, Wanted(assignee="ani", open_only=True)) == {"received": 1}
        assert stored.open_by_assignee(connection) == {"ani": 1, "budi": 1}


def test_unknown_ticket_is_no_report(office: Office) -> None:
    with office.database.read() as connection, pytest.raises(NoSuchReport):
        stored.by_ticket(connection, "0000-0000-0000")


def test_history_is_told_from_the_beginning(office: Office) -> None:
    _three(office)
    (closed,) = office.rows("reports", status="closed")
    with office.database.read() as connection:
        lines = stored.history_of(connection, closed["report_id"])
    assert [line["event"] for line in lines] == ["received", "routed", "acknowledge", "close"]


def test_deliveries_are_listed_newest_first_by_report_and_state(office: Office) -> None:
    _three(office)
    (report,) = office.rows("reports", external_id="Q-1")
    office.set("deliveries", {"state": "given_up"}, report_id=report["report_id"], purpose="notice")
    with office.database.read() as connection:
        everything = told.listed(connection)
        mine = told.listed(connection, told.Wanted(report_id=report["report_id"]))
        lost = told.listed(connection, told.Wanted(state="given_up"))
        newest = told.listed(connection, most=1)
    assert [row["created_at"] for row in everything] == sorted((row["created_at"] for row in everything), reverse=True)
    assert len(everything) == len(office.rows("deliveries"))
    assert {row["report_id"] for row in mine} == {report["report_id"]}
    assert [row["purpose"] for row in lost] == ["notice"]
    assert newest == everything[:1]


def test_set_aside_is_listed_oldest_first_without_the_body_which_is_shown_alone(office: Office) -> None:
    office.handle([webhook(b"{}", "msg-1"), webhook(b"[]", "msg-2")])
    office.set("set_aside", {"state": "discarded"}, webhook_id="msg-2")
    with office.database.read() as connection:
        (waiting,) = set_aside.listed(connection)
        everything = set_aside.listed(connection, "")
        shown = set_aside.one(connection, waiting["id"])
        with pytest.raises(NothingAside):
            set_aside.one(connection, 99_999_999)
    assert [row["webhook_id"] for row in everything] == ["msg-1", "msg-2"]
    assert not {"body", "mended"} & set(waiting)
    assert plain(shown) == b"{}"


def test_pulse_counts_what_is_overlooked(office: Office) -> None:
    office.receive("Q-1")
    office.receive("Q-2")
    office.handle([webhook(body("Q-3", title=""), "msg-3")])
    office.pass_time(3600 + 50)
    office.set("deliveries", {"state": "given_up", "finished_at": office.now()}, purpose="callback")
    office.set("obligations", {"next_due": None}, kind="triage")
    now = office.now()
    office.set("set_aside", {"received_at": now - timedelta(hours=7)})
    with office.database.write() as connection:
        engine.ticked(connection, now - timedelta(seconds=90))
    with office.database.read() as connection:
        pulse = workers.pulse(connection, now)
    assert 50 <= pulse.oldest_overdue_s < 110
    assert pulse.watcher_s == pytest.approx(90, abs=0.01)
    assert 3650 <= pulse.outbox_age_s < 3710
    assert (pulse.outbox, pulse.deliveries_open, pulse.given_up, pulse.aside, pulse.exhausted) == (4, 2, 2, 1, 2)
    assert pulse.aside_oldest_s == pytest.approx(7 * 3600, abs=0.01)


def test_pulse_of_an_idle_office_shows_no_watcher_and_nothing_late(office: Office) -> None:
    with office.database.read() as connection:
        pulse = workers.pulse(connection, office.now())
    assert (pulse.watcher_s, pulse.oldest_overdue_s, pulse.outbox_age_s, pulse.outbox) == (None, 0, 0, 0)


def test_worker_has_one_line_however_often_it_is_seen(office: Office) -> None:
    for _ in range(3):
        with office.database.write() as connection:
            workers.seen(connection, "one", "take_in", office.database.now(connection))
    assert [row["worker"] for row in office.rows("workers")] == ["one"]
