"""Who stands on a rung: from the words of a policy to persons, at the moment the rung is reached."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bridge.reports.assignment import candidates, choose
from bridge.reports.clocks import Deed, Step
from bridge.reports.people import Person, Role


@dataclass(frozen=True)
class Target:
    """Whom a step reaches: the persons to tell, and the new assignee if the report changes hands."""

    tell: tuple[Person, ...]
    assign: Person | None = None

    @property
    def nobody(self) -> bool:
        """Tell whether the step reaches no one at all."""
        return not self.tell and self.assign is None


@dataclass(frozen=True)
class Holder:
    """What a ladder must know of the report: its office and whose desk it is and was on in this cycle."""

    office: str
    assignee: str | None
    assigned_before: Collection[str] = ()


def resolve(
    step: Step,
    holder: Holder,
    people: Sequence[Person],
    open_reports: Mapping[str, int],
    *,
    now: datetime,
) -> Target:
    """Return whom the step reaches, absent people left out.

    A role is looked for in the report's own office first, then anywhere (the Dinas and the city stand above
    every office). An empty target is not an error here: the engine goes to the next step at once.
    """
    if step.to == "next_member":
        return _next_member(step, holder, people, open_reports, now=now)
    found = _named(step.to, holder, people, now=now)
    if step.deed in (Deed.REASSIGN, Deed.BOTH) and found:
        heir = choose(found, open_reports)
        return Target(tell=tuple(found), assign=heir)
    return Target(tell=tuple(found))


def _next_member(
    step: Step,
    holder: Holder,
    people: Iterable[Person],
    open_reports: Mapping[str, int],
    *,
    now: datetime,
) -> Target:
    members = candidates(people, office=holder.office, role=Role.OFFICER, now=now)
    tried = {*holder.assigned_before, holder.assignee or ""}
    heir = choose(members, open_reports, not_these=tried)
    if heir is None:
        return Target(tell=())
    takes_over = step.deed in (Deed.REASSIGN, Deed.BOTH)
    return Target(tell=(heir,), assign=heir if takes_over else None)


def _named(to: str, holder: Holder, people: Sequence[Person], *, now: datetime) -> list[Person]:
    kind, _, name = to.partition(":")
    if kind == "assignee":
        return [p for p in people if p.person_id == holder.assignee and p.is_present(now)]
    if kind == "person":
        return [p for p in people if p.person_id == name and p.is_present(now)]
    if kind == "role":
        role = Role(name)
        own = candidates(people, office=holder.office, role=role, now=now)
        return own or [p for p in people if p.role is role and p.is_present(now)]
    if kind == "office":
        there = [p for p in people if p.office == name and p.is_present(now)]
        # An office is told through its secretariat, where it has one.
        return [p for p in there if p.role is Role.SECRETARIAT] or there
    return []
