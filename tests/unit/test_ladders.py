"""Ladders: who stands on a rung at the moment it is reached."""

import pytest

from bridge.reports.clocks import Deed, Step, parse_span
from bridge.reports.ladders import Holder, resolve
from bridge.reports.people import Person, Role
from tests.unit.given import ADMIN, ANI, BUDI, CITRA, EVERYBODY, KADIS, KETUA, MONDAY, OFFICE, SEKAR, a_person, absent

HELD = Holder(OFFICE, "ani")
OTHER_CHAIR = a_person("otherchair", Role.CHAIR, office="elsewhere")
DINAS_CLERK = a_person("dinasclerk", Role.SECRETARIAT, office="dinas")


def reached(
    to: str, deed: Deed, people: tuple[Person, ...] = EVERYBODY, holder: Holder = HELD, **open_reports: int
) -> tuple[str, str | None]:
    """Who is told, and who takes over."""
    step = Step(parse_span("4 working hours"), 1, to, deed)
    target = resolve(step, holder, people, open_reports, now=MONDAY)
    assert target.nobody is (not target.tell)
    return " ".join(p.person_id for p in target.tell), target.assign.person_id if target.assign else None


NAMED = [
    ("assignee", Deed.WARN, EVERYBODY, ("ani", None), "whoever holds it"),
    ("assignee", Deed.WARN, (absent(ANI), BUDI), ("", None), "not when absent"),
    ("person:budi", Deed.NOTIFY, EVERYBODY, ("budi", None), "a person by name"),
    ("person:zaki", Deed.NOTIFY, EVERYBODY, ("", None), "a person who is gone"),
    ("role:chair", Deed.NOTIFY, (*EVERYBODY, OTHER_CHAIR), ("ketua", None), "a role in the report's own office"),
    ("role:chair", Deed.NOTIFY, (absent(KETUA), OTHER_CHAIR), ("otherchair", None), "else anywhere"),
    ("role:chair", Deed.NOTIFY, (absent(KETUA), ANI), ("", None), "else nobody"),
    ("role:dinas_head", Deed.NOTIFY, EVERYBODY, ("kadis", None), "the Dinas stands above every office"),
    ("role:admin", Deed.NOTIFY, EVERYBODY, ("admin", None), "so does the city"),
    ("role:officer", Deed.NOTIFY, EVERYBODY, ("ani budi citra", None), "all of a role"),
    ("role:officer", Deed.REASSIGN, (CITRA, BUDI), ("citra budi", "budi"), "all are told, one takes over"),
    ("role:secretariat", Deed.BOTH, EVERYBODY, ("sekar", "sekar"), "the secretariat takes over"),
    ("role:chair", Deed.BOTH, (absent(KETUA),), ("", None), "nobody there takes over"),
    ("person:budi", Deed.NOTIFY, (absent(BUDI), ANI), ("", None), "a person who is away"),
    ("office:dinas", Deed.NOTIFY, (*EVERYBODY, DINAS_CLERK), ("dinasclerk", None), "an office: its secretariat"),
    ("office:dinas", Deed.NOTIFY, (ANI, absent(DINAS_CLERK), KADIS), ("kadis", None), "else everybody there"),
    ("office:nowhere", Deed.NOTIFY, EVERYBODY, ("", None), "an office nobody belongs to"),
    ("citizen", Deed.NOTIFY, EVERYBODY, ("", None), "the citizen is told through the city, not by us"),
]


@pytest.mark.parametrize(("to", "deed", "people", "expected", "remark"), NAMED)
def test_rung_reaches_the_people_its_words_mean(
    to: str, deed: Deed, people: tuple[Person, ...], expected: tuple[str, str | None], remark: str
) -> None:
    assert reached(to, deed, people) == expected, remark


NEXT = [
    (HELD, {}, ("budi", "budi"), "the next by name, all having none"),
    (HELD, {"budi": 2, "citra": 1}, ("citra", "citra"), "the one with the fewest open"),
    (Holder(OFFICE, "budi", ("ani",)), {}, ("citra", "citra"), "nobody twice in a cycle"),
    (Holder(OFFICE, "citra", ("ani", "budi")), {}, ("", None), "all have had it: nobody"),
    (Holder(OFFICE, None), {}, ("ani", "ani"), "nobody held it"),
    (Holder("elsewhere", "ani"), {}, ("", None), "an office without members"),
]


@pytest.mark.parametrize(("holder", "open_reports", "expected", "remark"), NEXT)
def test_next_member_has_not_had_it_in_this_cycle(
    holder: Holder, open_reports: dict[str, int], expected: tuple[str, str | None], remark: str
) -> None:
    assert reached("next_member", Deed.BOTH, EVERYBODY, holder, **open_reports) == expected, remark


def test_members_who_are_absent_are_passed_over() -> None:
    assert reached("next_member", Deed.REASSIGN, (ANI, absent(BUDI), CITRA)) == ("citra", "citra")


def test_next_member_who_is_only_told_does_not_take_over() -> None:
    assert reached("next_member", Deed.NOTIFY) == ("budi", None)


def test_everybody_of_these_tests_has_a_role_of_their_own() -> None:
    assert {p.role for p in (ANI, SEKAR, KETUA, KADIS, ADMIN)} == set(Role)
