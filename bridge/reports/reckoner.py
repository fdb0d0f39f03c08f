"""Due times of many clocks: most that start in the same hour are due at the same instant, reckoned once for all."""

from datetime import datetime, timedelta

from bridge.reports.calendars import NoWorkingTime, WorkingCalendar
from bridge.reports.clocks import ClockState, Obligation, Policy, Span, changed, due_at

_HOUR = timedelta(hours=1)
_SPAN = -1
_RUNNING = ClockState.RUNNING


class Reckoner:
    """When clocks of one policy and one calendar are due: the same as due_at.

    Who starts later on the same day is never due earlier. So where the first and the last moment of an hour lead to
    the same instant, every moment between does, too: what came in at night or on a day off, what is counted in days.
    """

    def __init__(self, policy: Policy, calendar: WorkingCalendar) -> None:
        self.policy, self.calendar = policy, calendar
        #: By step, day and hour (UTC) of the start; None where it differs within the hour.
        self._shared: dict[tuple[int, int, int], datetime | None] = {}

    def timed(self, obligation: Obligation) -> Obligation:
        """Return the clock with its due times computed from scratch; see clocks.timed."""
        running = obligation.state is _RUNNING and obligation.step < len(self.policy.steps)
        return changed(
            obligation,
            next_due=self.step_due(obligation, obligation.step) if running else None,
            deadline_at=self._due(obligation, _SPAN, self.policy.span),
            calendar_version=self.calendar.version,
        )

    def step_due(self, obligation: Obligation, number: int) -> datetime:
        """Return when that step of the policy is due, counted from 0."""
        return self._due(obligation, number, self.policy.steps[number].at)

    def _due(self, obligation: Obligation, number: int, span: Span) -> datetime:
        if not obligation.pauses:
            start = obligation.started_at
            key = (number, start.toordinal(), start.hour)
            if key not in self._shared:
                self._shared[key] = self._shared_due(obligation, span)
            if shared := self._shared[key]:
                return shared
        return self._reckoned(obligation, span)

    def _shared_due(self, obligation: Obligation, span: Span) -> datetime | None:
        first = obligation.started_at.replace(minute=0, second=0, microsecond=0)
        ends = first, first + _HOUR - datetime.resolution
        days = {(local.date(), local.utcoffset()) for local in map(self.calendar.local, ends)}
        if len(days) > 1:  # midnight, or the clock on the wall is set, within the hour
            return None
        try:
            dues = {self._reckoned(changed(obligation, started_at=end), span) for end in ends}
        except NoWorkingTime:  # for the clock itself there may be enough
            return None
        return dues.pop() if len(dues) == 1 else None

    def _reckoned(self, obligation: Obligation, span: Span) -> datetime:
        return due_at(obligation, span, self.calendar, self.policy.days)
