"""A refusal is the same work whatever was wrong and whatever source was meant, so that time tells nobody which there are.

Work is counted in bytes that are hashed and signatures that are checked, not by the clock.
"""

import base64
import hashlib
import hmac
import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridge import schemes, signing
from bridge.arrivals import Arrivals
from bridge.keyring import Keyring
from bridge.receiver import webhooks
from bridge.receiver.doors import Door
from bridge.receiver.webhooks import Receiver, WayIn
from bridge.schemes import SCHEMES, Headers
from bridge.signing import sign

BODY = b"x" * 50_000
HEADERS = Headers("X-Hub-Signature-256", "webhook-id")
SHARED = ["whsec_" + base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2, 3)]
PUBLIC = ["whpk_" + base64.b64encode(Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32).public_key().public_bytes_raw()).decode() for n in (1, 2)]  # fmt: skip
TEXTS = {
    "standard-webhooks": SHARED[0],
    "basic": "city:the password of a city app",
    "bearer": "the-first-token-of-a-city-app",
}
TEXTS |= {"hmac-sha256": "the first key of a city's app", "open311": "the-api-key-of-open311-clients"}
#: How many keys doors have -> name of the source.
PLAIN = {name: [text] for name, text in TEXTS.items()}
ROTATING = PLAIN | {"bearer": [TEXTS["bearer"], "the-next-token-of-the-city"], "rotating": SHARED[:2]}
SIGNED = PLAIN | {"public": PUBLIC, "both": [SHARED[2], PUBLIC[0]]}
ONLY_TOKENS = {"bearer": PLAIN["bearer"]}


class Counted:
    """How many bytes were hashed, and how many v1a signatures were checked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        self.checked = 0
        new, sha256, is_signed = hmac.new, hashlib.sha256, signing._is_signed

        def counting_mac(key: bytes, message: bytes, digest: Any) -> Any:
            self.sizes.append(len(message))
            return new(key, message, digest)

        def counting_sha256(message: bytes = b"") -> Any:
            self.sizes.append(len(message))
            return sha256(message)

        def counting_check(key: Any, signature: bytes, signed: bytes) -> bool:
            self.checked += 1
            self.sizes.append(len(signed))
            return is_signed(key, signature, signed)

        monkeypatch.setattr(signing.hmac, "new", counting_mac)
        monkeypatch.setattr(signing.hmac, "digest", counting_mac)
        monkeypatch.setattr(schemes, "sha256", counting_sha256)
        monkeypatch.setattr(webhooks.hashlib, "sha256", counting_sha256)
        monkeypatch.setattr(signing, "_is_signed", counting_check)

    def of(self, way_in: WayIn, source: str, shown: dict[str, str]) -> tuple[int, int, int]:
        """Return, for one refusal: times over the body, signatures checked, and the bytes hashed beyond the bodies."""
        self.sizes, self.checked = [], 0
        assert answered(way_in, source, shown) == 401, (source, shown)
        whole = [size for size in self.sizes if size >= len(BODY)]
        return len(whole), self.checked, sum(self.sizes) - len(whole) * len(BODY)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


def way_in(folder: Path, keys: dict[str, list[str]]) -> WayIn:
    """Return a way in with a door for each source, and one without keys for each scheme."""
    doors = {}
    for name, texts in (keys | {f"keyless-{scheme}": [] for scheme in SCHEMES}).items():
        scheme = SCHEMES.get(name.removeprefix("keyless-"), SCHEMES["standard-webhooks"])
        ring = Keyring(texts, folder / f"{name}.json", id_of=str, read_key=scheme.read_key)
        doors[name] = Door(scheme, HEADERS, ring)
    receiver = Receiver(doors, Arrivals.under(b"t" * 32), None, "https://lapor.example")  # type: ignore[arg-type]
    return WayIn(receiver, lambda environ, start_response: [])


def answered(front: WayIn, source: str, shown: dict[str, str], path: str = "/webhooks/") -> int:
    """Post the body with these headers, and return the status."""
    said: list[str] = []
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": path + source, "CONTENT_TYPE": "application/json"}
    environ |= {"CONTENT_LENGTH": str(len(BODY)), "wsgi.input": io.BytesIO(BODY), "QUERY_STRING": "dry_run"}
    answer = front(environ | shown, lambda status, headers: said.append(status))
    assert json.loads(b"".join(answer))
    return int(said[0].split()[0])


def standard(signatures: str, webhook_id: str = "msg_1", at: str = "1790000000") -> dict[str, str]:
    names = ("HTTP_WEBHOOK_ID", "HTTP_WEBHOOK_TIMESTAMP", "HTTP_WEBHOOK_SIGNATURE")
    return dict(zip(names, (webhook_id, at, signatures), strict=True))


WRONG = sign(b"nobody's key, 32 bytes or more..", "msg_1", 1_790_000_000, BODY)
WRONG_V1A = sign(Ed25519PrivateKey.from_private_bytes(bytes([9]) * 32), "msg_1", 1_790_000_000, BODY)
SHOWN = {
    "nothing": {},
    "a wrong signature": standard(WRONG),
    "many": standard(" ".join([WRONG] * 30)),
    "a malformed signature": standard("v1,short"),
    "a malformed id": standard(WRONG, webhook_id="a.b"),
    "an endless id": standard(WRONG, webhook_id="a" * 8000),
    "a malformed time": standard(WRONG, at="yesterday"),
    "a wrong mac": {"HTTP_X_HUB_SIGNATURE_256": "sha256=" + "0" * 64, "HTTP_WEBHOOK_ID": "msg_1"},
    "a malformed mac": {"HTTP_X_HUB_SIGNATURE_256": "sha1=00"},
    "a wrong password": {"HTTP_AUTHORIZATION": "Basic " + base64.b64encode(b"city:wrong").decode()},
    "a malformed password": {"HTTP_AUTHORIZATION": "Basic ???"},
    "a wrong token": {"HTTP_AUTHORIZATION": "Bearer wrong", "HTTP_WEBHOOK_ID": "a.b"},
    "nothing but zeros": {"HTTP_AUTHORIZATION": "Bearer " + "\x00" * 32},
}


def _sources(keys: dict[str, list[str]]) -> Iterator[str]:
    return itertools.chain(keys, (f"keyless-{scheme}" for scheme in SCHEMES), ["nobody", "unknown"])


@pytest.mark.parametrize("shown", SHOWN)
@pytest.mark.parametrize(
    ("keys", "times"),
    [(PLAIN, 1), (ROTATING, 2), (SIGNED, 1), (ONLY_TOKENS, 1)],
    ids=["plain", "rotating", "signed", "tokens"],
)
def test_refusal_is_the_same_work_whatever_source_was_meant(
    counted: Counted, tmp_path: Path, keys: dict[str, list[str]], times: int, shown: str
) -> None:
    front = way_in(tmp_path, keys)
    found = {source: counted.of(front, source, SHOWN[shown]) for source in _sources(keys)}
    assert {(whole, checked) for whole, checked, _ in found.values()} == {(times, 0)}, found
    # What else is hashed are keys and what was shown for one, and the id and the time before a signed body.
    assert {beyond < 600 for _, _, beyond in found.values()} == {True}, found


def test_public_keys_are_no_exception(counted: Counted, tmp_path: Path) -> None:
    front = way_in(tmp_path, SIGNED)
    shown = standard(f"{WRONG_V1A} {WRONG} {WRONG_V1A} v1a,short")
    found = {source: counted.of(front, source, shown)[:2] for source in _sources(SIGNED)}
    # Once under a shared key, and each of two signatures under two public ones.
    assert set(found.values()) == {(1 + 4, 4)}, found


def test_old_signature_costs_what_a_wrong_one_costs(counted: Counted, tmp_path: Path) -> None:
    front = way_in(tmp_path, PLAIN)
    stale = standard(sign(bytes([1]) * 32, "msg_1", 1_000_000_000, BODY), at="1000000000")
    assert counted.of(front, "standard-webhooks", stale)[:2] == (1, 0)


def test_who_is_let_in_pays_for_its_own_check_and_no_other(counted: Counted, tmp_path: Path) -> None:
    front = way_in(tmp_path, ROTATING | {"public": PUBLIC})
    mac = hmac.new(TEXTS["hmac-sha256"].encode(), BODY, "sha256").hexdigest()
    right = {
        "hmac-sha256": {"HTTP_X_HUB_SIGNATURE_256": f"sha256={mac}", "HTTP_WEBHOOK_ID": "msg_1"},
        "bearer": {"HTTP_AUTHORIZATION": f"Bearer {TEXTS['bearer']}", "HTTP_WEBHOOK_ID": "msg_1"},
    }
    for source, checks in (("hmac-sha256", 1), ("bearer", 0)):
        counted.sizes = []
        assert answered(front, source, right[source]) == 200
        # And once for the receipt.
        assert len([size for size in counted.sizes if size >= len(BODY)]) == checks + 1
