"""What a person does with what lies aside: look, mend, release, discard; the same for desk and command line."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from marshmallow import ValidationError

from bridge.arrivals import MAX_BODY_BYTES, Arrivals, size_problems
from bridge.broker.topology import route_of
from bridge.reports.setting_aside import DecidedBefore, Did, State, Why, decide, erase
from bridge.storage import set_aside as stored
from bridge.storage import webhooks
from bridge.storage.changes import enqueue
from bridge.storage.database import Connection, Database
from bridge.storage.forget import empty_aside
from bridge.strict_json import NotJson, loads
from schemas.city import NotAReport, load_event, problems_of
from schemas.messages import load_message

log = structlog.get_logger()


class StillWrong(ValueError):
    """Not kept and not released: `problems` says in words what is wrong, a line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


@dataclass(frozen=True)
class Looked:
    """One thing set aside, opened: its row, the bytes as they came, and as they would be released.

    Both are empty when its report was forgotten.
    """

    row: dict[str, Any]
    original: bytes
    body: bytes
    decisions: list[dict[str, Any]]


def letter_problems(queue: str, body: bytes) -> list[str]:
    """Return what is wrong with a message of ours that lay among the dead letters of `queue`, a line each."""
    try:
        message = loads(body)
        load_message(message)
    except NotJson as fault:
        return [str(fault)]
    except ValidationError as fault:
        return [line.removeprefix(": ") for line in problems_of(fault.messages)]
    home = route_of(message["type"]).dead
    return [] if home == queue else [f"type: messages of type {message['type']} do not lie in {queue}, but in {home}"]


class Worklist:
    """The list of what lies aside."""

    def __init__(self, database: Database, arrivals: Arrivals) -> None:
        self._database = database
        self._arrivals = arrivals

    def look(self, number: int, actor: str) -> Looked:
        """Return one, opened; the look is logged, since a body holds personal data.

        Raises:
            NothingAside: there is none.
            Unreadable: sealed with a key that is not here.
        """
        looked = self.opened(number)
        log.info("set_aside_looked_at", number=number, by=actor)
        return looked

    def opened(self, number: int) -> Looked:
        """Return one, opened, for whoever has looked at it already; raises as look does."""
        with self._database.read() as connection:
            row = stored.one(connection, number)
            decisions = stored.decisions(connection, number)
        if not row["body"]:
            return Looked(row, b"", b"", decisions)
        original = self._arrivals.vault.open(bytes(row["body"]))
        return Looked(row, original, self._body(row), decisions)

    def problems(self, row: dict[str, Any], body: bytes) -> list[str]:
        """Return what the way in would find wrong with a body in this one's place, a line each."""
        if row["why"] == Why.DEAD_LETTER:
            return letter_problems(row["source"], body)
        if problems := self._size_problems(row, body):
            return problems
        try:
            load_event(self._arrivals.payload(row["source"], row["webhook_id"], body))
        except NotJson as fault:
            return [str(fault)]
        except NotAReport as fault:
            return fault.problems
        return []

    def ticket(self, looked: Looked) -> str | None:
        """Return the ticket of the report a body belongs to, if it is one."""
        row = looked.row
        if row["why"] == Why.DEAD_LETTER or self.problems(row, looked.body):
            return None
        event = load_event(self._arrivals.payload(row["source"], row["webhook_id"], looked.body))
        return self._arrivals.named(row["source"], event["data"]["id"])[1]

    def fix(self, number: int, body: bytes, actor: str, reason: str, *, seen: int | None = None) -> None:
        """Keep a mended body; the original stays as it came.

        Args:
            seen: How many decisions there were when the body was looked at.

        Raises:
            NothingAside, DecidedBefore, ReasonMissing, Unreadable: nothing was changed.
            StillWrong: the way in would not take it.
        """
        with self._database.write() as connection:
            row = self._locked(connection, number, seen)
            self._mend(connection, row, body, actor, reason)
        log.info("set_aside_mended", number=number, by=actor)

    def release(
        self, number: int, actor: str, reason: str, *, body: bytes | None = None, seen: int | None = None
    ) -> None:
        """Send one on its normal way; with a `body` that differs it is mended first; `seen` as in fix.

        Raises:
            NothingAside, DecidedBefore, ReasonMissing, Unreadable: nothing was changed.
            StillWrong: the way in would only set it aside again.
        """
        with self._database.write() as connection:
            row = self._locked(connection, number, seen)
            state = decide(number, State(row["state"]), Did.RELEASED, reason)
            kept = self._body(row)
            if body is not None and body != kept:
                self._mend(connection, row, body, actor, reason)
            plain = kept if body is None else body
            if problems := self.problems(row, plain):
                raise StillWrong(problems)
            now = self._database.now(connection)
            stored.decided(connection, number, Did.RELEASED, state, actor=actor, reason=reason, at=now)
            enqueue(self._database, connection, self._messages(connection, row, plain, now))
        log.info("set_aside_released", number=number, by=actor)

    def discard(self, number: int, actor: str, reason: str, *, seen: int | None = None) -> None:
        """Decide that nothing comes of one; its bytes stay; `seen` as in fix.

        Raises:
            NothingAside, DecidedBefore, ReasonMissing: nothing was changed.
        """
        with self._database.write() as connection:
            row = self._locked(connection, number, seen)
            state = decide(number, State(row["state"]), Did.DISCARDED, reason)
            now = self._database.now(connection)
            stored.decided(connection, number, Did.DISCARDED, state, actor=actor, reason=reason, at=now)
        log.info("set_aside_discarded", number=number, by=actor)

    def erase(self, number: int, actor: str, reason: str) -> None:
        """Take the bytes of one away for good; one that waits is discarded, any other stays what it was.

        Raises:
            NothingAside, ReasonMissing: nothing was changed.
        """
        with self._database.write() as connection:
            row = self._locked(connection, number, None)
            state = erase(State(row["state"]), reason)
            now = self._database.now(connection)
            stored.decided(connection, number, Did.DISCARDED, state, actor=actor, reason=reason, at=now)
            empty_aside(connection, [number], actor=actor, reason=reason, at=now)
        log.info("set_aside_erased", number=number, by=actor)

    def _locked(self, connection: Connection, number: int, seen: int | None) -> dict[str, Any]:
        row = stored.lock(self._database, connection, number)
        if seen is not None and len(stored.decisions(connection, number)) != seen:
            raise DecidedBefore(f"somebody decided about number {number} meanwhile; look at it again")
        return row

    def _mend(self, connection: Connection, row: dict[str, Any], body: bytes, actor: str, reason: str) -> None:
        number = row["id"]
        state = decide(number, State(row["state"]), Did.MENDED, reason)
        if problems := self.problems(row, body):
            raise StillWrong(problems)
        now = self._database.now(connection)
        stored.keep_mended(connection, number, self._arrivals.vault.seal(body))
        stored.decided(connection, number, Did.MENDED, state, actor=actor, reason=reason, at=now)

    def _size_problems(self, row: dict[str, Any], body: bytes) -> list[str]:
        if not size_problems(body):
            return []
        # Forms are kept longer than they were sent: what came may go on.
        return size_problems(body, max(MAX_BODY_BYTES, len(self._arrivals.vault.open(bytes(row["body"])))))

    def _body(self, row: dict[str, Any]) -> bytes:
        return self._arrivals.vault.open(bytes(row["mended"] or row["body"]))

    def _messages(
        self, connection: Connection, row: dict[str, Any], plain: bytes, now: datetime
    ) -> list[dict[str, Any]]:
        """Return the outbox rows of a release."""
        if row["why"] == Why.DEAD_LETTER:
            sent = _resent(row["id"], plain)
        else:
            source, webhook_id = row["source"], row["webhook_id"]
            key_id = webhooks.key_of(connection, source, webhook_id, row["sha256"])
            digest = hashlib.sha256(plain).hexdigest()
            message = self._arrivals.sealed(source, webhook_id, key_id, row["received_at"], digest, plain)
            sent = [(message.type, message.data | {"released": row["id"]})]
        return [{"type": type_, "data": data, "available_at": now} for type_, data in sent]


def _resent(number: int, letter: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Return what a dead letter held, as (type, data).

    What one confirm carried goes apart, so that a webhook nobody can handle holds up no other. Each of them is a line
    of its own if it fails again; any other message comes back as the line it was, by its `letter`.
    """
    message = loads(letter)
    if message["type"] == "webhook.batch":
        return [("webhook.received", item) for item in message["data"]["items"]]
    return [(message["type"], message["data"] | {"letter": number})]
