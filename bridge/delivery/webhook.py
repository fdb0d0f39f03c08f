"""Status callbacks to the city: signed Standard Webhooks, one attempt at a time."""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridge.delivery.answers import judged
from bridge.delivery.errors import Taken
from bridge.delivery.guarded import Guard, Limits, Outgoing
from bridge.signing import SendingKey, sign
from bridge.tracing import outgoing

#: The longest attempt stays well below consumers.telling.LEASE_S.
LIMITS = Limits(connect_s=5, silent_s=20, total_s=30, most_bytes=4096)


class CityEndpoint(ABC):
    """One city's callback address; keeps its connection open between calls."""

    def __init__(self, url: str, guard: Guard | None = None, limits: Limits = LIMITS) -> None:
        self._outgoing = Outgoing(url, guard or Guard(), limits)

    @abstractmethod
    def send(self, delivery_id: str, event: Mapping[str, Any], *, replays: int = 0) -> Taken:
        """Tell one event; its id is the same on every attempt.

        Raises:
            NotDelivered: see post.
        """

    def close(self) -> None:
        """Close the connection kept open."""
        self._outgoing.close()

    def post(self, body: bytes, headers: Mapping[str, str], *, known: Sequence[str] = ()) -> Taken:
        """Post a body; `known` are secrets in it that must not be kept of an answer.

        Raises:
            NotDelivered: see bridge.delivery.guarded and bridge.delivery.answers.
        """
        return judged(self._outgoing.post(body, {**outgoing(), **headers}), known)


class CityWebhook(CityEndpoint):
    """Posts Standard Webhooks, signed with every key that is given: a city changes its key without a gap."""

    def __init__(
        self,
        url: str,
        key: SendingKey | Sequence[SendingKey],
        guard: Guard | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        super().__init__(url, guard, limits)
        self._keys = (key,) if isinstance(key, bytes | Ed25519PrivateKey) else tuple(key)

    def send(self, delivery_id: str, event: Mapping[str, Any], *, replays: int = 0) -> Taken:
        """See CityEndpoint.send; the timestamp is this attempt's."""
        body = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
        timestamp = int(time.time())
        headers = {
            "content-type": "application/json",
            "webhook-id": delivery_id,
            "webhook-timestamp": str(timestamp),
            **({"webhook-replay": str(replays)} if replays else {}),
            "webhook-signature": " ".join(sign(key, delivery_id, timestamp, body) for key in self._keys),
        }
        return self.post(body, headers)
