"""Dates as Open311 writes them: W3C date-times (https://www.w3.org/TR/NOTE-datetime), to the second, with a zone."""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

_ZONE = ZoneInfo("Asia/Jakarta")
_W3C = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_WITHOUT_ZONE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?", re.ASCII)
# Nearer to the ends of the calendar there is no UTC, and no database keeps it.
_YEARS = range(1900, 9000)


class NotADate(ValueError):
    """Not a W3C date-time with a zone."""


def read_date(text: str) -> datetime:
    """Return the instant, in UTC.

    Raises:
        NotADate: in any other form, or without a zone.
    """
    # A `+` that was not escaped in an address arrives as a blank.
    plain = text.replace(" ", "+")
    try:
        at = datetime.fromisoformat(plain) if _W3C.fullmatch(plain) else None
    except ValueError:
        at = None
    if at is None or at.year not in _YEARS:
        raise NotADate(f"{text[:40]!r} is not a date like 2026-11-24T10:00:00+07:00 or 2026-11-24T03:00:00Z")
    return at.astimezone(UTC)


def read_asked(text: str, *, last: bool) -> datetime:
    """Return the instant a query names, in UTC.

    The specification wants a zone; some clients and validators send none, or only a day. Then it is Jakarta's, and a
    day is its first moment, or its last one with `last`.

    Raises:
        NotADate: in any other form.
    """
    if _DAY.fullmatch(text):
        text += "T23:59:59.999999" if last else "T00:00:00"
    if _WITHOUT_ZONE.fullmatch(text):
        text += "+07:00"
    return read_date(text)


def written(at: datetime) -> str:
    """Return an instant in Jakarta's time: strict clients know no fractions of a second."""
    return at.astimezone(_ZONE).isoformat(timespec="seconds")


def update_id(ticket: str, at: datetime) -> str:
    """Return the name of what happened to a report at an instant: the same whether it is sent or fetched."""
    return f"{ticket}-{int(at.timestamp()) * 1_000_000 + at.microsecond:x}"
