"""A source's keys and their times: made, ended, read again without a restart, and never lost."""

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from bridge import keyring
from bridge.keyring import BrokenKeyFile, EndedBefore, Keyring
from bridge.signing import BadKey

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def read_key(text: str) -> bytes:
    """Read a key of these tests: ten characters or more."""
    if len(text) < 10:
        raise BadKey("short")
    return text.encode()


@pytest.fixture(autouse=True)
def looked_at_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no look at the file be saved: these tests are faster than a second."""
    monkeypatch.setattr(keyring, "LOOK_S", 0.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the made keys are."""
    return tmp_path / "keys" / "qlue.json"


def ring(path: Path, *own: str) -> Keyring:
    """Return a keyring whose ids are the first five letters."""
    return Keyring(own, path, id_of=lambda text: text[:5], read_key=read_key)


def live(keys: Keyring, at: datetime = NOW) -> list[str]:
    """Return the ids that count then."""
    return [key.id for key, _ in keys.live(at.timestamp())]


def test_key_counts_from_its_beginning_until_before_its_end(path: Path) -> None:
    keys = ring(path)
    keys.add("alpha key text", not_before=NOW, not_after=NOW + HOUR)
    for offset, counts in ((-0.001, False), (0.0, True), (3599.999, True), (3600.0, False)):
        assert (live(keys, NOW + timedelta(seconds=offset)) == ["alpha"]) == counts


def test_keys_of_the_variable_come_first_then_the_made_ones_oldest_first(path: Path) -> None:
    keys = ring(path, "own-1 key text", "own-2 key text")
    for name in ("later", "again"):
        keys.add(f"{name} key text", not_before=None, not_after=None)
    assert live(keys) == ["own-1", "own-2", "later", "again"]
    assert [key.made for key in keys.known()] == [False, False, True, True]


def test_key_of_the_variable_is_ended_by_the_file_which_never_holds_its_text(path: Path) -> None:
    keys = ring(path, "own-1 key text")
    keys.retire("own-1", NOW + HOUR, now=NOW)
    assert (live(keys, NOW), live(keys, NOW + HOUR)) == (["own-1"], [])
    assert "key text" not in path.read_text()
    assert live(ring(path), NOW) == [], "without its variable there is nothing to compare with"


def test_ended_key_stays_ended_for_whoever_reads_the_file_next(path: Path) -> None:
    ring(path, "own-1 key text").retire("own-1", NOW, now=NOW)
    assert live(ring(path, "own-1 key text"), NOW) == []


@pytest.mark.parametrize("own", [True, False], ids=["of the variable", "made"])
@pytest.mark.parametrize("later", [timedelta(microseconds=1), HOUR, 400 * 24 * HOUR])
def test_end_that_has_passed_is_never_put_off(path: Path, own: bool, later: timedelta) -> None:
    keys = ring(path, *(["alpha key text"] if own else []))
    if not own:
        keys.add("alpha key text", not_before=None, not_after=None)
    keys.retire("alpha", NOW - HOUR, now=NOW)
    before = path.read_bytes()
    with pytest.raises(EndedBefore) as refused:
        keys.retire("alpha", NOW - HOUR + later, now=NOW)
    assert (refused.value.at, path.read_bytes()) == (NOW - HOUR, before)
    assert live(keys, NOW + HOUR) == []
    keys.retire("alpha", NOW - 2 * HOUR, now=NOW)


def test_end_that_is_still_to_come_may_be_put_off_until_it_has_come(path: Path) -> None:
    keys = ring(path, "own-1 key text")
    keys.retire("own-1", NOW + HOUR, now=NOW)
    keys.retire("own-1", NOW + 2 * HOUR, now=NOW + HOUR - timedelta(microseconds=1))
    with pytest.raises(EndedBefore):
        keys.retire("own-1", NOW + 3 * HOUR, now=NOW + 2 * HOUR)
    assert (live(keys, NOW + HOUR), live(keys, NOW + 2 * HOUR)) == (["own-1"], [])


def test_who_retires_at_once_is_not_overruled_by_who_retires_later_at_the_same_time(path: Path) -> None:
    keys = ring(path, "own-1 key text")

    def ends(at: datetime) -> bool:
        try:
            ring(path, "own-1 key text").retire("own-1", at, now=NOW)
        except EndedBefore:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        done = list(threads.map(ends, [NOW + HOUR, NOW] * 20))
    assert all(done[1::2])
    assert live(keys, NOW) == []


def test_key_added_again_gets_its_new_times(path: Path) -> None:
    keys = ring(path, "own-1 key text")
    keys.add("alpha key text", not_before=None, not_after=None)
    for name in ("alpha", "own-1"):
        keys.retire(name, NOW, now=NOW)
        keys.add(f"{name} key text", not_before=None, not_after=None)
    assert sorted(live(keys)) == ["alpha", "own-1"]
    assert "own-1 key text" not in path.read_text()


def test_running_keyring_sees_what_another_process_wrote(path: Path) -> None:
    running, other = ring(path), ring(path)
    assert live(running) == []
    other.add("alpha key text", not_before=None, not_after=None)
    assert live(running) == ["alpha"]
    other.retire("alpha", NOW, now=NOW)
    assert live(running) == []


def test_file_taken_away_leaves_the_keys_of_the_variable(path: Path) -> None:
    keys = ring(path, "own-1 key text")
    keys.add("alpha key text", not_before=None, not_after=None)
    assert len(live(keys)) == 2
    path.unlink()
    assert live(keys) == ["own-1"]


BROKEN: list[Any] = [
    b"", b"{", b"\xff", b"null", b"5", b'"text"', b'{"id": "a"}', b"[5]", b"[{}]", b'[{"text": "no id at all"}]',
    b'[{"id": "a", "text": 5}]', b'[{"id": "a", "text": ["x"]}]',
    b'[{"id": "a", "text": "alpha key text", "not_after": "never"}]',
    b'[{"id": "a", "text": "alpha key text", "not_after": 5}]',
    b'[{"id": "a", "text": "alpha key text", "not_before": "2026-11-24T09:00:00"}]',
    b"[" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("content", BROKEN)
def test_broken_file_ends_no_key_and_says_so_at_the_keyboard(path: Path, content: bytes) -> None:
    keys = ring(path, "own-1 key text")
    keys.add("alpha key text", not_before=None, not_after=None)
    assert live(keys) == ["own-1", "alpha"]
    path.write_bytes(content)
    assert live(keys) == ["own-1", "alpha"]
    with pytest.raises(BrokenKeyFile, match=path.name):
        keys.known()
    with pytest.raises(BrokenKeyFile):
        keys.retire("own-1", NOW, now=NOW)
    assert path.read_bytes() == content, "nothing is written over what a person may still mend"


@pytest.mark.parametrize("content", BROKEN)
def test_who_starts_with_a_broken_file_has_the_keys_of_the_variable(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    keys = ring(path, "own-1 key text")
    assert live(keys) == ["own-1"]
    path.write_text("[]")
    assert live(keys) == ["own-1"]


def test_key_the_scheme_cannot_use_is_not_kept_and_not_counted(path: Path) -> None:
    with pytest.raises(BadKey):
        ring(path).add("short", not_before=None, not_after=None)
    assert not path.exists()
    assert live(ring(path, "short", "own-1 key text")) == ["own-1"]


def test_unknown_key_cannot_be_ended(path: Path) -> None:
    with pytest.raises(KeyError):
        ring(path, "own-1 key text").retire("other", NOW, now=NOW)


def test_file_is_readable_by_its_owner_alone_and_nothing_is_left_beside_it(path: Path) -> None:
    before = os.umask(0)
    try:
        ring(path).add("alpha key text", not_before=None, not_after=None)
        ring(path).retire("alpha", NOW, now=NOW)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {file.name for file in path.parent.iterdir()} == {path.name, f".{path.name}.lock"}


def write(path: Path, names: list[str]) -> None:
    """Add keys, one after the other."""
    keys = ring(path)
    for name in names:
        keys.add(f"{name} key text", not_before=None, not_after=None)


def test_many_writers_at_once_lose_nothing_and_readers_see_whole_files(path: Path) -> None:
    names = [[f"{writer}-{number:03}" for number in range(15)] for writer in "abcd"]
    with ThreadPoolExecutor(4) as writers:
        written = [writers.submit(write, path, mine) for mine in names]
        while not all(one.done() for one in written):
            assert ring(path).known() is not None
    assert not [one.exception() for one in written if one.exception()]
    assert sorted(live(ring(path))) == sorted(chain(*names))


def test_times_are_kept_with_their_zone(path: Path) -> None:
    ring(path).add("alpha key text", not_before=NOW, not_after=None)
    assert json.loads(path.read_text())[0]["not_before"] == "2026-11-24T09:00:00+00:00"
