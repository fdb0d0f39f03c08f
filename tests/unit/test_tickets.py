"""Tickets and report ids: recomputed by anybody with the key, read back from what people type."""

import re
import uuid
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.reports.tickets import CROCKFORD, REPORTS, read_ticket, report_id_for, ticket_for

KEY = b"unit tests, thirty-two bytes....."
SOME = [ticket_for(KEY, "qlue", f"QL-{number}") for number in range(60)]
#: Known answers: a ticket is printed on paper and must never change.
KNOWN = ("bb403c24-7a8c-5c44-b0ad-52bcd6cb66d1", "SGK8-4B53-KHZQ")

external_ids = st.text(st.characters(exclude_categories=["Cs"]), max_size=128)


def plain(ticket: str) -> str:
    return ticket.replace("-", "")


def test_known_report_has_the_id_and_ticket_it_always_had() -> None:
    assert (report_id_for("qlue", "QL-88121"), ticket_for(KEY, "qlue", "QL-88121")) == KNOWN


@given(external_ids)
def test_same_report_gets_the_same_names_again(external_id: str) -> None:
    assert ticket_for(KEY, "qlue", external_id) == ticket_for(KEY, "qlue", external_id)
    assert report_id_for("qlue", external_id) == report_id_for("qlue", external_id)


@given(external_ids)
def test_ticket_has_its_form_and_is_read_back_as_itself(external_id: str) -> None:
    ticket = ticket_for(KEY, "qlue", external_id)
    assert re.fullmatch("-".join([f"[{CROCKFORD}]{{4}}"] * 3), ticket)
    assert read_ticket(ticket) == ticket
    assert report_id_for("qlue", external_id) == str(uuid.uuid5(REPORTS, f"qlue/{external_id}"))


def test_other_source_id_or_key_gives_another_ticket() -> None:
    others = {
        ticket_for(KEY, "jaki", "QL-88121"),
        ticket_for(KEY, "qlue", "QL-88122"),
        ticket_for(KEY + b".", "qlue", "QL-88121"),
        ticket_for(KEY, "qlue", "QL-88121"),
    }
    assert len(others) == 4
    assert report_id_for("jaki", "QL-88121") != report_id_for("qlue", "QL-88121")


TYPED = [
    ("sgk8-4b53-khzq", "small letters"),
    ("SGK84B53KHZQ", "no dashes"),
    (" SGK8 4B53 KHZQ ", "blanks"),
    ("SG-K84B-53KH-ZQ", "dashes elsewhere"),
]


@pytest.mark.parametrize(("typed", "remark"), TYPED)
def test_ticket_is_read_however_a_person_typed_it(typed: str, remark: str) -> None:
    assert read_ticket(typed) == KNOWN[1], remark


@pytest.mark.parametrize("ticket", SOME)
def test_look_alikes_are_forgiven_in_every_place(ticket: str) -> None:
    for digit, letters in (("1", "IiLl"), ("0", "Oo")):
        for letter in letters:
            assert read_ticket(ticket.replace(digit, letter)) == ticket


@pytest.mark.parametrize("ticket", SOME)
def test_every_slip_in_a_single_character_is_noticed(ticket: str) -> None:
    right = plain(ticket)
    for place, wrong in product(range(12), CROCKFORD):
        typed = right[:place] + wrong + right[place + 1 :]
        assert read_ticket(typed) == (ticket if wrong == right[place] else None)


@pytest.mark.parametrize("ticket", SOME)
def test_neighbours_swapped_are_noticed_except_zero_and_z(ticket: str) -> None:
    right = plain(ticket)
    for place in range(11):
        first, second = right[place], right[place + 1]
        typed = right[:place] + second + first + right[place + 2 :]
        # Luhn cannot tell the first symbol from the last one: 0 and Z, as 0 and 9 in a bank card's number.
        unnoticed = first == second or {first, second} == {"0", "Z"}
        assert (read_ticket(typed) is not None) is unnoticed


def test_zero_and_z_swapped_are_the_only_pair_that_passes() -> None:
    passing = set()
    for first, second in product(CROCKFORD, repeat=2):
        check = next(c for c in CROCKFORD if read_ticket(f"{first}{second}000000000{c}"))
        if first != second and read_ticket(f"{second}{first}000000000{check}"):
            passing.add((first, second))
    assert passing == {("0", "Z"), ("Z", "0")}


NO_TICKETS = [
    "",
    "SGK8-4B53-KHZ",
    "SGK8-4B53-KHZQQ",
    "SGK8-4B53-KHZU",
    "SGK8-4B53-KHZ!",
    "ＳGK8-4B53-KHZQ",
    "\x00" * 12,
]


@pytest.mark.parametrize("typed", NO_TICKETS)
def test_what_cannot_be_a_ticket_is_none(typed: str) -> None:
    assert read_ticket(typed) is None


@given(st.text())
def test_anything_typed_is_a_ticket_or_none_never_an_error(typed: str) -> None:
    found = read_ticket(typed)
    assert found is None or read_ticket(found) == found
