"""The siding: messages nobody could handle leave the dead-letter queues for a person's worklist, kept whole.

Takes whatever lies in a `.dead` queue; leaves a row in `set_aside` with the reason. A letter that a person released and
that failed again is the line it was: it waits again.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog

from bridge.broker.topology import DELIVERY_LIMIT, ROUTES
from bridge.reports.setting_aside import Why
from bridge.storage import deliveries, set_aside
from bridge.storage.database import Database
from bridge.vault import Vault
from bridge.worklist import letter_problems
from consumers.runtime import DeadLetter

log = structlog.get_logger()

_STEPS = {route.dead: route.step for route in ROUTES}
#: What RabbitMQ says of why it is a dead letter -> what that means here.
_DIED = {
    "delivery_limit": f"it failed, or ended its process, {DELIVERY_LIMIT} times",
    "rejected": "what it writes was taken by others again and again",
}
_MOST_REASONS, _MOST_CHARS = 20, 300


class SetAside:
    """Keep dead letters where people look."""

    most = 50

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    def handle(self, messages: Sequence[dict[str, Any]]) -> None:
        """Store each letter once, however often it comes."""
        letters: list[DeadLetter] = [message["data"] for message in messages]
        before = {letter: number for letter in letters if (number := _number_before(letter)) is not None}
        with self._database.write() as connection:
            now = self._database.now(connection)
            failed = {number: ["it was released, and failed again", *_reasons(one)] for one, number in before.items()}
            waiting = set_aside.take_back(connection, failed)
            fresh = [letter for letter in letters if before.get(letter) not in waiting]
            set_aside.put(self._database, connection, [self._row(letter, now) for letter in fresh])
            deliveries.lay_aside(connection, [found for letter in letters if (found := _delivery_of(letter))])
        log.error("dead_letters_set_aside", count=len(letters))

    def _row(self, letter: DeadLetter, now: datetime) -> dict[str, Any]:
        return {
            "source": letter.queue,
            "webhook_id": _printable(letter.message_id)[:256],
            "sha256": hashlib.sha256(letter.body).hexdigest(),
            "why": Why.DEAD_LETTER,
            "reasons": _reasons(letter),
            "received_at": now,
            "body": self._vault.seal(letter.body),
        }


def _reasons(letter: DeadLetter) -> list[str]:
    step = _STEPS.get(letter.queue, "no step")
    if problems := letter_problems(letter.queue, letter.body):
        return [f"{step} could not read this message of {letter.queue}", *map(_printable, problems[:_MOST_REASONS])]
    said = f": {_DIED[letter.died]}" if letter.died in _DIED else ""
    return [
        f"{step} could not handle this message of {letter.queue}{said}",
        f"its log says why, at message_failed and message_id {_printable(letter.message_id)}",
    ]


def _printable(text: str) -> str:
    """Return text that any database keeps: a letter may hold anything, and nobody sets this step's letters aside."""
    return "".join(sign if sign.isprintable() else "?" for sign in text[:_MOST_CHARS])


def _delivery_of(letter: DeadLetter) -> str | None:
    """Return the delivery a letter announced: it must not be announced again beside the list."""
    try:
        found = json.loads(letter.body)["data"]["delivery_id"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    return found if isinstance(found, str) and found.isprintable() else None


def _number_before(letter: DeadLetter) -> int | None:
    """Return the number it had on the list, if a person released it from there."""
    try:
        number = json.loads(letter.body)["data"]["letter"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    return number if type(number) is int and 0 < number < 2**63 else None
