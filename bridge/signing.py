"""Standard Webhooks signatures, v1 (HMAC-SHA256) and v1a (Ed25519): one strict verifier, one signer.

Rules: the Standard Webhooks specification 1.0.0. Own code, since the published Python libraries crash on malformed
headers and normalise what they should refuse (reference/webhooks.md section 2).
"""

import base64
import binascii
import hmac
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

#: How far a webhook's timestamp may be from our clock, in seconds, both ways (all reference libraries: 300).
TOLERANCE_S = 300
LEAST_KEY_BYTES = 24

#: A webhook-id: visible ASCII without "." (the separator of what is signed) and "," (two joined headers).
ID_GRAMMAR = re.compile(r"[!-+\-/-~]{1,256}", re.ASCII)
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
# 32 bytes in base64, written the one way there is: the last character has two bits that nobody reads, both 0.
_V1 = re.compile(r"v1,([A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=)", re.ASCII)
# 64 bytes: the last character has four bits that nobody reads.
_V1A = re.compile(r"v1a,([A-Za-z0-9+/]{85}[AQgw]==)", re.ASCII)
_MOST_SIGNATURES = 20

#: What a v1 or a v1a signature is checked with, and what one is made with.
VerifyingKey = bytes | Ed25519PublicKey
SendingKey = bytes | Ed25519PrivateKey


class Matched(NamedTuple):
    """An authentic webhook: its id, and the place among the keys of the first one that matched."""

    webhook_id: str
    key_number: int


class NotAuthentic(Exception):
    """The webhook is not what a live key of this source signed; `reason` is for our metrics, never for the answer."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Work(NamedTuple):
    """How often checking goes over a whole body: copied with its id and time, under each shared key, and under each
    public key for every v1a signature shown.
    """

    copies: int = 0
    macs: int = 0
    seals: int = 0


class BadKey(ValueError):
    """A signing key that cannot be used."""


def signing_key(text: str) -> bytes:
    """Return the bytes of a key written as `whsec_` + base64, or as plain base64.

    Raises:
        BadKey: not base64, or fewer than 24 bytes.
    """
    key = _unbase64(text.removeprefix("whsec_"), "whsec_ and the base64 of 24 to 64 random bytes")
    if len(key) < LEAST_KEY_BYTES:
        raise BadKey(f"only {len(key)} bytes; at least {LEAST_KEY_BYTES} are needed")
    return key


def verifying_key(text: str) -> VerifyingKey:
    """Return what checks signatures: a shared key (see signing_key), or a public one written `whpk_` + base64.

    Raises:
        BadKey: neither, or a private key, which its owner should never have sent.
    """
    if text.startswith("whsk_"):
        raise BadKey("whsk_ is the sender's private key, which stays with the sender; expected whpk_, the public one")
    if not text.startswith("whpk_"):
        return signing_key(text)
    key = _unbase64(text.removeprefix("whpk_"), "whpk_ and the base64 of 32 bytes")
    if len(key) != 32:
        raise BadKey(f"a public key has 32 bytes, this one has {len(key)}")
    return Ed25519PublicKey.from_public_bytes(key)


def sending_key(text: str) -> SendingKey:
    """Return what makes signatures: a shared key (see signing_key), or a private one written `whsk_` + base64.

    Raises:
        BadKey: neither.
    """
    if not text.startswith("whsk_"):
        return signing_key(text)
    key = _unbase64(text.removeprefix("whsk_"), "whsk_ and the base64 of 64 bytes, private and public")
    if len(key) not in (32, 64):
        raise BadKey(f"a private key has 64 bytes with its public half, this one has {len(key)}")
    return Ed25519PrivateKey.from_private_bytes(key[:32])


def _unbase64(text: str, expected: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadKey(f"not base64; expected {expected}") from error


def sign(key: SendingKey, webhook_id: str, timestamp: int, body: bytes) -> str:
    """Return one entry of the `webhook-signature` header."""
    signed = _signed(webhook_id, str(timestamp), body)
    if isinstance(key, bytes):
        return "v1," + base64.b64encode(mac(key, signed)).decode("ascii")
    return "v1a," + base64.b64encode(key.sign(signed)).decode("ascii")


def verify(keys: Sequence[VerifyingKey], headers: Mapping[str, str], body: bytes, *, now_s: float) -> str:
    """Return the webhook-id of an authentic webhook; see matched."""
    return matched(keys, headers, body, now_s=now_s).webhook_id


def matched(keys: Sequence[VerifyingKey], headers: Mapping[str, str], body: bytes, *, now_s: float) -> Matched:
    """Return the webhook-id of an authentic webhook, and which key matched.

    Args:
        headers: By the lower-case names `webhook-id`, `webhook-timestamp`, `webhook-signature`.
        body: The raw bytes as received.
        now_s: Our clock, seconds since 1970.

    Raises:
        NotAuthentic: for any reason; no reason costs noticeably less time than another.
    """
    webhook_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    sound = ID_GRAMMAR.fullmatch(webhook_id) and _TIMESTAMP.fullmatch(timestamp)
    # What is malformed costs as much, and its length counts for nothing.
    signed = _signed(webhook_id, timestamp, body) if sound else _signed("", "", body)
    number = _first_match(keys, headers.get("webhook-signature", ""), signed)
    if not sound:
        raise NotAuthentic("header_grammar")
    if number is None:
        raise NotAuthentic("invalid_signature")
    if abs(now_s - int(timestamp)) > TOLERANCE_S:
        raise NotAuthentic("stale")
    return Matched(webhook_id, number)


def work_of(keys: Sequence[VerifyingKey]) -> Work:
    """Return what matched does with these keys."""
    shared = sum(isinstance(key, bytes) for key in keys)
    return Work(copies=1, macs=shared, seals=len(keys) - shared)


def pretend(work: Work, signature_header: str, body: bytes) -> None:
    """Do this much work that decides nothing, so that time tells nobody how little there was to check."""
    signed = body
    for _ in range(work.copies):
        signed = _signed("", "", body)
    for _ in range(work.macs):
        mac(_NOBODYS_KEY, signed)
    if work.seals > 0:
        signatures = _decoded(_V1A, signature_header.split(" ")[:_MOST_SIGNATURES])
        for signature in signatures * work.seals:
            _is_signed(_NOBODYS_PUBLIC_KEY, signature, signed)


def _decoded(entry: re.Pattern[str], entries: Sequence[str]) -> list[bytes]:
    return [base64.b64decode(found[1]) for found in map(entry.fullmatch, entries) if found]


def _first_match(keys: Sequence[VerifyingKey], header: str, signed: bytes) -> int | None:
    entries = header.split(" ")[:_MOST_SIGNATURES]
    macs, signatures = _decoded(_V1, entries), _decoded(_V1A, entries)
    # Every key is tried, matched or not.
    found = [_matches(key, macs if isinstance(key, bytes) else signatures, signed) for key in keys]
    return found.index(True) if True in found else None


def _matches(key: VerifyingKey, given: Sequence[bytes], signed: bytes) -> bool:
    """Tell whether one of the signatures is of this key; every one is compared, each in constant time."""
    if isinstance(key, bytes):
        expected = mac(key, signed)
        return any([hmac.compare_digest(expected, candidate) for candidate in given])
    return any([_is_signed(key, candidate, signed) for candidate in given])


def _is_signed(key: Ed25519PublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def _signed(webhook_id: str, timestamp: str, body: bytes) -> bytes:
    return f"{webhook_id}.{timestamp}.".encode("ascii") + body


def mac(key: bytes, signed: bytes) -> bytes:
    """Return the HMAC-SHA256."""
    # Not hmac.digest: that lets go of the interpreter, and of thirty busy threads it comes back last.
    return hmac.new(key, signed, sha256).digest()


_NOBODYS_KEY = bytes(32)
_NOBODYS_PUBLIC_KEY = Ed25519PrivateKey.from_private_bytes(_NOBODYS_KEY).public_key()
