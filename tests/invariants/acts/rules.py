"""What changes the rules: policies, calendars, the clocks of a whole country, and an operator who applies it."""

from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import rule

from bridge.reports.recompute import CalendarChange, PolicyChange
from tests.invariants.clock import MONDAY
from tests.invariants.judged import Judged
from tests.invariants.town import apply_rules, edited


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

    @rule(what=st.sampled_from([CalendarChange, PolicyChange]))
    def rules_are_applied(self, what: type[CalendarChange | PolicyChange]) -> None:
        """An operator gives the clocks that run the calendar, or the policies, of today."""
        apply_rules(self.office, what)
        for clock in (clock for report in self.model.reports.values() for clock in report.clocks.values()):
            if what is CalendarChange:
                clock.take_calendar(self.calendar)
            else:
                clock.take_policy(self.model.rules.policies[clock.kind])
