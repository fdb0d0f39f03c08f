"""Who complains: sealed for everybody, the same again is known by marks, who is anonymous is not kept."""

import json
from typing import Any

import pytest

from bridge.contacts import is_clear, masked, opened, sealed, without_contacts
from bridge.vault import Unreadable, Vault, new_data_key

VAULT = Vault.under(b"t" * 32)
SITI = {"name": "Siti Kenari", "phone": "+62 812-0000-7777", "email": "siti@warga.example"}


def consumer(**contact: str | None) -> Any:
    return sealed(VAULT, contact).get("consumer")


def test_contact_is_sealed_and_opens_again() -> None:
    kept = sealed(VAULT, {**SITI, "domicile": "31.74", "anonymous": False})
    assert set(kept) == {"anonymous", "domicile", "sealed", "mark", "consumer"}
    assert (kept["domicile"], kept["anonymous"]) == ("31.74", False)
    assert [part for part in ("Siti", "0000", "7777", "warga") if part in json.dumps(kept)] == []
    assert opened(VAULT, kept) == SITI


def test_whatever_else_a_city_says_of_the_reporter_is_sealed_too() -> None:
    kept = sealed(VAULT, {"nik": "3174000000000001"})
    assert "3174000000000001" not in json.dumps(kept)
    assert opened(VAULT, kept) == {"nik": "3174000000000001"}


def test_the_same_contact_differs_in_nothing_but_the_token() -> None:
    first, second = sealed(VAULT, SITI), sealed(VAULT, dict(reversed(SITI.items())))
    assert first.pop("sealed") != second.pop("sealed")
    assert first == second
    assert sealed(VAULT, {**SITI, "phone": "+62 812-0000-7778"})["mark"] != first["mark"]


@pytest.mark.parametrize("reporter", [{}, {"domicile": "31.74"}, {"name": None, "phone": "", "anonymous": False}])
def test_without_a_contact_there_is_nothing_to_seal(reporter: dict[str, Any]) -> None:
    kept = sealed(VAULT, reporter)
    assert kept == {name: reporter[name] for name in ("anonymous", "domicile") if name in reporter}
    assert opened(VAULT, kept) == {}


def test_who_wants_to_be_anonymous_is_not_kept_even_if_sent() -> None:
    assert sealed(VAULT, {**SITI, "anonymous": True, "domicile": "31.74"}) == {"anonymous": True, "domicile": "31.74"}


def test_what_lies_in_clear_from_before_is_read_and_known_for_it() -> None:
    assert opened(VAULT, {**SITI, "domicile": "31.74"}) == SITI
    assert opened(VAULT, {**SITI, "anonymous": True}) == {}
    assert is_clear(SITI)
    assert not is_clear(sealed(VAULT, SITI))
    assert not is_clear({"domicile": "31.74", "name": None})


def test_contact_under_a_key_that_is_gone_is_unreadable() -> None:
    kept = sealed(Vault.under(b"t" * 32, [new_data_key()]), SITI)
    with pytest.raises(Unreadable, match="BRIDGE_DATA_KEY"):
        opened(VAULT, kept)


@pytest.mark.parametrize("reporter", [None, {}])
def test_event_without_a_reporter_stays_as_it_is(reporter: Any) -> None:
    assert without_contacts(VAULT, {"id": "Q-1", "reporter": reporter}) == {"id": "Q-1", "reporter": reporter}
    assert without_contacts(VAULT, {"id": "Q-1"}) == {"id": "Q-1"}


ALIKE = [
    ({"phone": "+62 812-0000-7777"}, {"phone": "0812 0000 7777"}),
    (
        {"phone": "+62 812-0000-7777", "name": "Siti"},
        {"phone": "6281200007777", "name": "Siti Kenari", "email": "s@x.id"},
    ),
    ({"email": "Siti@Warga.example"}, {"email": " siti@warga.example", "name": "S."}),
    ({"name": "Siti  Kenari"}, {"name": "siti kenari,"}),
]
APART = [
    ({"phone": "0812 0000 7777"}, {"phone": "0812 0000 7778"}),
    ({"phone": "0812 0000 7777"}, {"name": "0812 0000 7777"}),
    ({"name": "Siti Kenari"}, {"name": "Siti Kenanga"}),
    ({"email": "siti@a.example"}, {"email": "siti@b.example"}),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_consumer_is_known_again_however_it_is_written(one: dict[str, str], other: dict[str, str]) -> None:
    assert consumer(**one) == consumer(**other) is not None


@pytest.mark.parametrize(("one", "other"), APART)
def test_different_consumers_are_not_taken_for_one(one: dict[str, str], other: dict[str, str]) -> None:
    assert consumer(**one) != consumer(**other)


def test_nobody_is_known_by_a_scrap() -> None:
    assert consumer(phone="08", name=" . ") is None


def test_mask_tells_two_apart_and_lets_nobody_call() -> None:
    assert masked({"name": "Ani Sari", "phone": "081234567812", "email": "ani@warga.example", "nik": "3174"}) == {
        "name": "A••• S•••",
        "phone": "08••••••12",
        "email": "a•••@warga.example",
        "nik": "•••",
    }
    assert masked({"phone": "0812", "email": "no address", "name": ""}) == {"phone": "•••", "email": "•••", "name": ""}
