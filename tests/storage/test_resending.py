"""Sending once more: in batches, noted once with who and why, and pressed twice it sends nothing twice."""

from datetime import timedelta
from typing import Any

import pytest

from bridge import resending
from bridge.reports.setting_aside import ReasonMissing
from bridge.resending import preview, resend
from bridge.storage.told import Wanted
from tests.storage.crashes import Killed, statements
from tests.storage.office import Office

UNHEARD = Wanted(unheard=True)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resending, "BATCH", 3)


def _given_up(office: Office, count: int) -> None:
    """Have so many notices that nobody heard, and no message that announces them."""
    office.receive_many(count)
    ended = {"state": "given_up", "attempts": 10, "fault": "away", "finished_at": office.now()}
    assert office.set("deliveries", ended, purpose="notice") == count
    office.set("outbox", {"available_at": office.now() + timedelta(days=1)})


def _announced(office: Office) -> list[str]:
    now = office.now()
    return [
        row["data"]["delivery_id"] for row in office.rows("outbox", type="notice.due") if row["available_at"] <= now
    ]


def _resend(office: Office, wanted: Wanted = UNHEARD, **how: Any) -> int:
    return resend(office.database, wanted, actor="person:adi", reason="server surat pulih", **how)


def test_everything_asked_for_leaves_once_more_in_batches(office: Office) -> None:
    _given_up(office, 8)
    assert preview(office.database, UNHEARD) == 8
    steps: list[int] = []
    assert _resend(office, progress=steps.append) == 8
    assert steps == [3, 6, 8]
    rows = office.rows("deliveries", purpose="notice")
    assert {(row["state"], row["attempts"], row["tries_before"], row["replays"]) for row in rows} == {
        ("pending", 10, 10, 1)
    }
    assert sorted(_announced(office)) == sorted(row["delivery_id"] for row in rows)


def test_one_note_says_who_and_why_and_how_many(office: Office) -> None:
    _given_up(office, 8)
    since = office.now() - timedelta(hours=1)
    _resend(office, Wanted(unheard=True, purpose="notice", since=since))
    (note,) = office.rows("replays")
    assert (note["actor"], note["reason"], note["deliveries"]) == ("person:adi", "server surat pulih", 8)
    assert note["wanted"] == {"unheard": True, "purpose": "notice", "since": since.isoformat()}


def test_note_about_one_delivery_names_it(office: Office) -> None:
    _given_up(office, 2)
    chosen = office.rows("deliveries", purpose="notice")[0]["delivery_id"]
    assert _resend(office, Wanted(delivery_ids=[chosen])) == 1
    assert [note["wanted"] for note in office.rows("replays")] == [{"delivery_ids": [chosen]}]
    assert _announced(office) == [chosen]


def test_pressed_twice_nothing_leaves_twice(office: Office) -> None:
    _given_up(office, 4)
    wanted = Wanted(purpose="notice")
    assert (_resend(office, wanted), preview(office.database, wanted), _resend(office, wanted)) == (4, 0, 0)
    assert (len(_announced(office)), len(office.rows("replays"))) == (4, 1)


def test_again_after_ten_minutes_or_because_somebody_insists_it_does(office: Office) -> None:
    _given_up(office, 4)
    wanted = Wanted(purpose="notice")
    _resend(office, wanted)
    assert preview(office.database, wanted, again=True) == 4
    assert _resend(office, wanted, again=True) == 4
    office.set("deliveries", {"replayed_at": office.now() - timedelta(minutes=11)}, purpose="notice")
    assert _resend(office, wanted) == 4


def test_what_is_being_sent_stays_as_it_is(office: Office) -> None:
    _given_up(office, 2)
    first = office.rows("deliveries", purpose="notice")[0]["delivery_id"]
    office.set("deliveries", {"state": "sending", "finished_at": None}, delivery_id=first)
    assert _resend(office, Wanted(purpose="notice")) == 1
    assert first not in _announced(office)


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_without_a_reason_nothing_leaves(office: Office, reason: str) -> None:
    _given_up(office, 1)
    with pytest.raises(ReasonMissing):
        resend(office.database, UNHEARD, actor="person:adi", reason=reason)
    assert (_announced(office), office.rows("replays")) == ([], [])


def test_killed_between_two_batches_what_left_is_noted_and_done_again_the_rest_leaves(office: Office) -> None:
    _given_up(office, 8)
    commits = iter(range(3))

    def dies(statement: str) -> None:
        if statement == "COMMIT" and next(commits) == 2:
            raise Killed

    with pytest.raises(Killed), statements(office.database, dies):
        _resend(office)
    assert [note["deliveries"] for note in office.rows("replays")] == [6]
    assert len(_announced(office)) == 6
    assert _resend(office) == 2
    assert len(set(_announced(office))) == len(_announced(office)) == 8
