"""Signed webhooks as the city sends them: 1.2 kB of the contract's shape, each with an id of its own."""

import base64
import json
import secrets
import time
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from bridge.signing import sign

BODY_BYTES = 1200
PATH = "/webhooks/qlue"

_WIB = timezone(timedelta(hours=7))
_STORY = (
    "Kendaraan saya ditarik di jalan oleh penagih pihak ketiga tanpa surat kuasa, tanpa putusan pengadilan, "
    "padahal angsuran baru terlambat satu bulan dan sudah saya sampaikan akan dibayar pada tanggal gajian. "
)


def new_secret() -> str:
    """Return a fresh Standard Webhooks secret."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """Return the bytes of a secret."""
    return base64.b64decode(secret.removeprefix("whsec_"))


def body(external_id: str, *, size_bytes: int = BODY_BYTES) -> bytes:
    """Return a `report.submitted` event of exactly `size_bytes` bytes."""
    bare = len(_event(external_id, ""))
    story = (_STORY * (size_bytes // len(_STORY) + 1))[: max(1, size_bytes - bare)]
    return _event(external_id, story)


def _event(external_id: str, story: str) -> bytes:
    now = datetime.now(_WIB).isoformat(timespec="seconds")
    data = {
        "id": external_id,
        "title": "Motor ditarik leasing",
        "description": story,
        "category": "PEMBIAYAAN",
        "reported_at": now,
        "language": "id",
        "reporter": {
            "name": "Sri Rahayu",
            "phone": "+62 812 0000 0000",
            "email": "sri.rahayu@example.test",
            "domicile": "31.74",
            "anonymous": False,
        },
        "business": {"name": "PT Contoh Pembiayaan", "address": "Jl. Contoh 1, Jakarta Selatan"},
        "amount_idr": 12_500_000,
        "location": {"lat": -6.26, "lon": 106.81, "area": "31.74.05"},
        "attachments": [{"url": "https://foto.example.test/1.jpg", "media_type": "image/jpeg"}],
    }
    event = {"type": "report.submitted", "timestamp": now, "data": data}
    return json.dumps(event, separators=(",", ":")).encode()


def new_ids(count: int) -> list[str]:
    """Return ids of the city that no other call returns."""
    run = secrets.token_hex(4)
    return [f"QL-{run}-{number:06d}" for number in range(count)]


def bodies(count: int) -> list[bytes]:
    """Return `count` bodies, each with an id of its own."""
    return [body(external_id) for external_id in new_ids(count)]


def request(key: bytes, payload: bytes, *, host: str, path: str = PATH) -> bytes:
    """Return a complete HTTP/1.1 request, signed now; the webhook-id is new every time."""
    webhook_id, now = "msg_" + secrets.token_hex(12), int(time.time())
    return (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(payload)}\r\nwebhook-id: {webhook_id}\r\nwebhook-timestamp: {now}\r\n"
        f"webhook-signature: {sign(key, webhook_id, now, payload)}\r\n\r\n"
    ).encode() + payload


def requests(secret: str, payloads: Sequence[bytes], *, host: str, path: str = PATH) -> list[bytes]:
    """Return one signed request per payload; good for five minutes."""
    key = key_of(secret)
    return [request(key, payload, host=host, path=path) for payload in payloads]
