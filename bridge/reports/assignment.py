"""Who gets a report: the fewest open among those present, by role and element."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from bridge.reports.people import Person, Role


def candidates(people: Iterable[Person], *, office: str, role: Role, element: str = "", now: datetime) -> list[Person]:
    """Return those of the office and role who are present; those of `element` only, if there are any."""
    present = [p for p in people if p.office == office and p.role is role and p.is_present(now)]
    of_element = [p for p in present if element and p.element == element]
    return of_element or present


def choose(
    among: Iterable[Person], open_reports: Mapping[str, int], *, not_these: Collection[str] = ()
) -> Person | None:
    """Return the person with the fewest open reports, or None if nobody is left.

    Args:
        open_reports: Person id to number of open reports; who is not in it has none.
        not_these: Person ids passed over before ("ganti pemain": who did not answer is replaced).
    """
    left = [person for person in among if person.person_id not in not_these]
    return min(left, key=lambda p: (open_reports.get(p.person_id, 0), p.person_id), default=None)
