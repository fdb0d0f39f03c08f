"""A government changes a zone's clocks while ours run: they go on as promised until an operator applies the change."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from bridge.recomputing import Recomputing
from bridge.reports.recompute import CalendarChange, Counts
from bridge.storage.database import Database
from config.calendars import definition_of, offsets_of, version_of
from tests.invariants.checker import violations
from tests.invariants.clock import MONDAY, DatabaseClock
from tests.invariants.town import apply_rules, facts_of, policies, use, wait
from tests.storage.office import Office
from tests.zones import changed_zone

AMSTERDAM = "Europe/Amsterdam"
#: The office opens at 07.30: an hour before UTC in winter. Two and four hours of work later the clock of triage fires.
SECOND_RUNG_BEFORE = MONDAY.replace(hour=10, minute=30)
BEFORE_IT_OPENS = MONDAY.replace(hour=5)


def by_files_of_today(office: Office) -> None:
    """Let processes start anew: they read the zone as the database of zones has it now."""
    here = replace(office.rules.book.calendar_for("bpsk-dki"), zone=AMSTERDAM, offsets=offsets_of(AMSTERDAM))
    named = replace(here, version=version_of(here.name, definition_of(here)))
    use(office, policies(0), named)


def triage(office: Office) -> dict[str, Any]:
    (clock,) = office.rows("obligations", kind="triage")
    return clock


def fired(office: Office) -> list[tuple[int, datetime, str | None]]:
    return [(row["step"], row["fired_at"], row["remark"]) for row in office.rows("escalations", kind="triage")]


def fire_all(office: Office) -> None:
    while office.watcher.tick():
        pass


@pytest.mark.parametrize(("ahead_s", "moved_s"), [(7200, -3600), (0, 3600)], ids=["forward", "back"])
def test_clock_goes_on_as_promised_when_the_zone_changes_until_the_change_is_applied(
    database: Database, ahead_s: int, moved_s: int
) -> None:
    clock = DatabaseClock(database)
    try:
        office = Office(database)
        by_files_of_today(office)
        office.receive("Q-1")
        before = triage(office)
        with changed_zone(AMSTERDAM, 3600, (BEFORE_IT_OPENS, ahead_s)):
            by_files_of_today(office)
            assert triage(office) == before, "a promise once given does not change by itself"
            wait(office, clock, (before["next_due"] - clock.at).total_seconds())
            fire_all(office)
            assert fired(office) == [(1, before["next_due"], None)], "as promised: neither earlier nor later"
            assert triage(office)["next_due"] == SECOND_RUNG_BEFORE, "and the next one, too"

            assert office.rules.earlier_calendars() == {"jakarta": 2}
            shown = Recomputing(database, office.rules).preview(CalendarChange(office.rules.book))
            assert (shown.counts.reports, shown.counts.clocks, shown.counts.same) == (1, 1, 1)
            assert (shown.counts.later, shown.counts.earlier) == ((0, 1) if moved_s < 0 else (1, 0))
            assert apply_rules(office, CalendarChange) == shown.counts

            moved = SECOND_RUNG_BEFORE + timedelta(seconds=moved_s)
            assert triage(office)["next_due"] == moved
            (line,) = office.rows("history", event="due_moved")
            assert line["data"]["calendar"] == triage(office)["calendar_version"] != before["calendar_version"]
            assert line["data"].get("premature_by_s") == (3600.0 if moved_s > 0 else None), "it stays fired"
            assert office.rules.earlier_calendars() == {}
            wait(office, clock, (moved - clock.at).total_seconds())
            fire_all(office)
            assert fired(office) == [(1, before["next_due"], None), (2, moved, "due_moved")]
        assert violations(facts_of(database)) == [], "also where the change is not known"
    finally:
        clock.close()


def test_clocks_from_before_zones_were_kept_are_shown_once_and_none_of_their_times_moves(database: Database) -> None:
    office = Office(database)
    here = replace(office.rules.book.calendar_for("bpsk-dki"), zone=AMSTERDAM, offsets=())
    use(office, policies(0), replace(here, version=version_of(here.name, definition_of(here))))
    office.receive("Q-1")
    before = triage(office)
    by_files_of_today(office)
    work, change = Recomputing(database, office.rules), CalendarChange(office.rules.book)
    assert work.preview(change).counts == Counts(same=2)
    assert apply_rules(office, CalendarChange) == Counts(same=2)
    assert triage(office) == before | {"calendar_version": office.rules.book.calendar_for("bpsk-dki").version}
