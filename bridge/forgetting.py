"""`bridge forget`: one transaction that takes the personal data out of every table a report left it in."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import structlog

from bridge.arrivals import Arrivals
from bridge.reports.forgetting import About, Fate, about, fate
from bridge.reports.forgetting import forget as decide
from bridge.reports.moves import Actor
from bridge.reports.report import Report
from bridge.reports.setting_aside import Why
from bridge.storage import attachments, reports
from bridge.storage import forget as stored
from bridge.storage.changes import write
from bridge.storage.database import Connection, Database
from bridge.strict_json import NotJson, loads
from bridge.vault import Unreadable
from schemas.city import NotAReport

log = structlog.get_logger()

#: Something sealed inside of something else: a dead letter is a whole message.
_SEALED = re.compile(rb"gAAAA[A-Za-z0-9_-]+={0,2}")
#: The source of what lies in a letter so broken that it names none.
_UNKNOWN = ""


class Kept(NamedTuple):
    """One webhook that lies aside; `body` None: no key of ours opens it."""

    source: str
    webhook_id: str
    body: bytes | None


@dataclass(frozen=True)
class Forgotten:
    """What was done, and by their numbers what was left as it was for a person to look at.

    `shared` hold other reports too; `similar` cannot be read as a report, but the city's id stands in them.
    """

    changed: bool
    webhooks: int = 0
    aside: int = 0
    shared: tuple[int, ...] = ()
    similar: tuple[int, ...] = ()


def forget(
    database: Database, arrivals: Arrivals, ticket: str, actor: Actor, reason: str, *, even_open: bool = False
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
        aside = _aside(connection, arrivals, report)
        if erased := aside[Fate.ERASED]:
            stored.empty_aside(connection, erased, actor=actor.name, reason=reason, at=now)
    log.info("forgotten", ticket=ticket, by=actor.name, webhooks=emptied, aside=len(erased))
    return Forgotten(True, emptied, len(erased), tuple(aside[Fate.SHARED]), tuple(aside[Fate.SIMILAR]))


def _aside(connection: Connection, arrivals: Arrivals, report: Report) -> dict[Fate, list[int]]:
    """Return the numbers of what lies aside, by what becomes of it."""
    found: dict[Fate, list[int]] = {one: [] for one in Fate}
    for row in stored.aside_of(connection, report.source):
        bodies = [whose(arrivals, one, report) for one in _bodies(arrivals, row)]
        found[fate(bodies, whole=row["why"] != Why.DEAD_LETTER)].append(row["id"])
    return found


def _bodies(arrivals: Arrivals, row: dict[str, Any]) -> Iterator[Kept]:
    """Yield each webhook in a line: what came and what was made of it."""
    for sealed in filter(None, (row["body"], row["mended"])):
        opened = _opened(arrivals, sealed)
        if row["why"] != Why.DEAD_LETTER:
            yield Kept(row["source"], row["webhook_id"], opened)
            continue
        for source, webhook_id, token in _carried(opened or b""):
            yield Kept(source, webhook_id, _opened(arrivals, token))


def _carried(letter: bytes) -> list[tuple[str, str, bytes]]:
    """Return the webhooks in a message of ours, (source, webhook-id, sealed body); of a broken one what is sealed."""
    try:
        data = loads(letter)["data"]
        items = data.get("items", [data])
        return [(item["source"], item["webhook_id"], item["body"].encode()) for item in items]
    except (ValueError, TypeError, LookupError, AttributeError):
        return [(_UNKNOWN, _UNKNOWN, token) for token in _SEALED.findall(letter)]


def _opened(arrivals: Arrivals, token: bytes) -> bytes | None:
    try:
        return arrivals.vault.open(token)
    except Unreadable:
        return None


def whose(arrivals: Arrivals, kept: Kept, report: Report) -> About:
    """Tell whom a body is about: only its own source and the id where that source has it can make it this report's."""
    if kept.body is None:
        return About.NOBODY
    if kept.source not in (report.source, _UNKNOWN):
        return About.ANOTHER
    named = _named(arrivals, report.source, kept.webhook_id, kept.body)
    found = about(named, mentions(kept.body, report.external_id), report.external_id)
    return About.PERHAPS if found is About.THIS and kept.source == _UNKNOWN else found


def _named(arrivals: Arrivals, source: str, webhook_id: str, body: bytes) -> object:
    """Return what a body has where its source puts the id of a report; None if it cannot be read."""
    try:
        event = arrivals.payload(source, webhook_id, body)
    except (NotJson, NotAReport):
        return None
    data = event.get("data") if isinstance(event, dict) else None
    return data.get("id") if isinstance(data, dict) else None


def mentions(body: bytes, external_id: str) -> bool:
    """Tell whether an id stands in a body as a word of its own, whatever the body is."""
    try:
        text = json.dumps(loads(body), ensure_ascii=False)
    except NotJson:
        text = body.decode("utf-8", "replace")
    words = {external_id, json.dumps(external_id)[1:-1], json.dumps(external_id, ensure_ascii=False)[1:-1]}
    return any(re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) for word in words)
