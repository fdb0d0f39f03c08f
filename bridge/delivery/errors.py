"""How one attempt outside ends: taken, or not delivered, for one of three kinds of reasons."""

from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """Whose fault it is that something was not delivered: it decides what happens next, and on whose list it lies."""

    AWAY = "away"  # no answer, or none that speaks of this one thing: the destination itself is in trouble
    REFUSED = "refused"  # the destination is there and will not take this one thing
    OURS = "ours"  # it never left: a bad text, a forbidden address, a bug


@dataclass(frozen=True)
class Taken:
    """The other side is responsible now; `status` is its HTTP status or SMTP code, `response` its words, capped."""

    status: int | None = None
    response: str = ""


class NotDelivered(Exception):
    """The other side did not take it; `retry_after_s` is its own wish, `permanent` means never again like this.

    `status` is the HTTP status or SMTP code, None when there was no answer; `response` what it said, capped.
    """

    def __init__(
        self,
        detail: str,
        *,
        fault: Fault = Fault.AWAY,
        permanent: bool = False,
        retry_after_s: float | None = None,
        status: int | None = None,
        response: str = "",
    ) -> None:
        self.detail, self.fault, self.permanent, self.retry_after_s = detail, fault, permanent, retry_after_s
        self.status, self.response = status, response
        super().__init__(detail)
