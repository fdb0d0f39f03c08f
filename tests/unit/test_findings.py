"""What is found wrong with the clockwork: said in two languages, with what to do, since when; silence is found too."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from bridge.reports.findings import Finding, What, alarms, living, read_findings, since_before
from bridge.reports.guard import Engine
from bridge.words import LANGUAGES, WORDS, say

NOON = datetime(2026, 11, 24, 5, 0, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOON - timedelta(seconds=seconds)


def whats(found: list[Finding]) -> list[What]:
    return [finding.what for finding in found]


@pytest.mark.parametrize("what", What)
def test_everything_that_can_be_found_has_words_a_unit_and_something_to_do(what: What) -> None:
    finding = Finding(what, 7, NOON)
    assert what in WORDS
    assert len({say(what, language) for language in LANGUAGES}) == 2
    assert finding.unit in ("count", "seconds", "percent")
    assert len(finding.do) > 20


def test_finding_survives_the_way_into_the_row_and_back() -> None:
    found = [Finding(what, 12.5, NOON) for what in What]
    kept = json.loads(json.dumps([finding.as_json() for finding in found]))
    assert read_findings(kept) == found
    assert read_findings([{"what": "of a newer version", "value": 1, "since": NOON.isoformat()}]) == []


def test_finding_is_written_down_whole_its_value_with_one_decimal() -> None:
    assert Finding(What.OUTBOX_LATE, 12.345, NOON).as_json() == {
        "what": "outbox_late",
        "value": 12.3,
        "since": "2026-11-24T05:00:00+00:00",
        "do": "messages do not leave; is the queue there? start: bridge work relay_outbox",
    }


def test_engine_at_work_and_audited_gives_no_alarm() -> None:
    assert alarms(Engine(2, ticked_at=ago(30), audited_at=ago(120)), NOON, audit_every_s=30) == []


def test_silence_of_watcher_and_auditor_is_seen_by_whoever_looks() -> None:
    assert alarms(Engine(2), NOON, audit_every_s=30) == [
        Finding(What.WATCHER_SILENT, 0.0, NOON),
        Finding(What.AUDITOR_SILENT, 0.0, NOON),
    ]
    silent = alarms(Engine(2, ticked_at=ago(31), audited_at=ago(121)), NOON, audit_every_s=30)
    assert [(f.what, f.value, f.since) for f in silent] == [
        (What.WATCHER_SILENT, 31, ago(31)),
        (What.AUDITOR_SILENT, 121, ago(121)),
    ]


def test_sign_of_life_from_the_future_is_as_old_as_it_is_far() -> None:
    """The clock was forward when it was given, and set back since."""
    assert whats(living(Engine(2, ticked_at=ago(-3600)), NOON)) == [What.WATCHER_SILENT]


def test_hold_is_an_alarm_at_once_and_none_any_more_as_soon_as_it_is_over() -> None:
    held = Engine(2, ago(60), None, "clock: set forward", ticked_at=NOON)
    assert [(f.what, f.value) for f in living(held, NOON)] == [(What.ENGINE_HELD, 60)]
    stale = tuple(f.as_json() for f in living(held, NOON))
    released = Engine(2, ticked_at=NOON, audited_at=NOON, findings=stale)
    assert alarms(released, NOON, audit_every_s=30) == []


@pytest.mark.parametrize(("until", "found"), [(ago(-1), [Finding(What.ENGINE_HELD, 60.0, ago(60))]), (NOON, [])])
def test_hold_that_ends_by_itself_is_an_alarm_until_then(until: datetime, found: list[Finding]) -> None:
    held = Engine(2, ago(60), until, "share: too many at once", ticked_at=NOON)
    assert living(held, NOON) == found


def test_findings_of_the_last_audit_are_shown() -> None:
    found = Finding(What.OUTBOX_LATE, 90, ago(90))
    state = Engine(2, ticked_at=NOON, audited_at=NOON, findings=(found.as_json(),))
    assert alarms(state, NOON, audit_every_s=30) == [found]


def test_finding_that_was_there_before_keeps_the_time_it_was_first_seen() -> None:
    before = [Finding(What.LOG_UNSEALED, 3, ago(600))]
    now = [Finding(What.LOG_UNSEALED, 5, NOON), Finding(What.MISSED_STEPS, 1, NOON)]
    assert [(f.value, f.since) for f in since_before(now, before)] == [(5, ago(600)), (1, NOON)]
