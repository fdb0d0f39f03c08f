"""`bridge forget`: one transaction that takes the personal data out of every table a report left it in."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import structlog

from bridge.reports.forgetting import forget as decide
from bridge.reports.moves import Actor
from bridge.reports.report import Report
from bridge.reports.setting_aside import Why
from bridge.storage import attachments, reports
from bridge.storage import forget as stored
from bridge.storage.changes import write
from bridge.storage.database import Connection, Database
from bridge.strict_json import NotJson, loads
from bridge.vault import Unreadable, Vault

log = structlog.get_logger()

#: Something sealed inside of something else: a dead letter is a whole message.
_SEALED = re.compile(rb"gAAAA[A-Za-z0-9_-]+={0,2}")


@dataclass(frozen=True)
class Forgotten:
    """What was done. `shared` are numbers of dead letters that hold other reports too and were left as they are."""

    changed: bool
    webhooks: int = 0
    aside: int = 0
    shared: tuple[int, ...] = ()


def forget(
    database: Database, vault: Vault, ticket: str, actor: Actor, reason: str, *, even_open: bool = False
) -> Forgotten:
    """Remove a report's personal data for good; a second time changes nothing and says so.

    Raises:
        NoSuchReport: no report has the ticket.
        NotPossible: it is open, or nobody says why.
    """
    with database.write() as connection:
        report_id = reports.by_ticket(connection, ticket).report_id
        report = reports.lock(database, connection, [report_id])[report_id]
        now = database.now(connection)
        changes = decide(report, actor, now=now, reason=reason, even_open=even_open)
        if not changes.reports:
            return Forgotten(changed=False)
        write(database, connection, changes, before={report_id: report})
        emptied = stored.empty_webhooks(connection, report_id)
        stored.drop_sentences(connection, report_id)
        stored.drop_likenesses(connection, report_id)
        attachments.drop(connection, report_id)
        alone, shared = _aside(connection, vault, report)
        if alone:
            stored.empty_aside(connection, alone, actor=actor.name, reason=reason, at=now)
    log.info("forgotten", ticket=ticket, by=actor.name, webhooks=emptied, aside=len(alone))
    return Forgotten(True, emptied, len(alone), tuple(shared))


def _aside(connection: Connection, vault: Vault, report: Report) -> tuple[list[int], list[int]]:
    """Return the numbers of what lies aside about this report alone, and about it and others."""
    alone: list[int] = []
    shared: list[int] = []
    for row in stored.aside_of(connection, report.source):
        about = [is_about(body, report.external_id) for body in _bodies(vault, row)]
        if any(about):
            (shared if row["why"] == Why.DEAD_LETTER and len(about) > 1 else alone).append(row["id"])
    return alone, shared


def _bodies(vault: Vault, row: dict[str, Any]) -> list[bytes]:
    """Return what a key of ours opens: what came and what was made of it, or each webhook of a dead letter."""
    sealed = [row["body"], row["mended"] or b""]
    if row["why"] == Why.DEAD_LETTER:
        sealed = _SEALED.findall(_opened(vault, row["body"]) or b"")
    return [body for token in sealed if (body := _opened(vault, token)) is not None]


def _opened(vault: Vault, token: bytes) -> bytes | None:
    try:
        return vault.open(token)
    except Unreadable:
        return None


def is_about(body: bytes, external_id: str) -> bool:
    """Tell whether a body speaks of the city's id: one of its values is the id; where it is no JSON, a word is."""
    try:
        return external_id in map(str, _values(loads(body)))
    except NotJson:
        word = re.escape(external_id.encode())
        return re.search(rb"(?<![\w-])" + word + rb"(?![\w-])", body) is not None


def _values(payload: Any) -> Iterator[Any]:
    if isinstance(payload, dict):
        payload = payload.values()
    elif not isinstance(payload, list):
        yield payload
        return
    for one in payload:
        yield from _values(one)
