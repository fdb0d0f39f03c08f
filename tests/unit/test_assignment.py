"""Assignment: the fewest open among those present."""

from collections.abc import Sequence

import pytest

from bridge.reports.assignment import candidates, choose
from bridge.reports.people import Person, Role
from tests.unit.given import ANI, BUDI, CITRA, EVERYBODY, MONDAY, OFFICE, a_person, absent

CONSUMER = a_person("dewi", element="consumer")
ELSEWHERE = a_person("eko", office="dinas")


def names(people: Sequence[Person]) -> str:
    return " ".join(person.person_id for person in people)


CANDIDATES = [
    ((ANI, BUDI), "", "ani budi", "everybody of the role who is there"),
    ((ANI, absent(BUDI)), "", "ani", "not who is absent"),
    ((ANI, ELSEWHERE), "", "ani", "not who belongs to another office"),
    ((ANI, CONSUMER), "consumer", "dewi", "of the element, if there is one"),
    ((ANI, absent(CONSUMER)), "consumer", "ani", "else of any element"),
    ((ANI, CONSUMER), "", "ani dewi", "all elements, when none is asked for"),
    ((absent(ANI),), "", "", "nobody"),
    (EVERYBODY, "", "ani budi citra", "no other roles"),
]


@pytest.mark.parametrize(("people", "element", "found", "remark"), CANDIDATES)
def test_candidates_are_those_of_office_and_role_who_are_present(
    people: tuple[Person, ...], element: str, found: str, remark: str
) -> None:
    among = candidates(people, office=OFFICE, role=Role.OFFICER, element=element, now=MONDAY)
    assert names(among) == found, remark


CHOSEN = [
    ({"ani": 3, "budi": 1, "citra": 2}, (), "budi", "the fewest open reports"),
    ({"ani": 1, "budi": 1}, (), "citra", "who is not counted has none"),
    ({}, (), "ani", "all alike: the first by name, so that all workers choose alike"),
    ({"ani": 0, "budi": 9, "citra": 9}, ("ani",), "budi", "not who was passed over, even with none open"),
    ({}, ("ani", "budi", "citra"), None, "nobody left"),
]


@pytest.mark.parametrize(("open_reports", "passed_over", "chosen", "remark"), CHOSEN)
def test_person_with_the_fewest_open_reports_is_chosen(
    open_reports: dict[str, int], passed_over: tuple[str, ...], chosen: str | None, remark: str
) -> None:
    for order in ((ANI, BUDI, CITRA), (CITRA, BUDI, ANI)):
        person = choose(order, open_reports, not_these=passed_over)
        assert (person.person_id if person else None) == chosen, remark
