"""What stands at the network's edge in tests: a real SMTP server and a real HTTP receiver, both told how to answer."""

import asyncio
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.waiting import eventually, free_port


@dataclass(frozen=True)
class Mailed:
    """A message the SMTP server has accepted."""

    arrived_at: datetime
    sender: str
    recipients: tuple[str, ...]
    raw: bytes

    @cached_property
    def message(self) -> EmailMessage:
        """The message, read when somebody looks: that takes longer than taking it."""
        return message_from_bytes(self.raw, policy=policy.default)


class Mail:
    """A real SMTP server on a free port; what it accepted is in `messages` and, as .eml files, in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"smtp://127.0.0.1:{self.port}"
        self.messages: list[Mailed] = []
        #: Seconds between the end of the message and our answer.
        self.delay_s = 0.0
        self._next_answers: deque[str] = deque()
        self._refusal = ""
        self._controller: Controller | None = None

    def start(self) -> None:
        """Begin to listen."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    def stop(self) -> None:
        """Stop to listen; the same port is used at the next start."""
        if self._controller:
            self._controller.stop()
            self._controller = None

    def answer_next(self, *answers: str) -> None:
        """Give these answers to the next messages, one each, e.g. "451 4.3.0 later"; not stored unless 250."""
        self._next_answers.extend(answers)

    def refuse(self, answer: str = "451 4.3.0 try again later") -> None:
        """Refuse every message until `accept()`."""
        self._refusal = answer

    def accept(self) -> None:
        """Accept again."""
        self._refusal = ""

    def wait_for(self, n: int, limit_s: float = 10.0) -> list[Mailed]:
        """Return the messages as soon as there are at least n."""
        eventually(lambda: len(self.messages) >= n, limit_s, f"{n} mails at {self.url}, got {len(self.messages)}")
        return list(self.messages)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd
        """Called by aiosmtpd with a whole message, on its own thread."""
        await asyncio.sleep(self.delay_s)
        answer = self._next_answers.popleft() if self._next_answers else self._refusal or "250 2.0.0 accepted"
        if answer.startswith("250"):
            self._store(envelope)
        return answer

    def _store(self, envelope: Envelope) -> None:
        raw = envelope.content
        assert isinstance(raw, bytes)
        (self.folder / f"{len(self.messages):05}.eml").write_bytes(raw)
        recipients = tuple(envelope.rcpt_tos)
        self.messages.append(Mailed(datetime.now(UTC), envelope.mail_from or "", recipients, raw))


@dataclass(frozen=True)
class Posted:
    """A POST as it came, whatever was answered."""

    arrived_at: datetime
    path: str
    #: Names in lower case.
    headers: Mapping[str, str]
    body: bytes
    #: What we answered.
    status: int


@dataclass(frozen=True)
class Answer:
    """How to answer one POST."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    #: Seconds to wait before the answer.
    delay_s: float = 0.0


class CityReceiver:
    """A real HTTP server that plays the city's receiver of status callbacks, on a free port."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/callbacks"
        self.requests: list[Posted] = []
        self._always = Answer()
        self._next: deque[Answer] = deque()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Begin to listen."""
        self._stopping.clear()
        self._server = _Http(("127.0.0.1", self.port), self)
        # A short poll: `shutdown` waits for it.
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Stop to listen; the same port is used at the next start."""
        self._stopping.set()
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer_next(self, *answers: Answer | int) -> None:
        """Give these answers (or statuses) to the next POSTs, one each."""
        self._next.extend(_as_answer(answer) for answer in answers)

    def answer_always(self, answer: Answer | int) -> None:
        """Answer like this when nothing else was asked for."""
        self._always = _as_answer(answer)

    def wait_for(self, n: int, limit_s: float = 10.0) -> list[Posted]:
        """Return the POSTs as soon as there are at least n."""
        eventually(lambda: len(self.requests) >= n, limit_s, f"{n} POSTs at {self.url}, got {len(self.requests)}")
        return list(self.requests)

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Record one POST and say how to answer it."""
        with self._lock:
            answer = self._next.popleft() if self._next else self._always
            lower = {name.lower(): value for name, value in headers.items()}
            self.requests.append(Posted(datetime.now(UTC), path, lower, body, answer.status))
        # Ends at once when the test is over, however long the delay.
        self._stopping.wait(answer.delay_s)
        return answer


def _as_answer(answer: Answer | int) -> Answer:
    return Answer(answer) if isinstance(answer, int) else answer


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    # Idle keep-alive connections of the client must not hold up the end of a test.
    block_on_close = False

    def __init__(self, address: tuple[str, int], city: CityReceiver) -> None:
        self.city = city
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is part of the tests, not worth a traceback."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        body = self.rfile.read(length)
        if len(body) < length:
            # Whoever sent it was killed in the middle: no server takes a request that has no end.
            self.close_connection = True
            return
        answer = self.server.city.take(self.path, dict(self.headers.items()), body)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def do_GET(self) -> None:
        """A dead-man's switch is asked for so; recorded like a POST without a body."""
        self.do_POST()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: the requests are recorded."""
