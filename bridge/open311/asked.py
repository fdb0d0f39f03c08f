"""What a query asks for: the limits of the specification, and every fault of a query at once."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from werkzeug.datastructures import MultiDict

from bridge.open311.dates import NotADate, read_asked
from bridge.open311.form import first_of
from bridge.open311.rendering import Refused
from bridge.open311.services import SERVICES
from bridge.reports.intake import UNSORTED
from bridge.storage.open311 import MOST, Wanted

#: The longest time a query may span, and the one it spans when it names none.
LONGEST = timedelta(days=90)
_MOST_PAGES = 100_000
_WHOLE = re.compile(r"\d{1,6}", re.ASCII)
_STATUSES = ("open", "closed")

Arguments = MultiDict[str, Any]


@dataclass(frozen=True)
class _Fault:
    """What is wrong with one argument."""

    description: str


def each(arguments: Arguments, name: str) -> list[str]:
    """Return the values of an argument that may be given several times, and separated by commas."""
    return [value.strip() for text in arguments.getlist(name) for value in text.split(",") if value.strip()]


def wanted_by(arguments: Arguments, sources: Collection[str], now: datetime) -> Wanted:
    """Return which reports are asked for.

    Raises:
        Refused: a date that is none, more than 90 days, a status there is not, a page that cannot be.
    """
    statuses = {status.lower() for status in each(arguments, "status")}
    if unknown := statuses.difference(_STATUSES):
        raise Refused(400, f"status: {', '.join(sorted(unknown))[:64]!r} is neither open nor closed.")
    categories = each(arguments, "service_code")
    since, until = span_of(arguments, now)
    most, page = _whole(arguments, "page_size", MOST), _whole(arguments, "page", 1, most=_MOST_PAGES)
    return Wanted(
        sources,
        since,
        until,
        categories,
        known=SERVICES,
        unsorted=UNSORTED in categories,
        closed="closed" in statuses if len(statuses) == 1 else None,
        most=most,
        skip=(page - 1) * most,
    )


def _whole(arguments: Arguments, name: str, usual: int, *, most: int = MOST) -> int:
    """Return a number of the extension "Pagination" (https://wiki.open311.org/GeoReport_v2/Extensions)."""
    text = next((value for value in arguments.getlist(name) if value.strip()), str(usual))
    number = int(text) if _WHOLE.fullmatch(text) else 0
    if not 1 <= number <= most:
        raise Refused(400, f"{name}: a whole number from 1 to {most}.")
    return number


def span_of(arguments: Arguments, now: datetime) -> tuple[datetime, datetime]:
    """Return the time a query spans: 90 days from or to the one date it names, or the last 90.

    Raises:
        Refused: a date that is none, or more than 90 days.
    """
    found = [_date(arguments, name) for name in ("start_date", "end_date")]
    if faults := [fault.description for fault in found if isinstance(fault, _Fault)]:
        raise Refused(400, *faults)
    start, end = (at if isinstance(at, datetime) else None for at in found)
    until = end or (start + LONGEST if start else now)
    since = start or until - LONGEST
    if since > until:
        raise Refused(400, "start_date, end_date: the start lies after the end.")
    if until - since > LONGEST:
        raise Refused(400, f"start_date, end_date: they may span at most {LONGEST.days} days.")
    return since, until


def _date(arguments: Arguments, name: str) -> datetime | _Fault | None:
    if not (text := first_of(arguments.getlist(name))):
        return None
    try:
        return read_asked(text, last=name == "end_date")
    except NotADate as fault:
        return _Fault(f"{name}: {fault}")
