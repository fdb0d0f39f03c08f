"""The engine's guard: a clock that jumps, and more due at once than is plausible (I33, I34, I35)."""

import time
from datetime import timedelta

import pytest

from bridge.reports.clocks import Kind
from bridge.reports.guard import Limits
from bridge.storage import engine
from tests.storage.held import Clock, hold, release, row, watcher
from tests.storage.office import LADDER, Office, id_of


@pytest.fixture
def clock(office: Office, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the office's database."""
    return Clock(office, monkeypatch)


# --- the clock ------------------------------------------------------------------------------------------------------


def test_jump_forward_holds_and_fires_nothing(office: Office, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """I35."""
    office.receive("Q-1")
    assert office.watcher.tick() == 0
    clock.set_by(3601)
    assert [office.watcher.tick() for _ in range(3)] == [0, 0, 0]
    assert row(office)["held_why"].startswith("clock: the database's clock was set forward by 36")
    assert row(office)["held_until"] is None
    assert office.rows("escalations") == []
    assert capsys.readouterr().out.count("engine_held") == 1


def test_jump_that_is_undone_releases_by_itself_and_what_is_really_due_fires(
    office: Office, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    office.receive("Q-1")
    office.pass_time(3600)
    office.receive("Q-2")
    clock.set_by(-3600)  # Q-1 is not due yet
    office.watcher.tick()
    clock.set_by(7200)
    office.watcher.tick()
    clock.set_by(-3600)  # back to the truth, but not to where it was
    assert office.watcher.tick() == 0
    clock.set_by(-3600)
    assert office.watcher.tick() == 0
    assert row(office)["held_since"] is None
    assert "engine_released" in capsys.readouterr().out
    clock.set_by(110)
    assert office.watcher.tick() == 0
    assert office.rows("escalations") == []


def test_jump_a_person_accepts_lets_everything_through(office: Office, clock: Clock) -> None:
    office.receive_many(8)
    one, other = watcher(office), watcher(office)
    assert (one.tick(), other.tick()) == (0, 0)
    clock.set_by(3601)
    assert (one.tick(), other.tick()) == (0, 0)
    release(office)
    assert one.tick() + other.tick() == 8
    assert (one.tick(), other.tick(), row(office)["held_since"]) == (0, 0, None)


def test_restarted_worker_finds_the_hold_and_waits_for_a_person(office: Office, clock: Clock) -> None:
    office.receive("Q-1")
    office.watcher.tick()
    clock.set_by(3601)
    office.watcher.tick()
    fresh = watcher(office)
    assert fresh.tick() == 0
    clock.set_by(-3601)
    assert fresh.tick() == 0
    assert row(office)["held_since"] is not None, "it has not seen the jump, so it cannot see it undone"


def test_clock_set_back_fires_nothing_twice_and_skips_no_level(
    office: Office, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """I34."""
    office.receive("Q-1")
    office.pass_time(7200)
    office.tick_all()
    fired = office.rows("escalations")
    assert [r["step"] for r in fired] == [1, 2]
    clock.set_by(-7200)
    assert office.tick_all() == 0
    assert "database_clock_set_back" in capsys.readouterr().out
    for hours in range(1, 5):
        office.pass_time(3600)
        office.tick_all()
        steps = [r["step"] for r in office.rows("escalations")]
        assert steps == list(range(1, max(2, hours) + 1)), "late by no more than the clock was set back"
    office.pass_time(3600)
    office.tick_all()
    log = office.rows("escalations")
    assert [r["step"] for r in log] == [1, 2, 3, 4, 5]
    assert log[:2] == fired


def test_every_setting_of_the_clock_leaves_each_level_once_and_in_order(office: Office, clock: Clock) -> None:
    """Forward and back, by minutes that are let through: the log is that of a clock nobody touched."""
    office.receive_many(3)
    for by in (100, -100, 119, -3600, 60, -60, 115, -7200):
        clock.set_by(by)
        office.pass_time(2500)
        office.tick_all()
    office.pass_time(40_000)
    office.tick_all()
    for external_id in ("Q-0", "Q-1", "Q-2"):
        mine = office.rows("escalations", report_id=id_of(external_id), kind="acknowledge")
        assert [r["step"] for r in mine] == [1, 2, 3, 4, 5]
        assert all(r["fired_at"] >= r["due_at"] for r in mine)


def test_workers_own_clock_decides_nothing(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """I33: a worker whose wall clock is years off fires what the database says is due, stamped with its time."""
    office.receive("Q-1")
    office.pass_time(3600)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert office.watcher.tick() == 1
    (fired,) = office.rows("escalations")
    assert abs((office.now() - fired["fired_at"]).total_seconds()) < 60


# --- too much at once -----------------------------------------------------------------------------------------------


def test_implausible_share_due_at_once_holds_for_a_quarter_of_an_hour(
    office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    """I35."""
    office.use({Kind.TRIAGE: LADDER})
    office.receive_many(8)
    office.pass_time(3600)
    assert watcher(office).tick() == 0
    held = row(office)
    assert held["held_why"].startswith("share: 16 or more clocks fell due at once, only 0 ")
    assert held["held_until"] - held["held_since"] == timedelta(minutes=15)
    assert (office.rows("escalations"), "engine_held" in capsys.readouterr().out) == ([], True)


def test_hold_for_a_share_ends_by_itself_and_is_not_repeated_for_the_same_backlog(office: Office) -> None:
    office.use({Kind.TRIAGE: LADDER})
    office.receive_many(8)
    office.pass_time(20_000)
    one = watcher(office, most=2)
    one.tick()
    office.set("engine", {"held_until": office.now() - timedelta(seconds=1)})
    fired = sum(iter(one.tick, 0))
    assert fired == len(office.rows("escalations")) == 16 * len(LADDER)
    assert (row(office)["held_since"], row(office)["held_why"]) == (None, None)


def test_next_implausible_share_is_held_again(office: Office) -> None:
    office.use({Kind.TRIAGE: LADDER})
    office.receive_many(8)
    office.pass_time(3600)
    one = watcher(office)
    one.tick()
    release(office)
    assert sum(iter(one.tick, 0)) == 16
    office.pass_time(3600)
    assert one.tick() == 0
    assert row(office)["held_since"] is not None


def test_person_can_hold_for_good_what_would_go_on_by_itself(office: Office) -> None:
    office.use({Kind.TRIAGE: LADDER})
    office.receive_many(8)
    office.pass_time(3600)
    one = watcher(office)
    one.tick()
    hold(office)
    assert (one.tick(), row(office)["held_until"]) == (0, None)


def test_half_of_all_clocks_or_less_is_let_through(office: Office) -> None:
    office.receive_many(8)  # triage runs for a hundred hours more
    office.pass_time(3600)
    assert watcher(office).tick() == 8


def test_few_at_once_are_let_through_whatever_their_share(office: Office) -> None:
    office.use({Kind.TRIAGE: LADDER})
    office.receive_many(2)
    office.pass_time(3600)
    assert sum(iter(watcher(office).tick, 0)) == 4


def test_guard_that_is_switched_off_lets_everything_through(office: Office) -> None:
    office.use({Kind.TRIAGE: LADDER})
    office.receive_many(8)
    office.pass_time(3600)
    assert sum(iter(watcher(office, Limits(share=1.0, least=5)).tick, 0)) == 16


def test_counting_stops_as_soon_as_the_share_is_certain(office: Office) -> None:
    office.receive_many(12)
    office.pass_time(3600)
    now = office.now()
    with office.database.read() as connection:
        assert engine.due(connection, now, 1000) == 12
        assert engine.due(connection, now, 5) == 5
        assert engine.backlog(connection, now, lambda due: due + 1) == (12, 12)
        assert engine.backlog(connection, now, lambda due: 3) == (12, 3)
