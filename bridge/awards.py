"""The dates after an award, for the pages: when the case was closed and which calendar counts."""

from collections.abc import Mapping, Sequence
from typing import Any

from bridge.reports.after_award import PartyDate, after_award
from bridge.reports.clocks import Obligation
from bridge.reports.report import Report
from bridge.rules import Rules


def dates_after_award(
    rules: Rules, report: Report, owed: Sequence[Obligation], history: Sequence[Mapping[str, Any]]
) -> Sequence[PartyDate]:
    """Return what `after_award` does, from a report's rows."""
    closed = [line["at"] for line in history if line["event"] == "close" and line["cycle"] == report.cycle]
    if not closed:
        return ()
    return rules.deciding(lambda: after_award(report, closed[-1], rules.book.calendar_of(report.office, report, owed)))
