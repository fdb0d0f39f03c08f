"""What can be proved of one source: its receipts, those of a span as a manifest, and up to when they are complete."""

import hashlib
import heapq
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from bridge.receipts.watermark import INTAKE, UNREADABLE, Complete, items_of, seen_now
from bridge.service import Service
from bridge.storage import receipts as stored
from bridge.storage.database import Connection
from bridge.storage.receipts import Span
from bridge.vault import Unreadable, Vault

Receipt = dict[str, Any]
#: Where a page of a manifest ends: received_at and webhook-id of its last item.
Place = tuple[datetime, str]


@contextmanager
def proofs(service: Service, source: str) -> Iterator["Proofs"]:
    """Open one view of what a source can be told.

    Raises:
        DatabaseAway: cannot be reached.
    """
    complete = seen_now(service.settings)
    with service.database.read(walks=True) as connection:
        letters = _dead_letters(connection, service.arrivals.vault, source)
        known = stored.several(connection, source, letters.receipts.keys())
        parked = [letters.receipts[name] for name in letters.receipts.keys() - known.keys()]
        yield Proofs(connection, source, sorted(parked, key=_place), complete if letters.all_read else UNREADABLE)


@dataclass(frozen=True)
class Proofs:
    """One view of a source's receipts; `parked` are those that only a dead letter holds."""

    connection: Connection
    source: str
    parked: list[Receipt]
    complete: Complete

    def one(self, webhook_id: str) -> Receipt | None:
        """Return a webhook's receipt, with `other_bodies` that came under its id, or None when nobody has seen it."""
        found = stored.one(self.connection, self.source, webhook_id) or self._parked().get(webhook_id)
        if found is None:
            return None
        others = stored.other_bodies(self.connection, self.source, [webhook_id])
        return found | {"other_bodies": [_without(row, "webhook_id") for row in others]}

    def several(self, webhook_ids: list[str]) -> dict[str, Receipt]:
        """Return the receipts of these webhooks by id, without those nobody has seen."""
        parked = {name: row for name, row in self._parked().items() if name in webhook_ids}
        return parked | stored.several(self.connection, self.source, webhook_ids)

    def other_bodies(self, webhook_ids: list[str]) -> dict[tuple[str, str], str]:
        """Return what became of bodies that came under the id of another one, by (webhook_id, sha256)."""
        rows = stored.other_bodies(self.connection, self.source, webhook_ids)
        return {(row["webhook_id"], row["sha256"]): row["aside"] for row in rows}

    def in_order(self, span: Span, after: Place | None = None, most: int | None = None) -> Iterator[Receipt]:
        """Yield a span's receipts by (received_at, webhook_id), those behind `after`, at most so many."""
        rows = stored.in_order(self.connection, self.source, span, after=after, most=most)
        parked = (row for row in self._within(span) if after is None or _place(row) > after)
        return islice(heapq.merge(rows, parked, key=_place), most)

    def page(self, span: Span, after: Place | None, limit: int) -> tuple[list[Receipt], Place | None]:
        """Return up to `limit` receipts behind `after`, and where the next page begins; None behind the last."""
        found = list(self.in_order(span, after, limit + 1))
        return found[:limit], _place(found[limit - 1]) if len(found) > limit else None

    def count(self, span: Span) -> int:
        """Return how many receipts a span has."""
        return stored.count(self.connection, self.source, span) + len(self._within(span))

    def digest(self, span: Span) -> str:
        """Return the sha256 of the lines `webhook_id sha256` of a span, sorted by their bytes."""
        parked = sorted((row["webhook_id"], row["sha256"]) for row in self._within(span))
        digest = hashlib.sha256()
        for webhook_id, sha256 in heapq.merge(stored.bodies_by_id(self.connection, self.source, span), parked):
            digest.update(f"{webhook_id} {sha256}\n".encode())
        return digest.hexdigest()

    def _within(self, span: Span) -> list[Receipt]:
        return [row for row in self.parked if row["received_at"] in span]

    def _parked(self) -> dict[str, Receipt]:
        return {row["webhook_id"]: row for row in self.parked}


@dataclass(frozen=True)
class _Letters:
    receipts: dict[str, Receipt]
    all_read: bool


def _dead_letters(connection: Connection, vault: Vault, source: str) -> _Letters:
    """Return what was accepted and no step could take in: it lies aside whole, inside its message."""
    receipts: dict[str, Receipt] = {}
    all_read = True
    for state, content in stored.dead_letters(connection, INTAKE.dead):
        try:
            items = [item for item in items_of(json.loads(vault.open(content))) if item["source"] == source]
            receipts |= {item["webhook_id"]: _parked(item, state) for item in items}
        except (Unreadable, ValueError, KeyError, TypeError):
            # Whoever discarded one knew what it was.
            all_read = all_read and state != "waiting"
    return _Letters(receipts, all_read)


def _parked(item: Any, state: str) -> Receipt:
    return {
        "source": item["source"],
        "webhook_id": item["webhook_id"],
        "sha256": item["sha256"],
        "received_at": datetime.fromisoformat(item["received_at"]).astimezone(UTC),
        "report_id": None,
        "type": None,
        "effect": "set_aside",
        "key_id": item["key_id"],
        "ticket": None,
        "aside": state,
    }


def _place(row: Receipt) -> Place:
    return row["received_at"], row["webhook_id"]


def _without(row: Receipt, name: str) -> Receipt:
    return {key: value for key, value in row.items() if key != name}
