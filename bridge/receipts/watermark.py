"""Up to which instant our receipts are complete: only then does a missing one mean that it was never accepted."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bridge.broker.embedded import QueueStore
from bridge.broker.topology import route_of
from config.settings import Settings

#: What a receiver took at an instant is answered, and in the queue, within this: more than its longest wait.
UNDER_WAY = timedelta(seconds=20)
INTAKE = route_of("webhook.received")

_NOT_SEEN = (
    "what waits in RabbitMQ and in the spools of the receivers cannot be seen from here; "
    "docs/receipts.md says how an operator finds out"
)
_NOT_READ = "a message in the queue or among the dead letters cannot be read, so nobody can tell whose it is"


@dataclass(frozen=True)
class Complete:
    """Every webhook received before `until` and answered 202 has its receipt; None: `why` nobody can tell."""

    until: datetime | None
    why: str = ""

    def covers(self, at: datetime) -> bool:
        """Tell whether what was received at that instant would be here."""
        return self.until is not None and at < self.until


UNREADABLE = Complete(None, _NOT_READ)


def seen_now(settings: Settings) -> Complete:
    """Look at what is on its way. Ask before the database: what has left the queue by then is in there."""
    if not settings.embedded:
        return Complete(None, _NOT_SEEN)
    now = datetime.now(UTC)
    try:
        payload = _oldest(Path(settings.broker_url.removeprefix("embedded://")))
    except sqlite3.Error:
        return Complete(None, "the queue cannot be looked into just now")
    if payload is None:
        return Complete(now - UNDER_WAY)
    try:
        envelope = json.loads(json.loads(payload)["body"])
        oldest = min(datetime.fromisoformat(item["received_at"]).astimezone(UTC) for item in items_of(envelope))
    except (ValueError, KeyError, TypeError):
        return UNREADABLE
    return Complete(min(now, oldest) - UNDER_WAY)


def items_of(envelope: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the webhooks a message of the intake queue carries."""
    data = envelope["data"]
    yield from data["items"] if envelope["type"] == "webhook.batch" else [data]


def _oldest(queue: Path) -> str | None:
    if not queue.exists():
        return None
    with contextlib.closing(QueueStore(queue)) as store:
        return store.oldest([INTAKE.queue, INTAKE.dead])
