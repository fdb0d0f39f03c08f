"""How sources prove who they are: one table of schemes, each with how its keys are written and how it checks.

Whatever the scheme, a webhook gets an id: the sender's own where it has one, else the hash of its body, so that the
same bytes again are the same webhook.
"""

import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any, NamedTuple

from bridge.signing import (
    ID_GRAMMAR,
    LEAST_KEY_BYTES,
    BadKey,
    Matched,
    NotAuthentic,
    VerifyingKey,
    Work,
    mac,
    matched,
    sending_key,
    sign,
    verifying_key,
    work_of,
)

Environ = Mapping[str, Any]


class Headers(NamedTuple):
    """Where a source puts its signature and its webhook-id, as names of headers."""

    signature: str
    id: str


class Shown(NamedTuple):
    """A request at the door: its raw body, and our clock in seconds since 1970."""

    environ: Environ
    headers: Headers
    body: bytes
    now_s: float

    def header(self, name: str) -> str:
        """Return a header; absent and empty are the same."""
        value: str = self.environ.get(_variable(name), "")
        return value


@cache
def _variable(header: str) -> str:
    return "HTTP_" + header.upper().replace("-", "_")


class Sending(NamedTuple):
    """What a sender is about to post: its key's text, and the time in seconds since 1970."""

    key: str
    headers: Headers
    webhook_id: str
    body: bytes
    now_s: int


@dataclass(frozen=True)
class Scheme:
    """One way to prove it: `read_key` turns a key's text into what `check` compares with, or raises BadKey.

    `proof` is the sender's side: the headers to post with. `work` is what `check` does to a body it refuses.
    """

    read_key: Callable[[str], Any]
    check: Callable[[Sequence[Any], Shown], Matched]
    proof: Callable[[Sending], dict[str, str]]
    decoy: Any
    work: Callable[[Sequence[Any]], Work]


def secret_text(text: str) -> bytes:
    """Return a key that is used as it is written.

    Raises:
        BadKey: fewer than 24 bytes.
    """
    key = text.encode()
    if len(key) < LEAST_KEY_BYTES:
        raise BadKey(f"only {len(key)} bytes; at least {LEAST_KEY_BYTES} are needed")
    return key


def user_and_password(text: str) -> bytes:
    """Return `user:password`, as RFC 7617 sends it.

    Raises:
        BadKey: no colon, or fewer than 24 bytes.
    """
    if ":" not in text:
        raise BadKey("expected user:password")
    return secret_text(text)


def _standard(keys: Sequence[VerifyingKey], shown: Shown) -> Matched:
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    return matched(keys, {name: shown.header(name) for name in names}, shown.body, now_s=shown.now_s)


_HEX_MAC = re.compile(r"sha256=([0-9a-fA-F]{64})", re.ASCII)


def _hmac_sha256(keys: Sequence[bytes], shown: Shown) -> Matched:
    """GitHub's way: `sha256=` and the hexadecimal HMAC of the body. No timestamp: ids are remembered for good."""
    given = _HEX_MAC.fullmatch(shown.header(shown.headers.signature))
    expected = [mac(key, shown.body) for key in keys]
    number = first_equal(expected, bytes.fromhex(given[1]) if given else b"")
    return Matched(_id(shown), number)


def _basic(keys: Sequence[bytes], shown: Shown) -> Matched:
    scheme, _, credentials = shown.header("Authorization").partition(" ")
    try:
        given = base64.b64decode(credentials, validate=True) if scheme.lower() == "basic" else b""
    except (binascii.Error, ValueError):
        given = b""
    number = first_equal(keys, given)
    return Matched(_id(shown), number)


def _bearer(keys: Sequence[bytes], shown: Shown) -> Matched:
    scheme, _, token = shown.header("Authorization").partition(" ")
    # WSGI hands headers out as Latin-1.
    given = token.encode("latin-1", "replace") if scheme.lower() == "bearer" else b""
    number = first_equal(keys, given)
    return Matched(_id(shown), number)


def _open311(keys: Sequence[bytes], shown: Shown) -> Matched:  # noqa: ARG001 - one shape for all schemes
    """Open311 clients have a door of their own (bridge/open311); no webhook is one of theirs."""
    raise NotAuthentic("invalid_signature")


def first_equal(expected: Sequence[bytes], given: bytes) -> int:
    """Return the place of the first one that `given` equals, in the same time whatever their lengths.

    Raises:
        NotAuthentic: none of them.
    """
    mark = sha256(given).digest()
    # Every one is compared, equal or not.
    found = [hmac.compare_digest(sha256(one).digest(), mark) for one in expected]
    if True not in found:
        raise NotAuthentic("invalid_signature")
    return found.index(True)


def _id(shown: Shown) -> str:
    given = shown.header(shown.headers.id)
    if not given:
        return f"sha256-{sha256(shown.body).hexdigest()}"
    if not ID_GRAMMAR.fullmatch(given):
        raise NotAuthentic("header_grammar")
    return given


def _signed(sending: Sending) -> dict[str, str]:
    webhook_id, at = sending.webhook_id, sending.now_s
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(at),
        "webhook-signature": sign(sending_key(sending.key), webhook_id, at, sending.body),
    }


def _with_mac(sending: Sending) -> dict[str, str]:
    mac = hmac.digest(sending.key.encode(), sending.body, sha256).hex()
    return {sending.headers.signature: f"sha256={mac}", sending.headers.id: sending.webhook_id}


def _with_password(sending: Sending) -> dict[str, str]:
    credentials = base64.b64encode(sending.key.encode()).decode("ascii")
    return {"Authorization": f"Basic {credentials}", sending.headers.id: sending.webhook_id}


def _with_token(sending: Sending) -> dict[str, str]:
    return {"Authorization": f"Bearer {sending.key}", sending.headers.id: sending.webhook_id}


def _macs(keys: Sequence[Any]) -> Work:
    return Work(macs=len(keys))


def _no_work(keys: Sequence[Any]) -> Work:  # noqa: ARG001 - one shape for all schemes
    return Work()


#: Compared with where there is no key. Nobody can show it: who could, would learn by time that there is none.
_DECOY = secrets.token_bytes(32)

#: By the names sources.toml uses.
SCHEMES: Mapping[str, Scheme] = {
    "standard-webhooks": Scheme(verifying_key, _standard, _signed, _DECOY, work_of),
    "hmac-sha256": Scheme(secret_text, _hmac_sha256, _with_mac, _DECOY, _macs),
    "basic": Scheme(user_and_password, _basic, _with_password, _DECOY, _no_work),
    "bearer": Scheme(secret_text, _bearer, _with_token, _DECOY, _no_work),
    "open311": Scheme(secret_text, _open311, _with_token, _DECOY, _no_work),
}
