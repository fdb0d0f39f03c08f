"""All that people configured, in the form decisions take it: routing rules, offices, calendars, policies."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bridge.reports.calendars import WorkingCalendar
from bridge.reports.clocks import Kind, Obligation, Policy
from bridge.reports.report import Report
from bridge.reports.routing import Rule, route


@dataclass(frozen=True)
class Office:
    """A body reports are routed to, and the calendar its working time is counted in."""

    office_id: str
    name: str
    calendar: str
    address: str = ""
    phone: str = ""


class UnknownVersion(LookupError):
    """A policy or calendar version a running clock was frozen with is not loaded."""

    def __init__(self, version: str) -> None:
        self.version = version
        super().__init__(f"version {version} is not known here")


@dataclass(frozen=True)
class Rulebook:
    """Today's configuration, plus every earlier version that running clocks still hold on to."""

    rules: tuple[Rule, ...]
    offices: Mapping[str, Office]
    calendars: Mapping[str, WorkingCalendar]
    policies: Mapping[str, Mapping[Kind, Policy]]
    told_back: frozenset[str] = frozenset()  # sources with a callback address
    numbers_from: int = 0  # what cities are told of a new report has higher numbers
    policy_versions: dict[str, Policy] = field(default_factory=dict)
    calendar_versions: dict[str, WorkingCalendar] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for calendar in self.calendars.values():
            self.calendar_versions[calendar.version] = calendar
        for policy_set in self.policies.values():
            for policy in policy_set.values():
                self.policy_versions[policy.version] = policy

    def calendar_for(self, office: str) -> WorkingCalendar:
        """Return today's calendar of an office of the files."""
        return self.calendars[self.offices[office].calendar]

    def calendar_of(self, office: str, report: Report, obligations: Iterable[Obligation]) -> WorkingCalendar:
        """Return the calendar an office counts a report's time in, today.

        An office that is no more in the files has none. The report then goes on in the calendar its own clocks hold,
        as that calendar is today where its file is still there: by it the citizen was told when. Of several clocks an
        open one decides, then the one started last. Without any, it is counted where it would be routed today.

        Raises:
            UnknownVersion: load it from the store of versions and ask again.
        """
        if office in self.offices:
            return self.calendar_for(office)
        latest = max(obligations, key=lambda o: (o.ended_at is None, o.cycle, o.started_at, o.kind), default=None)
        if latest is None:
            return self.calendar_for(route(report.facts, self.rules).rule.office)
        held = self._held(latest.calendar_version)
        return self.calendars.get(held.name, held)

    def office_called(self, office: str) -> Office:
        """Return an office; one that is no more in the files has its id for a name, and no calendar."""
        return self.offices.get(office) or Office(office, office, "")

    def policy_for(self, name: str, kind: Kind) -> Policy | None:
        """Return today's policy of a kind in the named set; the set `default` fills what a set leaves out."""
        return self.policies.get(name, {}).get(kind) or self.policies["default"].get(kind)

    def frozen(self, obligation: Obligation) -> tuple[Policy, WorkingCalendar]:
        """Return the policy and calendar the obligation's clock was started with.

        Raises:
            UnknownVersion: load it from the store of versions and ask again.
        """
        policy = self.policy_versions.get(obligation.policy_version)
        if policy is None:
            raise UnknownVersion(obligation.policy_version)
        return policy, self._held(obligation.calendar_version)

    def _held(self, version: str) -> WorkingCalendar:
        calendar = self.calendar_versions.get(version)
        if calendar is None:
            raise UnknownVersion(version)
        return calendar
