"""People: who is present when."""

from datetime import datetime, timedelta

import pytest

from tests.unit.given import ANI, MONDAY, a_person

DAY = timedelta(days=1)
ABSENCES = [
    (None, None, True, "never said to be absent"),
    (MONDAY + DAY, MONDAY + 2 * DAY, True, "absent from tomorrow on"),
    (MONDAY, MONDAY + DAY, False, "the first instant of an absence"),
    (MONDAY - DAY, MONDAY + DAY, False, "in the middle of it"),
    (MONDAY - DAY, MONDAY, True, "its last instant is over"),
    (MONDAY - DAY, None, False, "absent until further notice"),
    (None, MONDAY + DAY, True, "an end without a beginning is no absence"),
]


@pytest.mark.parametrize(("since", "until", "present", "remark"), ABSENCES)
def test_person_is_present_except_within_their_absence(
    since: datetime | None, until: datetime | None, present: bool, remark: str
) -> None:
    assert a_person("ani", absent_from=since, absent_until=until).is_present(MONDAY) is present, remark


def test_people_are_written_to_in_indonesian_unless_they_choose() -> None:
    assert ANI.language == "id"
