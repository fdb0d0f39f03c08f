"""`POST /webhooks/<source>`: 202 only for what a kill -9 can no longer lose.

In this order: source known, header grammar, bounded body, signature over the raw bytes, timestamp, strict JSON,
schema, publish confirmed, answer. It stands in front of the Flask application as WSGI middleware: a webhook has no use
for sessions, routing and contexts, and they would cost it half of its time (docs/performance.md).
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

import structlog
from prometheus_client import Counter

from bridge.arrivals import MAX_BODY_BYTES as MAX_BODY_BYTES
from bridge.arrivals import Arrivals
from bridge.broker.messages import Message
from bridge.broker.publisher import NotDurable, Publisher
from bridge.receiver.doors import Door, Doors, TooMany, Verified, even_out
from bridge.schemes import SCHEMES, Headers
from bridge.signing import NotAuthentic
from bridge.strict_json import NotJson
from bridge.tracing import span
from schemas.city import NotAReport, checked_id

log = structlog.get_logger()

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

PREFIX = "/webhooks/"
#: What a sender is told to wait when nothing can be made durable, in seconds.
RETRY_AFTER_S = 30
#: The longest a request waits for the queue's confirm, in seconds; senders give up after 15 to 30.
CONFIRM_S = 8.0

OUTCOMES = Counter("bridge_webhooks_total", "Webhooks by source and what became of them", ["source", "outcome"])

#: Stands in for the door of an unknown source, so that it costs the same time as a known one.
_NO_DOOR = Door(SCHEMES["standard-webhooks"], Headers("", ""))


@dataclass(frozen=True)
class Receiver:
    """What the way in needs: a door per source, the arrivals, a publisher, and our public address."""

    doors: Doors
    arrivals: Arrivals
    publisher: Publisher
    public_url: str


class Refused(Exception):
    """Not taken; `status` and `headers` are the answer, `outcome` is counted."""

    def __init__(self, status: int, outcome: str, detail: str, **headers: str) -> None:
        self.status, self.outcome, self.detail, self.headers = status, outcome, detail, headers
        super().__init__(detail)


class WayIn:
    """WSGI middleware: answers `/webhooks/<source>`, leaves every other path to the application behind it."""

    def __init__(self, receiver: Receiver, behind: Application) -> None:
        self._receiver = receiver
        self._behind = behind

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        path: str = environ.get("PATH_INFO", "")
        source = path.removeprefix(PREFIX)
        if source == path or not source or "/" in source:
            return self._behind(environ, start_response)
        status, body, headers = self._answer(source, environ)
        content = json.dumps(body).encode() + b"\n"
        start_response(
            f"{status} {HTTPStatus(status).phrase}",
            [
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(content))),
                ("X-Content-Type-Options", "nosniff"),
                *headers.items(),
            ],
        )
        return [content]

    def _answer(self, source: str, environ: Environ) -> tuple[int, dict[str, Any], dict[str, str]]:
        known = source if source in self._receiver.doors else "unknown"
        try:
            answer = _accept(self._receiver, source, environ)
        except Refused as refused:
            OUTCOMES.labels(known, refused.outcome).inc()
            return refused.status, {"status": "refused", "detail": refused.detail}, refused.headers
        OUTCOMES.labels(known, answer["status"]).inc()
        return (200 if "dry_run" in answer else 202), answer, {}


def _accept(receiver: Receiver, source: str, environ: Environ) -> dict[str, Any]:
    body = _bounded_body(environ)
    webhook_id, key_id = _let_in(receiver, source, environ, body)
    received_at = datetime.now(UTC)
    digest = hashlib.sha256(body).hexdigest()
    answer = _judged(receiver, source, webhook_id, body) | {"received_at": received_at.isoformat(), "sha256": digest}
    if _is_dry_run(environ):
        return answer | {"dry_run": True, "status": f"would_be_{answer['status']}", "key_id": key_id}
    city = environ.get("HTTP_TRACEPARENT")
    with span("receive", answer.get("report_id"), link=city, since=received_at, source=source) as receiving:
        trace = receiving.carried()
        message = receiver.arrivals.sealed(source, webhook_id, key_id, received_at, digest, body, trace)
        _keep(receiver.publisher, message)
    return answer


def _keep(publisher: Publisher, message: Message) -> None:
    try:
        publisher.publish([message], timeout_s=CONFIRM_S)
    except NotDurable as error:
        # Neither the broker nor the spool on our disk could take it: the sender keeps the report.
        source, webhook_id = message.data["source"], message.data["webhook_id"]
        log.error("webhook_not_durable", source=source, webhook_id=webhook_id, error=str(error))
        detail = "The report could not be stored safely. Send it again later."
        raise Refused(503, "not_durable", detail, **{"Retry-After": str(RETRY_AFTER_S)}) from error


def _is_dry_run(environ: Environ) -> bool:
    """Tell whether the sender only wants to know what would happen: `?dry_run`."""
    asked = environ.get("QUERY_STRING")
    said = parse_qs(asked, keep_blank_values=True).get("dry_run", ["no"])[0] if asked else "no"
    # Whoever writes `dry_run=True` means it, too.
    return said.lower() not in ("0", "false", "no")


def _judged(receiver: Receiver, source: str, webhook_id: str, body: bytes) -> dict[str, Any]:
    """Return what the sender is told of an authentic body: taken as a report, or kept for a person to look at."""
    try:
        external_id = checked_id(receiver.arrivals.payload(source, webhook_id, body))
    except NotJson as fault:
        return {"status": "set_aside", "problems": [str(fault)]}
    except NotAReport as fault:
        return {"status": "set_aside", "problems": fault.problems}
    report_id, ticket = receiver.arrivals.named(source, external_id)
    return {
        "report_id": report_id,
        "ticket": ticket,
        "status": "accepted",
        "track_url": f"{receiver.public_url}/track/{ticket}",
    }


def _bounded_body(environ: Environ) -> bytes:
    if environ["REQUEST_METHOD"] != "POST":
        raise Refused(405, "method", "Send a POST.", Allow="POST")
    media_type = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise Refused(415, "not_json", "Send application/json.")
    text = environ.get("CONTENT_LENGTH") or ""
    if not (text.isascii() and text.isdigit()) or "HTTP_TRANSFER_ENCODING" in environ:
        # Chunked bodies reach WSGI applications cut to the limit without a word, so they need a length.
        raise Refused(411, "no_length", "Send a Content-Length.")
    if len(text) > 9 or int(text) > MAX_BODY_BYTES:
        raise Refused(413, "too_large", f"A report may have {MAX_BODY_BYTES} bytes.")
    return _read(environ["wsgi.input"], int(text))


def _read(stream: Any, length: int) -> bytes:
    """Return exactly `length` bytes; a server may hand them out in pieces."""
    try:
        body: bytes = stream.read(length)
        while len(body) < length and (more := stream.read(length - len(body))):
            body += more
    except OSError as error:
        raise Refused(400, "short_body", "The body broke off.") from error
    if len(body) != length:
        raise Refused(400, "short_body", "The body is shorter than its Content-Length.")
    return body


def _let_in(receiver: Receiver, source: str, environ: Environ, body: bytes) -> Verified:
    door = receiver.doors.get(source, _NO_DOOR)
    try:
        verified = door.authentic(environ, body)
        # Only now: whoever has no key must not use up what the city may send.
        door.let_through()
    except NotAuthentic as error:
        even_out(receiver.doors, door, environ, body)
        outcome = "unknown_source" if door is _NO_DOOR else error.reason
        raise Refused(401, outcome, "Not authentic.") from error
    except TooMany as error:
        detail = "Too many webhooks in a second. Send this one again later."
        raise Refused(429, "throttled", detail, **{"Retry-After": str(error.wait_s)}) from error
    return verified
