"""Status callbacks to the city: signed Standard Webhooks, one attempt at a time."""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests

from bridge.delivery.errors import NotDelivered
from bridge.signing import SendingKey, sign
from bridge.tracing import note, outgoing

#: Seconds to connect, and between two bytes of the answer.
TIMEOUT_S = (5, 20)
_MOST_ANSWER_BYTES = 4096
#: mySociety's and others' way to say that they have it already.
_ALREADY = (400, 409)


class CityEndpoint(ABC):
    """One city's callback address; keeps connections open between calls."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()
        # A proxy from the environment would see, and could change, what only the city should.
        self._session.trust_env = False

    @abstractmethod
    def send(self, delivery_id: str, event: Mapping[str, Any]) -> None:
        """Tell one event; its id is the same on every attempt.

        Raises:
            NotDelivered: see post.
        """

    def post(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Post a body.

        Raises:
            NotDelivered: anything but 2xx, or "already exists" from a receiver that knew it.
        """
        try:
            with self._session.post(
                self._url,
                data=body,
                headers={"user-agent": "Jembatan", **outgoing(), **headers},
                timeout=TIMEOUT_S,
                allow_redirects=False,
                stream=True,
            ) as answer:
                self._judge(answer)
        except requests.RequestException as error:
            raise NotDelivered(f"{type(error).__name__}: {error}"[:500]) from error

    def _judge(self, answer: requests.Response) -> None:
        note(http_status=answer.status_code)
        if 200 <= answer.status_code < 300:
            return
        text = answer.raw.read(_MOST_ANSWER_BYTES, decode_content=True).decode("utf-8", "replace")
        if answer.status_code in _ALREADY and "already exists" in text.lower():
            return
        raise NotDelivered(
            f"HTTP {answer.status_code}: {text[:200]}",
            permanent=answer.status_code == 410,
            retry_after_s=_retry_after(answer.headers.get("Retry-After")),
        )


class CityWebhook(CityEndpoint):
    """Posts Standard Webhooks, signed."""

    def __init__(self, url: str, key: SendingKey) -> None:
        super().__init__(url)
        self._key = key

    def send(self, delivery_id: str, event: Mapping[str, Any]) -> None:
        """See CityEndpoint.send; the timestamp is this attempt's."""
        body = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
        timestamp = int(time.time())
        headers = {
            "content-type": "application/json",
            "webhook-id": delivery_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self._key, delivery_id, timestamp, body),
        }
        self.post(body, headers)


def _retry_after(value: str | None) -> float | None:
    """Return the seconds a Retry-After header asks for (RFC 9110 section 10.2.3), or None."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (at - datetime.now(UTC)).total_seconds()) if at.tzinfo else None
