"""What the law leaves to the parties after an award: dates to be shown, no clocks, for nobody at the office owes them.

Decision 0020 says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bridge.reports.calendars import WorkingCalendar
from bridge.reports.daycounts import FROM_NEXT_DAY, due_on
from bridge.reports.report import Report
from bridge.reports.states import Outcome, Status


@dataclass(frozen=True)
class PartyDate:
    """Until when (UTC) a party may or must do something: so many working days, by this article."""

    what: str  # implementation | objection
    due: datetime
    days: int
    source: str


#: UU 8/1999 art. 56(1): the business carries an award out within 7 working days of receiving it; 56(2): the parties may
#: object at the district court within 14. Neither was compared with the text (domain.md B2).
_IMPLEMENTATION = ("implementation", 7, "UU 8/1999 pasal 56(1)")
_OBJECTION = ("objection", 14, "UU 8/1999 pasal 56(2)")
_AFTER = {Outcome.GRANTED: (_IMPLEMENTATION, _OBJECTION), Outcome.REJECTED: (_OBJECTION,)}


def after_award(report: Report, closed_at: datetime, calendar: WorkingCalendar) -> Sequence[PartyDate]:
    """Return the dates that follow an award; none when the report was not closed by one.

    Args:
        closed_at: When the case was closed here; the law counts from when a party received the award, which nobody
            tells us.

    Raises:
        NoWorkingTime: not so many working days in the ten years after that.
    """
    if report.status is not Status.CLOSED or not report.case_number or report.outcome is None:
        return ()
    return [
        PartyDate(what, due_on(calendar, closed_at, days, FROM_NEXT_DAY), days, source)
        for what, days, source in _AFTER.get(report.outcome, ())
    ]
