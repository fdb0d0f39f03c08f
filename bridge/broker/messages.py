"""Queue messages on their way out; schemas/messages.py holds the contract they keep."""

import json
import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


def _new_id() -> str:
    """Return a name nobody has; no secret, so it need not come from the system, where a busy thread loses its turn."""
    return str(uuid.UUID(int=random.getrandbits(128), version=4))


@dataclass(frozen=True)
class Message:
    """One message: its type is its routing key. `data` holds JSON values only."""

    type: str
    data: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    id: str = field(default_factory=_new_id)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def body(self) -> str:
        """Return the envelope as JSON text."""
        envelope = {"id": self.id, "type": self.type, "timestamp": self.at.isoformat(), "data": self.data}
        return json.dumps(envelope, separators=(",", ":"))


def webhook_received(
    source: str,
    webhook_id: str,
    key_id: str,
    received_at: datetime,
    sha256: str,
    sealed: bytes,
    trace: Mapping[str, str] | None = None,
) -> Message:
    """Return the message that carries one authentic webhook, its body sealed (bridge/arrivals.py).

    `trace` is what a span carries (bridge/tracing.py). It is part of the data, since a group of webhooks has one header
    for all, and a header when this one goes alone.
    """
    trace = trace or {}
    data = {
        "source": source,
        "webhook_id": webhook_id,
        "key_id": key_id,
        "received_at": received_at.isoformat(),
        "sha256": sha256,
        "body": sealed.decode("ascii"),
        **trace,
    }
    return Message("webhook.received", data, {"source": source, **trace})


def grouped(messages: Sequence[Message]) -> Message:
    """Return one message that carries several received webhooks: one confirm for all of them."""
    return Message("webhook.batch", {"items": [message.data for message in messages]})
