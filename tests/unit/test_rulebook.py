"""The rulebook: today's configuration, and the versions running clocks hold on to (I25, I28)."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from bridge.reports.clocks import Kind, Obligation
from bridge.reports.routing import Rule
from bridge.reports.rulebook import Office, Rulebook, UnknownVersion
from tests.unit.given import ACKNOWLEDGE, MONDAY, OFFICE, TRIAGE, a_calendar, a_clock, a_policy, a_report, a_rulebook


def test_running_clock_keeps_the_policy_it_was_started_with() -> None:
    clock = a_clock()
    edited = a_policy(Kind.ACKNOWLEDGE, "9 working hours", ("9 working hours", "role:chair", "notify"), version="new")
    book = a_rulebook(edited)
    book.policy_versions[ACKNOWLEDGE.version] = ACKNOWLEDGE
    assert book.frozen(clock) == (ACKNOWLEDGE, a_calendar())
    assert book.policy_for("default", Kind.ACKNOWLEDGE) is edited


@pytest.mark.parametrize("field", ["policy_version", "calendar_version"])
def test_version_that_is_not_loaded_is_named_in_the_error(field: str) -> None:
    with pytest.raises(UnknownVersion, match="gone@7") as missing:
        a_rulebook().frozen(a_clock(**dict[str, Any]({field: "gone@7"})))
    assert missing.value.version == "gone@7"


def test_set_that_leaves_a_clock_out_takes_the_default_one() -> None:
    special = a_policy(Kind.ACKNOWLEDGE, "1 working hour", ("1 working hour", "role:chair", "notify"), version="s")
    book = a_rulebook()
    book = replace(book, policies={**book.policies, "urgent": {Kind.ACKNOWLEDGE: special}})
    assert book.policy_for("urgent", Kind.ACKNOWLEDGE) is special
    assert book.policy_for("urgent", Kind.TRIAGE) is book.policies["default"][Kind.TRIAGE]
    assert book.policy_for("no such set", Kind.TRIAGE) is book.policies["default"][Kind.TRIAGE]


def test_office_works_by_the_calendar_it_names() -> None:
    assert a_rulebook().calendar_for(OFFICE) == a_calendar()


def after_the_office_was_renamed() -> Rulebook:
    """The office's id is another one, its calendar has a decree more, and a second calendar comes first."""
    decreed = a_calendar({date(2026, 11, 24): "decree"}, version="office@2")
    book = a_rulebook()
    return replace(
        book,
        offices={"new": Office("new", "BPSK Jakarta", "office"), "abroad": Office("abroad", "Abroad", "abroad")},
        rules=(Rule("other city", "abroad", {"source": ("jaki",)}), Rule("everything", "new")),
        calendars={"abroad": a_calendar(name="abroad", version="abroad@1"), "office": decreed},
        calendar_versions={**book.calendar_versions, "office@2": decreed},
    )


@pytest.mark.parametrize(
    ("clocks", "version"),
    [
        ((), "office@2"),  # where the routing would send it
        ((a_clock(),), "office@2"),  # the file is still there: as it is today
        ((a_clock(calendar_version="gone@1"),), "gone@1"),  # the file is gone, too: as it was
        ((a_clock(calendar_version="gone@1"), a_clock(TRIAGE, ended_at=MONDAY)), "gone@1"),  # an open one decides
        ((a_clock(calendar_version="gone@1"), a_clock(TRIAGE, at=MONDAY + timedelta(hours=1))), "office@2"),
    ],
)
def test_office_that_is_no_more_counts_by_the_calendar_of_the_reports_own_clocks(
    clocks: tuple[Obligation, ...], version: str
) -> None:
    book = after_the_office_was_renamed()
    book.calendar_versions["gone@1"] = a_calendar(name="gone", version="gone@1")
    for given in (clocks, clocks[::-1]):
        assert book.calendar_of(OFFICE, a_report(), given).version == version


def test_office_of_the_files_counts_by_its_own_calendar_whatever_the_clocks_hold() -> None:
    assert a_rulebook().calendar_of(OFFICE, a_report(), [a_clock(calendar_version="gone@1")]) == a_calendar()


def test_calendar_of_a_clock_that_is_not_loaded_is_asked_for() -> None:
    with pytest.raises(UnknownVersion, match="gone@7"):
        after_the_office_was_renamed().calendar_of(OFFICE, a_report(), [a_clock(calendar_version="gone@7")])


def test_office_that_is_no_more_goes_by_its_id() -> None:
    assert after_the_office_was_renamed().office_called(OFFICE) == Office(OFFICE, OFFICE, "")
    assert a_rulebook().office_called(OFFICE) == Office(OFFICE, "BPSK DKI Jakarta", "office")


def test_two_rulebooks_do_not_share_their_versions() -> None:
    a_rulebook().policy_versions["only here"] = ACKNOWLEDGE
    assert "only here" not in a_rulebook().policy_versions
