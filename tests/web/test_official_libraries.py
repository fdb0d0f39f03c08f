"""The official signature libraries of Standard Webhooks, which a city would take: they accept what we send, and we they.

JavaScript's two run in a receiver of Node's (javascript/receiver.mjs), which also changes whatever it accepts, and tells
of it if that is accepted, too. No official library knows v1a (Ed25519): there OpenSSL says whether the signature holds.
"""

import base64
import json
import random
import subprocess
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
import standardwebhooks
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridge.delivery.errors import NotDelivered
from bridge.delivery.webhook import CityWebhook
from bridge.reports.feedback import status_data
from bridge.signing import sending_key, signing_key, verify
from tests.receivers import CityReceiver
from tests.server import Server, new_folder
from tests.unit.given import a_report
from tests.waiting import free_port
from tests.web.processes import ROOT
from tests.web.test_senders import NODE_COMMAND

RECEIVER = ROOT / "tests" / "web" / "javascript" / "receiver.mjs"
DICE = random.Random(20261127)  # one seed: a failure can be repeated
PRIVATE = Ed25519PrivateKey.from_private_bytes(b"p" * 32)
PUBLIC = "whpk_" + base64.b64encode(PRIVATE.public_key().public_bytes_raw()).decode()


def key_of(size: int) -> str:
    """Return a shared key of so many bytes; the specification allows 24 to 64."""
    return "whsec_" + base64.b64encode(DICE.randbytes(size)).decode()


KEYS = [key_of(size) for size in range(24, 65)]


def event(**data: Any) -> dict[str, Any]:
    """Return a payload of a report's change, with this in its data."""
    now = datetime.now(UTC)
    return {
        "type": "report.status_changed",
        "timestamp": now.isoformat(),
        "data": {**status_data(a_report(), [], now=now), **data},
    }


EVENTS = {
    "change": event(),
    "not ASCII": event(message="Diterima – 😠 \N{NO-BREAK SPACE}é\u0301 \u2028"),
    "escapes": event(message='"\\\x00\x1f</script>\r\n'),
    "numbers": event(sequence=2**53 + 1, share=0.1, none=None),
    "long": event(message="panjang " * 8_000),
}
each_event = pytest.mark.parametrize("sent", EVENTS.values(), ids=EVENTS.keys())


class Libraries(Server):
    """The receiver in Node: it accepts what the library named in its address accepts."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()

    def command(self) -> list[str]:
        return [NODE_COMMAND, str(RECEIVER), str(self.port)]

    def ready(self) -> bool:
        try:
            return self.ask("svix", KEYS[0], b"{}", {}).status_code == 401
        except requests.ConnectionError:
            return False

    def url(self, library: str, key: str) -> str:
        """Return where the library verifies with that key."""
        return f"http://127.0.0.1:{self.port}/{library}/{quote(key, safe='')}"

    def ask(self, library: str, key: str, body: bytes, headers: Mapping[str, str]) -> requests.Response:
        """Return what the library says of a webhook; 401 with its reason if it refuses."""
        return requests.post(self.url(library, key), data=body, headers=headers, timeout=20)


@pytest.fixture(scope="module")
def libraries() -> Iterator[Libraries]:
    """The official libraries for JavaScript."""
    made = Libraries(new_folder("libraries"))
    made.start()
    yield made
    made.close()


def send(url: str, sent: Mapping[str, Any], *keys: str | Ed25519PrivateKey) -> int | None:
    """Send as we do to a city and to an office's own system; returns the status, nothing unless it was taken."""
    endpoint = CityWebhook(url, [sending_key(key) if isinstance(key, str) else key for key in keys])
    try:
        return endpoint.send("6b1e0d2a-0000-5000-8000-000000000001", sent).status
    finally:
        endpoint.close()


@each_event
@pytest.mark.parametrize("library", ["standardwebhooks", "svix"])
def test_javascript_accepts_every_body_by_keys_of_every_size(
    libraries: Libraries, library: str, sent: dict[str, Any]
) -> None:
    for key in KEYS:
        assert send(libraries.url(library, key), sent, key) == 204


@pytest.mark.parametrize("library", ["standardwebhooks", "svix"])
def test_javascript_accepts_its_key_among_those_of_a_change_of_keys(libraries: Libraries, library: str) -> None:
    old, new, other = KEYS[:3]
    for key in (old, new):
        assert send(libraries.url(library, key), EVENTS["change"], old, PRIVATE, new) == 204
    with pytest.raises(NotDelivered, match="No matching signature found") as refused:
        send(libraries.url(library, other), EVENTS["change"], old, PRIVATE, new)
    assert refused.value.status == 401


@pytest.mark.parametrize("library", ["standardwebhooks", "svix"])
def test_we_accept_what_javascript_signs(library: str) -> None:
    code = (
        f"import {{ Webhook }} from '{library}'; const [key, body, at] = process.argv.slice(1);"
        " console.log(new Webhook(key).sign('msg-1', new Date(at * 1000), body));"
    )
    body, at = json.dumps(EVENTS["not ASCII"], ensure_ascii=False), int(time.time())
    for key in KEYS[::10]:
        signature = subprocess.run(
            [NODE_COMMAND, "--input-type=module", "-e", code, key, body, str(at)],
            cwd=RECEIVER.parent, capture_output=True, text=True, check=True, timeout=60,
        ).stdout.strip()  # fmt: skip
        headers = {"webhook-id": "msg-1", "webhook-timestamp": str(at), "webhook-signature": signature}
        assert verify([signing_key(key)], headers, body.encode(), now_s=at) == "msg-1"


@each_event
def test_openssl_accepts_v1a_among_the_other_keys(libraries: Libraries, sent: dict[str, Any]) -> None:
    assert send(libraries.url("ed25519", PUBLIC), sent, KEYS[0], PRIVATE) == 204


@each_event
def test_python_accepts_every_body_while_its_key_is_one_of_two(sent: dict[str, Any]) -> None:
    city = CityReceiver()
    city.start()
    try:
        send(city.url, sent, KEYS[0], KEYS[-1])
        (posted,) = city.requests
    finally:
        city.stop()
    for key in (KEYS[0], KEYS[-1]):
        seen: Any = standardwebhooks.Webhook(key).verify(posted.body, dict(posted.headers))
        assert seen == sent
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            standardwebhooks.Webhook(key).verify(posted.body + b" ", dict(posted.headers))
