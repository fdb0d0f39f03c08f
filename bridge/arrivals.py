"""What both ends of the intake queue agree on: how a webhook travels and is kept, how it reads, what it is called."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bridge.broker.messages import Message, webhook_received
from bridge.reports.tickets import report_id_for, ticket_for
from bridge.strict_json import loads
from bridge.vault import Vault

#: From the bytes a source sent and their webhook-id to an event in our words, not checked yet; raises NotJson or
#: NotAReport when there is none in them.
Payload = Callable[[bytes, str], object]

#: What the way in takes of one report.
MAX_BODY_BYTES = 256 * 1024


def size_problems(body: bytes, most_bytes: int = MAX_BODY_BYTES) -> list[str]:
    """Return in words that a body is larger than the way in would take, or nothing."""
    return [f"the body has {len(body)} bytes; the way in takes {most_bytes}"] if len(body) > most_bytes else []


def as_sent(body: bytes, webhook_id: str) -> object:  # noqa: ARG001 - one shape for all sources
    """Read a body that is in our words already.

    Raises:
        NotJson: it is not JSON that two parsers would read alike.
    """
    return loads(body)


@dataclass(frozen=True)
class Arrivals:
    """The ticket key, the vault, and how each source's payload reads; a source not named here speaks our words."""

    ticket_key: bytes
    vault: Vault
    payloads: Mapping[str, Payload] = field(default_factory=dict)

    @classmethod
    def under(
        cls, ticket_key: bytes, data_keys: Sequence[str] = (), payloads: Mapping[str, Payload] | None = None
    ) -> "Arrivals":
        """Return arrivals whose vault has these keys, and always the one that comes of the ticket key."""
        return cls(ticket_key, Vault.under(ticket_key, data_keys), payloads or {})

    def payload(self, source: str, webhook_id: str, body: bytes) -> object:
        """Return the event a body holds, in our words, not checked yet.

        Raises:
            NotJson: see as_sent.
            NotAReport: the source's mapping finds none in it.
        """
        return self.payloads.get(source, as_sent)(body, webhook_id)

    def named(self, source: str, external_id: str) -> tuple[str, str]:
        """Return the report id and the ticket of what a source calls `external_id`."""
        return report_id_for(source, external_id), ticket_for(self.ticket_key, source, external_id)

    def sealed(
        self,
        source: str,
        webhook_id: str,
        key_id: str,
        received_at: datetime,
        sha256: str,
        body: bytes,
        trace: Mapping[str, str] | None = None,
    ) -> Message:
        """Return the message that carries one authentic webhook; the body is sealed, `sha256` is of what was sent."""
        return webhook_received(source, webhook_id, key_id, received_at, sha256, self.vault.seal(body), trace)

    def opened(self, item: Mapping[str, Any]) -> bytes:
        """Return the bytes the city sent.

        Raises:
            Unreadable: sealed with a key that is not here.
        """
        return self.vault.open(item["body"].encode("ascii"))
