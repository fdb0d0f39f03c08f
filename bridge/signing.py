"""Standard Webhooks signatures, v1 (HMAC-SHA256): one strict verifier, one signer.

Rules: the Standard Webhooks specification 1.0.0. Own code, since the published Python libraries crash on malformed
headers and normalise what they should refuse (reference/webhooks.md section 2).
"""

import base64
import binascii
import hmac
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256

#: How far a webhook's timestamp may be from our clock, in seconds, both ways (all reference libraries: 300).
TOLERANCE_S = 300
LEAST_KEY_BYTES = 24

_ID = re.compile(r"[!-+\-/-~]{1,256}", re.ASCII)  # visible ASCII without "." (separator) and "," (joined duplicates)
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
# 32 bytes in base64, written the one way there is: the last character has two bits that nobody reads, both 0.
_V1 = re.compile(r"v1,([A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=)", re.ASCII)
_MOST_SIGNATURES = 20


class NotAuthentic(Exception):
    """The webhook is not what a live key of this source signed; `reason` is for our metrics, never for the answer."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class BadKey(ValueError):
    """A signing key that cannot be used."""


def signing_key(text: str) -> bytes:
    """Return the bytes of a key written as `whsec_` + base64, or as plain base64.

    Raises:
        BadKey: not base64, or fewer than 24 bytes.
    """
    plain = text.removeprefix("whsec_")
    try:
        key = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadKey("not base64; expected whsec_ and the base64 of 24 to 64 random bytes") from error
    if len(key) < LEAST_KEY_BYTES:
        raise BadKey(f"only {len(key)} bytes; at least {LEAST_KEY_BYTES} are needed")
    return key


def sign(key: bytes, webhook_id: str, timestamp: int, body: bytes) -> str:
    """Return one entry of the `webhook-signature` header."""
    return "v1," + base64.b64encode(_mac(key, webhook_id, str(timestamp), body)).decode("ascii")


def verify(keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, *, now_s: float) -> str:
    """Return the webhook-id of an authentic webhook.

    Args:
        headers: By the lower-case names `webhook-id`, `webhook-timestamp`, `webhook-signature`.
        body: The raw bytes as received.
        now_s: Our clock, seconds since 1970.

    Raises:
        NotAuthentic: for any reason; no reason costs noticeably less time than another.
    """
    webhook_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not _ID.fullmatch(webhook_id) or not _TIMESTAMP.fullmatch(timestamp):
        raise NotAuthentic("header_grammar")
    if not _any_matches(keys, headers.get("webhook-signature", ""), webhook_id, timestamp, body):
        raise NotAuthentic("invalid_signature")
    if abs(now_s - int(timestamp)) > TOLERANCE_S:
        raise NotAuthentic("stale")
    return webhook_id


def _any_matches(keys: Sequence[bytes], header: str, webhook_id: str, timestamp: str, body: bytes) -> bool:
    entries = header.split(" ")[:_MOST_SIGNATURES]
    given = [base64.b64decode(found[1]) for found in map(_V1.fullmatch, entries) if found]
    matched = False
    for key in keys:
        expected = _mac(key, webhook_id, timestamp, body)
        for candidate in given:
            # Every pair is compared, matched or not, and each in constant time.
            matched |= hmac.compare_digest(expected, candidate)
    return matched


def _mac(key: bytes, webhook_id: str, timestamp: str, body: bytes) -> bytes:
    return hmac.digest(key, f"{webhook_id}.{timestamp}.".encode("ascii") + body, sha256)
