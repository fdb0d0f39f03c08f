"""The people of an office, as far as decisions need them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Role(StrEnum):
    """What a person may do; an officer is a member of the body who handles reports."""

    OFFICER = "officer"
    SECRETARIAT = "secretariat"
    CHAIR = "chair"
    DINAS_HEAD = "dinas_head"
    ADMIN = "admin"


@dataclass(frozen=True)
class Person:
    """Somebody who can be told, assigned or escalated to.

    `element` is the member's element by law (government, consumer, business) or empty. Absence is a span of
    aware instants in which nothing is assigned to the person and nobody waits for them; `stand_in`, a person's id,
    is told in their place then. `channels` are the ways to tell them in order, each `name` or `name:address`;
    `quiet`, `digest` and `turned_off` are read in preferences.py.
    """

    person_id: str
    name: str
    role: Role
    office: str
    email: str = ""
    element: str = ""
    language: str = "id"
    absent_from: datetime | None = None
    absent_until: datetime | None = None
    channels: tuple[str, ...] = ("email",)
    quiet: str = ""
    digest: str = ""
    turned_off: tuple[str, ...] = ()
    stand_in: str | None = None

    def is_present(self, now: datetime) -> bool:
        """Tell whether the person is at work, as far as their absence says."""
        if self.absent_from is None or now < self.absent_from:
            return True
        return self.absent_until is not None and now >= self.absent_until
