"""The rulebook: today's configuration, and the versions running clocks hold on to (I25, I28)."""

from dataclasses import replace
from typing import Any

import pytest

from bridge.reports.clocks import Kind
from bridge.reports.rulebook import UnknownVersion
from tests.unit.given import ACKNOWLEDGE, OFFICE, a_calendar, a_clock, a_policy, a_rulebook


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


def test_two_rulebooks_do_not_share_their_versions() -> None:
    a_rulebook().policy_versions["only here"] = ACKNOWLEDGE
    assert "only here" not in a_rulebook().policy_versions
