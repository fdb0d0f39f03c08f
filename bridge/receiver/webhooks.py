"""`POST /webhooks/<source>`: 202 only for what a kill -9 can no longer lose.

In this order: source known, header grammar, bounded body, signature over the raw bytes, timestamp, strict JSON,
schema, publish confirmed, answer.
"""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from flask import Blueprint, Request, Response, request
from flask.json import dumps
from prometheus_client import Counter

from bridge.broker.messages import webhook_received
from bridge.broker.publisher import NotDurable, Publisher
from bridge.reports.tickets import report_id_for, ticket_for
from bridge.signing import NotAuthentic, verify
from bridge.strict_json import NotJson, loads
from schemas.city import NotAReport, load_event

log = structlog.get_logger()

MAX_BODY_BYTES = 256 * 1024
#: What a sender is told to wait when nothing can be made durable, in seconds.
RETRY_AFTER_S = 30
#: The longest a request waits for the queue's confirm, in seconds; senders give up after 15 to 30.
CONFIRM_S = 8.0

OUTCOMES = Counter("bridge_webhooks_total", "Webhooks by source and what became of them", ["source", "outcome"])

#: Stands in for the keys of an unknown source, so that it costs the same time as a known one.
_NO_KEYS = (b"\x00" * 32,)


@dataclass(frozen=True)
class Receiver:
    """What the way in needs: live keys per source, the ticket key, a publisher, and our public address."""

    keys: Mapping[str, tuple[bytes, ...]]
    ticket_key: bytes
    publisher: Publisher
    public_url: str


class Refused(Exception):
    """Not taken; `status` and `headers` are the answer, `outcome` is counted."""

    def __init__(self, status: int, outcome: str, detail: str, **headers: str) -> None:
        self.status, self.outcome, self.detail, self.headers = status, outcome, detail, headers
        super().__init__(detail)


def blueprint(receiver: Receiver) -> Blueprint:
    """Return the routes of the way in."""
    routes = Blueprint("webhooks", __name__)

    @routes.post("/webhooks/<source>")
    def receive(source: str) -> Response:
        known = source if source in receiver.keys else "unknown"
        try:
            answer, outcome = _accept(receiver, source, request)
        except Refused as refused:
            OUTCOMES.labels(known, refused.outcome).inc()
            body = {"status": "refused", "detail": refused.detail}
            return _json(body, refused.status, **refused.headers)
        OUTCOMES.labels(known, outcome).inc()
        return _json(answer, 202)

    return routes


def _accept(receiver: Receiver, source: str, incoming: Request) -> tuple[dict[str, Any], str]:
    body = _bounded_body(incoming)
    webhook_id = _authentic(receiver, source, incoming, body)
    received_at = datetime.now(UTC)
    digest = hashlib.sha256(body).hexdigest()
    proof = {"received_at": received_at.isoformat(), "sha256": digest}
    try:
        external_id = load_event(loads(body))["data"]["id"]
    except (NotJson, NotAReport) as fault:
        answer = {"status": "set_aside", "problems": getattr(fault, "problems", [str(fault)]), **proof}
    else:
        ticket = ticket_for(receiver.ticket_key, source, external_id)
        answer = {
            "report_id": report_id_for(source, external_id),
            "ticket": ticket,
            "status": "accepted",
            "track_url": f"{receiver.public_url}/track/{ticket}",
            **proof,
        }
    message = webhook_received(source, webhook_id, received_at, digest, body)
    try:
        receiver.publisher.publish([message], timeout_s=CONFIRM_S)
    except NotDurable as error:
        # The spool on the receiver's disk takes over here once it exists; until then the sender keeps the report.
        log.error("webhook_not_durable", source=source, webhook_id=webhook_id, error=str(error))
        detail = "The report could not be stored safely. Send it again later."
        raise Refused(503, "not_durable", detail, **{"Retry-After": str(RETRY_AFTER_S)}) from error
    return answer, str(answer["status"])


def _bounded_body(incoming: Request) -> bytes:
    if incoming.mimetype != "application/json" and not incoming.mimetype.endswith("+json"):
        raise Refused(415, "not_json", "Send application/json.")
    length = incoming.content_length
    if length is None or "Transfer-Encoding" in incoming.headers:
        # Chunked bodies reach WSGI applications cut to the limit without a word, so they need a length.
        raise Refused(411, "no_length", "Send a Content-Length.")
    if length > MAX_BODY_BYTES:
        raise Refused(413, "too_large", f"A report may have {MAX_BODY_BYTES} bytes.")
    body = incoming.stream.read(length + 1)
    if len(body) != length:
        raise Refused(400, "short_body", "The body is shorter than its Content-Length.")
    return body


def _authentic(receiver: Receiver, source: str, incoming: Request, body: bytes) -> str:
    keys = receiver.keys.get(source) or _NO_KEYS
    headers = {
        name: incoming.headers.get(name, "") for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
    }
    try:
        webhook_id = verify(keys, headers, body, now_s=time.time())
    except NotAuthentic as error:
        raise Refused(401, error.reason, "Not authentic.") from error
    if keys is _NO_KEYS:
        raise Refused(401, "unknown_source", "Not authentic.")
    return webhook_id


def _json(body: Mapping[str, Any], status: int, **headers: str) -> Response:
    return Response(dumps(body) + "\n", status, headers, content_type="application/json")
