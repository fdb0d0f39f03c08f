"""What changes the rules: policies, calendars, the clocks of a whole country, and an operator who applies it."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from hypothesis.stateful import rule

from bridge.reports.recompute import CalendarChange, PolicyChange
from tests.invariants.clock import MONDAY
from tests.invariants.judged import Judged
from tests.invariants.town import apply_rules, edited, read_again

USUAL_S = {"Asia/Jakarta": 25_200, "Europe/Amsterdam": 3600}


class RuleMakers(Judged):
    """Who makes rules, and the operator."""

    @rule()
    def policies_are_edited(self) -> None:
        """Clocks that run keep the policies they were started with."""
        self.day += 1
        self.use()

    @rule(how=st.integers(0, 3), holiday=st.integers(0, 3))
    def calendar_is_edited(self, how: int, holiday: int) -> None:
        """Clocks that run keep the calendar they were started with."""
        self.calendar = edited(self.calendar, how, (MONDAY + timedelta(days=holiday)).date())
        self.use()

    @rule(hours=st.sampled_from([-1, 0, 0.5, 1]), after_h=st.sampled_from([-1, 0, 3, 24]), applied=st.booleans())
    def government_changes_the_zone(self, hours: float, after_h: int, applied: bool) -> None:
        """Summer time, or another hour, comes or goes: the machine's database of zones says so, and no file of ours."""
        zone = self.calendar.zone
        now_s = offset_of(zone, self.clock.at)
        self.zones.change(zone, now_s, (self.clock.at + timedelta(hours=after_h), round(USUAL_S[zone] + 3600 * hours)))
        self.calendar = read_again(self.calendar)
        self.use()
        self.did["zone changed"] += 1
        if applied:
            self.every_invariant_holds()
            self.rules_are_applied(CalendarChange)

    @rule(what=st.sampled_from([CalendarChange, PolicyChange]))
    def rules_are_applied(self, what: type[CalendarChange | PolicyChange]) -> None:
        """An operator gives the clocks that run the calendar, or the policies, of today."""
        apply_rules(self.office, what)
        for clock in (clock for report in self.model.reports.values() for clock in report.clocks.values()):
            if what is CalendarChange:
                clock.take_calendar(self.model.rules.calendar)
            else:
                clock.take_policy(self.model.rules.policies[clock.kind])


def offset_of(zone: str, at: datetime) -> int:
    """Return how many seconds ahead of UTC the zone is by now's database."""
    ahead = at.astimezone(ZoneInfo(zone)).utcoffset()
    assert ahead is not None
    return round(ahead.total_seconds())
