"""The sign of life to a dead-man's switch outside: it raises the alarm when the sign stays away."""

from bridge.delivery.errors import NotDelivered
from bridge.delivery.guarded import Guard, Limits, Outgoing

LIMITS = Limits(connect_s=5, silent_s=5, total_s=10, most_bytes=0)


class NoAnswer(Exception):
    """The switch did not say that it heard us. Without its path: whoever knows that can keep it quiet."""


def ping(url: str, guard: Guard) -> None:
    """Ask for the URL once.

    Raises:
        NoAnswer: anything but 2xx; also for a redirect, which is not followed.
    """
    outgoing = Outgoing(url, guard, LIMITS)
    try:
        status = outgoing.get().status
    except NotDelivered as error:
        raise NoAnswer(error.detail) from None
    finally:
        outgoing.close()
    if not 200 <= status < 300:
        raise NoAnswer(f"HTTP {status}")
