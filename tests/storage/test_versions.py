"""Policies and calendars by version: kept once, never changed, found by any process that needs them."""

from dataclasses import replace

import pytest

from bridge.reports.clocks import Kind, Policy
from bridge.reports.rulebook import UnknownVersion
from bridge.rules import Rules
from config.calendars import calendar_from, definition_of
from tests.storage.crashes import together
from tests.storage.office import POLICIES, Office, make_rules, policy


def test_todays_policies_and_calendars_are_kept_under_their_versions(office: Office) -> None:
    kept = {row["version"]: row["what"] for row in office.rows("versions")}
    book = office.rules.book
    assert {v for v, what in kept.items() if what == "policy"} == {p.version for p in book.policies["default"].values()}
    assert {v for v, what in kept.items() if what == "calendar"} == {c.version for c in book.calendars.values()}


def test_stored_policy_is_the_policy(office: Office) -> None:
    stored = {row["version"]: row["definition"] for row in office.rows("versions", what="policy")}
    for today in office.rules.book.policies["default"].values():
        assert Policy.from_definition(today.version, stored[today.version]) == today


def test_stored_calendar_is_the_calendar(office: Office) -> None:
    stored = {row["version"]: row["definition"] for row in office.rows("versions", what="calendar")}
    for name, today in office.rules.book.calendars.items():
        again = calendar_from(name, stored[today.version], today.version)
        assert again == today
        assert definition_of(again) == definition_of(today)


def test_version_is_kept_once_and_never_changed(office: Office) -> None:
    before = office.rows("versions")
    together(*[lambda: make_rules(office.database)] * 4)
    assert office.rows("versions") == before


def test_changed_policy_is_another_version_beside_the_first(office: Office) -> None:
    before = {row["version"] for row in office.rows("versions")}
    office.use({Kind.TRIAGE: [(5, "role:chair", "notify")]})
    after = {row["version"] for row in office.rows("versions")}
    assert after - before == {policy(Kind.TRIAGE, [(5, "role:chair", "notify")]).version}
    assert before < after


def test_process_with_other_files_decides_with_the_version_a_clock_was_started_with(office: Office) -> None:
    office.receive("Q-1")
    changed = make_rules(office.database, {Kind.ACKNOWLEDGE: [(5, "role:chair", "notify")]})
    (clock,) = office.rows("obligations", kind="acknowledge")
    assert changed.book.policy_versions[clock["policy_version"]] == policy(Kind.ACKNOWLEDGE, POLICIES[Kind.ACKNOWLEDGE])


def test_version_another_process_stored_later_is_loaded_when_it_is_met(office: Office) -> None:
    make_rules(office.database, {Kind.TRIAGE: [(7, "role:chair", "notify")]})
    wanted = policy(Kind.TRIAGE, [(7, "role:chair", "notify")]).version
    asked = []

    def decide() -> Policy:
        asked.append(wanted in office.rules.book.policy_versions)
        if not asked[-1]:
            raise UnknownVersion(wanted)
        return office.rules.book.policy_versions[wanted]

    assert office.rules.deciding(decide).version == wanted
    assert asked == [False, True]


def test_version_nobody_stored_stays_unknown(office: Office) -> None:
    def decide() -> None:
        raise UnknownVersion("triage@gone")

    with pytest.raises(UnknownVersion, match="triage@gone"):
        office.rules.deciding(decide)


def test_loading_never_replaces_what_a_process_decides_with_today(office: Office) -> None:
    rules = Rules(office.database, replace(office.rules.book))
    today = dict(rules.book.policies["default"])
    rules.prepare()
    assert dict(rules.book.policies["default"]) == today
