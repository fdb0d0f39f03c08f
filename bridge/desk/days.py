"""Days and times as forms give them: Jakarta's, returned as instants in UTC."""

from datetime import UTC, date, datetime, time, timedelta

from bridge.words import ZONE


def day(text: str, *, after: int = 0) -> datetime | None:
    """Return the local midnight at which a day written like 2026-11-24 begins, or one `after`; None if it is no day."""
    try:
        begins = datetime.combine(date.fromisoformat(text), time(), ZONE) + timedelta(days=after)
        return begins.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def minute(text: str) -> datetime | None:
    """Return the instant of a local time written like 2026-11-24T08:30; None if it is none."""
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=ZONE)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
