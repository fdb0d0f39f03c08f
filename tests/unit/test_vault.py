"""Sealing: the first key seals, each opens, what lies under another one is renewed."""

import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.vault import BadDataKey, Unreadable, Vault, data_key, is_token, new_data_key

MASTER = b"t" * 32
OLD, NEW = new_data_key(), new_data_key()
BEFORE, AFTER = Vault.under(MASTER, [OLD]), Vault.under(MASTER, [NEW, OLD])


@given(st.binary(max_size=200))
def test_what_is_sealed_opens_again_also_after_the_keys_changed(plain: bytes) -> None:
    assert AFTER.open(BEFORE.seal(plain)) == plain
    assert is_token(BEFORE.seal(plain))


def test_key_that_comes_of_the_ticket_key_always_opens() -> None:
    assert AFTER.open(Vault.under(MASTER).seal(b"x")) == b"x"


def test_key_that_was_taken_away_is_told_with_what_to_do() -> None:
    with pytest.raises(Unreadable, match="put the old one back behind the new"):
        Vault.under(MASTER, [NEW]).open(BEFORE.seal(b"x"))


def test_renewed_is_under_the_first_key_and_stays_as_it_is_the_second_time() -> None:
    renewed = AFTER.renewed(BEFORE.seal(b"x"))
    assert Vault.under(b"another master of 32 bytes......", [NEW]).open(renewed) == b"x"
    assert AFTER.renewed(renewed) == renewed


@pytest.mark.parametrize(
    "clear", [b'{"type": "report.submitted"}', b"gAAAA", b"gAAAAB" + b"A" * 94, b"\xff\x00", b"Siti"]
)
def test_what_lies_in_clear_is_sealed(clear: bytes) -> None:
    assert not is_token(clear)
    assert AFTER.open(AFTER.renewed(clear)) == clear


def test_nothing_stays_nothing() -> None:
    assert AFTER.renewed(b"") == b""


def test_renewing_never_takes_what_no_key_opens_for_clear() -> None:
    foreign = Vault.under(os.urandom(32)).seal(b"x")
    with pytest.raises(Unreadable):
        AFTER.renewed(foreign)


@given(st.binary(max_size=400))
def test_bytes_that_were_not_sealed_are_hardly_ever_taken_for_a_token(plain: bytes) -> None:
    assert not is_token(plain)
    assert not is_token(base64.urlsafe_b64encode(plain))


def test_marks_are_the_same_for_the_same_whatever_the_data_keys() -> None:
    assert BEFORE.mark("x") == AFTER.mark("x") != BEFORE.mark("y")
    assert Vault.under(os.urandom(32)).mark("x") != BEFORE.mark("x")


@pytest.mark.parametrize("text", ["", "short", "ö" * 32, "A" * 44])
def test_what_is_no_key_is_refused_with_how_to_make_one(text: str) -> None:
    with pytest.raises(BadDataKey, match="bridge data-key new"):
        data_key(text)


def test_made_key_is_one() -> None:
    data_key(new_data_key())


@pytest.mark.parametrize("token", [b"", b"gAAAAA", b"\xff" * 80, b"A" * 100])
def test_damage_is_unreadable_and_nothing_worse(token: bytes) -> None:
    with pytest.raises(Unreadable):
        Vault.under(MASTER).open(token)


def test_every_changed_byte_is_found() -> None:
    vault = Vault.under(MASTER)
    token = bytearray(base64.urlsafe_b64decode(vault.seal(b"a")))
    for place in range(len(token)):
        changed = token.copy()
        changed[place] ^= 1
        with pytest.raises(Unreadable):
            vault.open(base64.urlsafe_b64encode(bytes(changed)))
