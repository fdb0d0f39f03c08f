"""The siding: a message nobody could handle is on a person's worklist, whole, once."""

import hashlib

from consumers.runtime import DeadLetter
from consumers.set_aside import SetAside
from tests.storage.crashes import survives_every_crash
from tests.storage.office import ARRIVALS, Office, plain


def _messages(*letters: DeadLetter) -> list[dict[str, object]]:
    return [{"id": letter.message_id, "type": "dead.letter", "data": letter} for letter in letters]


def test_dead_letter_is_kept_whole_with_its_queue_and_a_reason(office: Office) -> None:
    body = bytes(range(256))
    SetAside(office.database, ARRIVALS.vault).handle(_messages(DeadLetter("bridge.intake.dead", "m1", body)))
    (row,) = office.rows("set_aside")
    assert (row["source"], row["webhook_id"], row["why"], row["state"]) == (
        "bridge.intake.dead",
        "m1",
        "dead_letter",
        "waiting",
    )
    assert (plain(row), row["sha256"]) == (body, hashlib.sha256(body).hexdigest())
    assert "bridge.intake.dead" in row["reasons"][0]


def test_letter_that_comes_again_is_one_line(office: Office) -> None:
    letter = DeadLetter("bridge.intake.dead", "m1", b"x")
    for _ in range(3):
        SetAside(office.database, ARRIVALS.vault).handle(_messages(letter, letter))
    assert len(office.rows("set_aside")) == 1


def test_letters_that_differ_in_anything_are_lines_of_their_own(office: Office) -> None:
    letters = [
        DeadLetter(queue, name, body) for queue in ("a.dead", "b.dead") for name in ("m1", "") for body in (b"x", b"y")
    ]
    SetAside(office.database, ARRIVALS.vault).handle(_messages(*letters))
    assert len(office.rows("set_aside")) == 8


def test_letter_a_person_has_dealt_with_is_not_opened_again(office: Office) -> None:
    letter = DeadLetter("bridge.intake.dead", "m1", b"x")
    SetAside(office.database, ARRIVALS.vault).handle(_messages(letter))
    office.set("set_aside", {"state": "discarded"})
    SetAside(office.database, ARRIVALS.vault).handle(_messages(letter))
    assert [row["state"] for row in office.rows("set_aside")] == ["discarded"]


def test_death_between_any_two_statements_sets_all_aside_or_none(office: Office) -> None:
    letters = _messages(DeadLetter("bridge.intake.dead", "m1", b"x"), DeadLetter("bridge.notices.dead", "m2", b"y"))

    def none() -> None:
        assert office.rows("set_aside") == []

    assert (
        survives_every_crash(office.database, lambda: SetAside(office.database, ARRIVALS.vault).handle(letters), none)
        >= 3
    )
    assert len(office.rows("set_aside")) == 2
