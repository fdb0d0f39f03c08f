"""Real `bridge …` processes, requests byte by byte, and reports as a city app signs them."""

import base64
import itertools
import json
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

from bridge.signing import sign
from tests.servers import Server, free_port

ROOT = Path(__file__).parents[2]
KEY = b"the key the tests share with the city"
SECRET = "whsec_" + base64.b64encode(KEY).decode()


class Bridge(Server):
    """One `bridge …` process; embedded queue and database unless the variables say otherwise."""

    def __init__(self, folder: Path, *command: str, **variables: str) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command, self._variables = command, variables

    def command(self) -> list[str]:
        return [sys.executable, "-c", "from bridge.cli import main; main()", *self._command]

    def environment(self) -> dict[str, str]:
        ours = {
            "PYTHONPATH": str(ROOT),
            "BRIDGE_DATA_DIR": str(self.folder / "var"),
            "BRIDGE_LISTEN": f"127.0.0.1:{self.port}",
            "BRIDGE_SECRET_KEY": "a secret key only for these tests",
            "BRIDGE_TICKET_KEY": "a ticket key only for these tests",
            "BRIDGE_RECEIVER_WORKERS": "1",
            "QLUE_WEBHOOK_SECRET": SECRET,
        }
        return super().environment() | ours | self._variables

    def ready(self) -> bool:
        try:
            return ask(self.port, "GET", "/healthz").status == 200
        except OSError:
            return False


@dataclass(frozen=True)
class Reply:
    """An answer; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@contextmanager
def connected(port: int, limit_s: float = 20) -> Iterator[socket.socket]:
    """Open a connection for as long as the block lasts."""
    with socket.create_connection(("127.0.0.1", port), limit_s) as client:
        yield client


def send(port: int, request: bytes, *, end: bool = False) -> Reply:
    """Send these very bytes and read one answer; with `end` say that nothing more comes."""
    with connected(port) as client:
        try:
            client.sendall(request)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before all was sent; the answer is there to read
        if end:
            client.shutdown(socket.SHUT_WR)
        return read_reply(client, request.partition(b" ")[0].decode("latin-1"))


def read_reply(client: socket.socket, method: str = "") -> Reply:
    """Read one answer; to a HEAD request it has no body."""
    answer = HTTPResponse(client, method=method)
    answer.begin()
    headers = {name.lower(): value for name, value in answer.getheaders()}
    return Reply(answer.status, headers, answer.read())


def head(method: str, path: str, *lines: str) -> bytes:
    """Return a request's first lines."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: bridge", "Connection: close", *lines, "", ""]).encode(
        "latin-1"
    )


def ask(port: int, method: str, path: str, *lines: str) -> Reply:
    """Send a request without a body."""
    return send(port, head(method, path, *lines))


_numbers = itertools.count(1)


def new_id(prefix: str = "msg") -> str:
    """Return an id nothing else in this run has."""
    return f"{prefix}_{next(_numbers)}_{time.time_ns()}"


def report(external_id: str = "", **data: Any) -> bytes:
    """Return the body of a report; `data` replaces fields, None removes one."""
    fields = {
        "id": external_id or new_id("QL"),
        "title": "Motor ditarik leasing",
        "description": "Ditarik di jalan tanpa surat tugas.",
        "category": "PEMBIAYAAN",
        "reported_at": "2026-11-23T09:58:10+07:00",
        **data,
    }
    kept = {name: value for name, value in fields.items() if value is not None}
    return event(data=kept)


def event(**parts: Any) -> bytes:
    """Return an event's body, whole but for the parts named."""
    whole = {"type": "report.submitted", "timestamp": "2026-11-23T10:00:00+07:00", "data": {}, **parts}
    return json.dumps(whole).encode()


def signed(body: bytes, webhook_id: str = "", *, at: int | None = None, key: bytes = KEY) -> dict[str, str]:
    """Return the headers that make a body authentic."""
    webhook_id, at = webhook_id or new_id(), int(time.time()) if at is None else at
    return {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(at),
        "webhook-signature": sign(key, webhook_id, at, body),
    }


def post(port: int, body: bytes, headers: dict[str, str] | None = None, *, source: str = "qlue") -> Reply:
    """Send a webhook, authentic unless the headers say otherwise."""
    lines = {"content-length": str(len(body)), **(signed(body) if headers is None else headers)}
    return send(port, head("POST", f"/webhooks/{source}", *(f"{n}: {v}" for n, v in lines.items())) + body)
