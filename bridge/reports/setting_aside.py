"""What lies aside for a person: waiting, until it is released into the normal way or discarded; a release may fail."""

from enum import StrEnum


class State(StrEnum):
    """Where it stands. What was released and failed again waits again."""

    WAITING = "waiting"
    RELEASED = "released"
    DISCARDED = "discarded"


class Did(StrEnum):
    """What a person did with it."""

    MENDED = "mended"
    RELEASED = "released"
    DISCARDED = "discarded"


class Why(StrEnum):
    """How it came to lie aside."""

    INVALID = "invalid"
    ID_REUSED = "id_reused"
    DEAD_LETTER = "dead_letter"


_LEADS_TO = {Did.MENDED: State.WAITING, Did.RELEASED: State.RELEASED, Did.DISCARDED: State.DISCARDED}


class DecidedBefore(Exception):
    """Somebody was first: it does not wait any more. Nothing was changed."""


class ReasonMissing(ValueError):
    """Whoever decides says why."""


def decide(number: int, state: State, did: Did, reason: str) -> State:
    """Return where it stands afterwards.

    Raises:
        DecidedBefore: it does not wait.
        ReasonMissing: no reason was given.
    """
    if state is not State.WAITING:
        raise DecidedBefore(f"number {number} was {state} already; nothing was changed")
    _check(reason)
    return _LEADS_TO[did]


def erase(state: State, reason: str) -> State:
    """Return where one stands whose bytes are taken away: what waited is discarded, what was decided stays decided.

    Raises:
        ReasonMissing: no reason was given.
    """
    _check(reason)
    return State.DISCARDED if state is State.WAITING else state


def _check(reason: str) -> None:
    if not reason.strip():
        raise ReasonMissing("a reason is needed; it is kept with the decision")


def released_as(number: int) -> str:
    """Return the webhook-id a release is remembered by: no city can send it, since theirs have no full stop."""
    return f"aside.{number}"
