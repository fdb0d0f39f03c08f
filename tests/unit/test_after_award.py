"""What follows an award: dates for the parties, in working days of the office's calendar."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from bridge.reports.after_award import after_award
from bridge.reports.states import Outcome, Status
from tests.unit.given import MONDAY, a_calendar, a_report


def dates(outcome: Outcome | None, at: datetime = MONDAY, **changes: Any) -> list[tuple[str, datetime, int]]:
    case = {"status": Status.CLOSED, "outcome": outcome, "case_number": "17/BPSK", **changes}
    return [(one.what, one.due, one.days) for one in after_award(a_report(**case), at, a_calendar())]


def end_of(days: int) -> datetime:
    """The end of the working day so many days after Monday."""
    return a_calendar().spans_on((MONDAY + timedelta(days=days)).date())[-1][1]


def test_award_names_both_dates_in_working_days() -> None:
    """Closed on a Monday: seven working days end on Wednesday of the next week, fourteen on Friday after that."""
    assert dates(Outcome.GRANTED) == [("implementation", end_of(9), 7), ("objection", end_of(18), 14)]


def test_rejected_claim_can_be_objected_to_and_leaves_nothing_to_carry_out() -> None:
    assert [what for what, *_ in dates(Outcome.REJECTED)] == ["objection"]


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": Outcome.SETTLED},
        {"outcome": Outcome.LAPSED},
        {"outcome": Outcome.GRANTED, "case_number": None},
        {"outcome": None, "status": Status.REGISTERED},
    ],
    ids=["settled", "lapsed", "no case", "still open"],
)
def test_nothing_follows_what_is_no_award(changes: dict[str, Any]) -> None:
    assert dates(**changes) == []


def test_every_date_names_its_article() -> None:
    case = a_report(status=Status.CLOSED, outcome=Outcome.GRANTED, case_number="17/BPSK")
    assert [one.source for one in after_award(case, MONDAY, a_calendar())] == [
        "UU 8/1999 pasal 56(1)",
        "UU 8/1999 pasal 56(2)",
    ]
