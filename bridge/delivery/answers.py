"""What an answer of the other side means: taken, or whose fault it is that it was not."""

from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from bridge.delivery.errors import Fault, NotDelivered, Taken
from bridge.delivery.guarded import Answer
from bridge.delivery.redaction import redacted

#: mySociety's and others' way to say that they have it already.
_ALREADY = (400, 409)
#: They speak of the destination, not of this one thing, as every 5xx does (RFC 9110, RFC 8470, RFC 6585).
_NOT_NOW = (408, 425, 429)
#: A wish to wait longer than this, in seconds, is no wish but a mistake.
_LONGEST_WAIT_S = 31 * 86_400


def judged(answer: Answer, known: Iterable[str] = ()) -> Taken:
    """Return that it was taken.

    Args:
        known: Secrets of ours, which the answer may echo.

    Raises:
        NotDelivered: anything but 2xx, or "already exists" from a receiver that knew it.
    """
    status, text = answer.status, answer.body.decode("utf-8", "replace")
    response = redacted(text, known)
    if 200 <= status < 300 or (status in _ALREADY and "already exists" in text.lower()):
        return Taken(status, response)
    raise NotDelivered(
        f"HTTP {status}{_meaning(status)}: {response[:200]}".removesuffix(": "),
        fault=Fault.REFUSED if 300 <= status < 500 and status not in _NOT_NOW else Fault.AWAY,
        permanent=status == 410,
        retry_after_s=retry_after(answer.headers.get("retry-after")),
        status=status,
        response=response,
    )


def _meaning(status: int) -> str:
    return " (points elsewhere, which is not followed)" if 300 <= status < 400 else ""


def retry_after(value: str | None) -> float | None:
    """Return the seconds a Retry-After header asks for (RFC 9110 section 10.2.3), or None for none we believe."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return _believed(float(text[:20]))
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    # The oldest of the three forms names no zone: it is UTC (RFC 9110 section 5.6.7).
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return _believed(max(0.0, (at - datetime.now(UTC)).total_seconds()))


def _believed(wait_s: float) -> float | None:
    return wait_s if wait_s <= _LONGEST_WAIT_S else None
