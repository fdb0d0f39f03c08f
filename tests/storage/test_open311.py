"""What Open311 clients ask, on both databases: by time, kind and state; what happened; what climbed."""

from datetime import timedelta

from bridge.open311.shown import EVENTS
from bridge.reports.clocks import Kind
from bridge.reports.moves import Actor, Details
from bridge.reports.states import Move, Outcome
from bridge.storage import open311 as stored
from tests.storage.office import SOURCE, Office

ANI = Actor("person:ani")


def wanted(office: Office, **fields: object) -> stored.Wanted:
    """Return all of the last hour, but for what is said."""
    now = office.now()
    usual = {"sources": [SOURCE], "since": now - timedelta(hours=1), "until": now + timedelta(hours=1)}
    return stored.Wanted(**(usual | fields))  # type: ignore[arg-type]


def found(office: Office, **fields: object) -> list[str]:
    """Return the external ids of what is listed."""
    with office.database.read() as connection:
        return [report.external_id for report in stored.listed(connection, wanted(office, **fields))]


def test_reports_are_listed_newest_first_and_narrowed(office: Office) -> None:
    office.receive("Q-1", category="ASURANSI")
    closed = office.receive("Q-2", category="kata warga")
    office.casework.move(Move.ACKNOWLEDGE, closed, ANI)
    office.casework.move(Move.CLOSE, closed, ANI, Details(outcome=Outcome.SETTLED))

    assert set(found(office)) == {"Q-1", "Q-2"}
    assert found(office, closed=True) == ["Q-2"]
    assert found(office, closed=False) == ["Q-1"]
    assert found(office, categories=["ASURANSI"], known=["ASURANSI", "LAINNYA"]) == ["Q-1"]
    assert found(office, categories=["LAINNYA"], known=["ASURANSI", "LAINNYA"], unsorted=True) == ["Q-2"]
    assert found(office, most=1) + found(office, most=1, skip=1) == found(office)
    assert found(office, skip=2) == found(office, sources=["another"]) == []
    assert found(office, until=office.now() - timedelta(minutes=30)) == []


def test_what_happened_is_told_in_order_with_the_outcome_it_led_to(office: Office) -> None:
    ticket = office.receive("Q-1")
    office.casework.move(Move.ACKNOWLEDGE, ticket, ANI)
    office.casework.move(Move.CLOSE, ticket, ANI, Details(outcome=Outcome.REFERRED))
    span = wanted(office)
    with office.database.read() as connection:
        rows = stored.happened(connection, [SOURCE], span.since, span.until, EVENTS)
        last = stored.changed_at(connection, [stored.by_tickets(connection, [ticket])[ticket].report_id], EVENTS)
        none = stored.happened(connection, ["another"], span.since, span.until, EVENTS)
    assert [(row["ticket"], row["event"]) for row in rows] == [
        (ticket, "received"),
        (ticket, "acknowledge"),
        (ticket, "close"),
    ]
    assert rows[-1]["data"]["outcome"] == "referred"
    assert list(last.values()) == [rows[-1]["at"]]
    assert none == []


def test_rungs_that_reached_somebody_are_told_and_warnings_are_not(office: Office) -> None:
    office.use({Kind.ACKNOWLEDGE: [(1800, "assignee", "warn"), (3600, "role:chair", "notify")]})
    ticket = office.receive("Q-1")
    office.pass_time(4000)
    office.tick_all()
    span = wanted(office)
    with office.database.read() as connection:
        rows = stored.climbed(connection, [SOURCE], span.since, span.until)
    assert [(row["ticket"], row["target"]) for row in rows] == [(ticket, "role:chair")]
