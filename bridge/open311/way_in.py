"""`POST /open311/v2/requests.{xml,json}`: answered with a service_request_id only when no kill -9 can lose it.

In this order: bounded body, key, rate, the specification's required arguments, our schema, publish confirmed, answer.
WSGI middleware, as bridge/receiver/webhooks.py: a process that only receives has no sessions and no database.
"""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import structlog
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request, Response

from bridge.broker.messages import Message
from bridge.broker.publisher import NotDurable, Publisher
from bridge.open311.form import Form, as_event, first_of, in_their_words
from bridge.open311.keys import owner_of
from bridge.open311.rendering import Refused, answer, refusal
from bridge.open311.services import SERVICES
from bridge.receiver.doors import Doors, TooMany
from bridge.receiver.webhooks import (
    CONFIRM_S,
    MAX_BODY_BYTES,
    OUTCOMES,
    RETRY_AFTER_S,
    Application,
    Environ,
    Receiver,
)
from bridge.signing import NotAuthentic
from bridge.tracing import span
from schemas.city import NotAReport, checked_id

log = structlog.get_logger()

_PATH = re.compile(r"/open311/v2/requests\.(xml|json)")
_NOTICE = (
    "Laporan Anda diterima dengan nomor {ticket} dan diteruskan ke BPSK. Perkembangannya: {url}. "
    "Laporan ini belum merupakan permohonan penyelesaian sengketa."
)


class PostedForm(Request):
    """A request whose body is bounded, and whose files never touch a disk."""

    max_content_length = MAX_BODY_BYTES

    def _get_file_stream(self, *_: object, **__: object) -> BytesIO:
        return BytesIO()


class WayIn:
    """WSGI middleware: takes requests, leaves everything else to the application behind it."""

    def __init__(self, receiver: Receiver, behind: Application) -> None:
        self._receiver = receiver
        self._behind = behind

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        path = _PATH.fullmatch(environ.get("PATH_INFO", ""))
        if path is None or environ["REQUEST_METHOD"] != "POST":
            return self._behind(environ, start_response)
        # Granian's bodies end by themselves, but as quietly where a sender hangs up: werkzeug must count the bytes.
        environ.pop("wsgi.input_terminated", None)
        return self._answer(path[1], PostedForm(environ))(environ, start_response)

    def _answer(self, format_: str, request: Request) -> Response:
        source = "unknown"
        try:
            form, api_key = posted(request)
            source, key_id = let_in(self._receiver.doors, api_key)
            taken = _accept(self._receiver, source, key_id, form, request.headers.get("traceparent"))
        except Refused as refused:
            OUTCOMES.labels(source, refused.outcome).inc()
            return refusal(format_, refused)
        OUTCOMES.labels(source, "accepted").inc()
        return answer(format_, "service_requests", [taken])


def posted(request: Request) -> tuple[Form, str]:
    """Return a posted form and its api_key; what is not in the body may be in the address, as some clients send it.

    Raises:
        Refused: chunked, too large, broken off, or no form.
    """
    if "Transfer-Encoding" in request.headers:
        # Chunked bodies reach WSGI applications cut to the limit without a word.
        raise Refused(411, "Send a Content-Length.", outcome="no_length")
    try:
        body, files = request.form, request.files
    except HTTPException as error:
        detail = f"The form could not be read, or is larger than {MAX_BODY_BYTES} bytes."
        raise Refused(error.code or 400, detail, outcome="too_large" if error.code == 413 else "short_body") from error
    if request.content_length and not (body or files):
        detail = "Send a form in UTF-8: application/x-www-form-urlencoded or multipart/form-data."
        raise Refused(400, detail, outcome="not_a_form")
    names = [file.filename or name for name, file in files.items(multi=True)]
    # An empty field of the body is none, so it does not hide the one in the address.
    said = [pair for pair in body.items(multi=True) if pair[1].strip()]
    taken = {name for name, _ in said}
    elsewhere = [pair for pair in request.args.items(multi=True) if pair[0] not in taken]
    api_key = first_of(value for name, value in (*said, *elsewhere) if name == "api_key")
    return Form.posted((*said, *elsewhere), names), api_key


def let_in(doors: Doors, api_key: str) -> tuple[str, str]:
    """Return the source a key belongs to, and the key's id.

    Raises:
        Refused: it belongs to none, or its source sends too fast.
    """
    try:
        source, key_id = owner_of(doors, api_key)
        doors[source].let_through()
    except NotAuthentic as error:
        raise Refused(403, "api_key: missing or not valid.", outcome="invalid_signature") from error
    except TooMany as error:
        wait = {"Retry-After": str(error.wait_s)}
        detail = "Too many requests in a second. Send this one again later."
        raise Refused(429, detail, outcome="throttled", **wait) from error
    return source, key_id


def _accept(receiver: Receiver, source: str, key_id: str, form: Form, traceparent: str | None) -> dict[str, Any]:
    received_at = datetime.now(UTC)
    webhook_id, body = form.webhook_id(), form.body(received_at)
    report_id, ticket = receiver.arrivals.named(source, _checked_id(form, body, webhook_id))
    with span("receive", report_id, link=traceparent, since=received_at, source=source) as receiving:
        trace = receiving.carried()
        message = receiver.arrivals.sealed(source, webhook_id, key_id, received_at, form.digest(), body, trace)
        _keep(receiver.publisher, message)
    notice = _NOTICE.format(ticket=ticket, url=f"{receiver.public_url}/track/{ticket}")
    account = form.one("account_id")
    return {"service_request_id": ticket, "service_notice": notice} | ({"account_id": account} if account else {})


def _keep(publisher: Publisher, message: Message) -> None:
    try:
        publisher.publish([message], timeout_s=CONFIRM_S)
    except NotDurable as error:
        source, webhook_id = message.data["source"], message.data["webhook_id"]
        log.error("open311_not_durable", source=source, webhook_id=webhook_id, error=str(error))
        detail = "The request could not be stored safely. Send it again later."
        raise Refused(503, detail, outcome="not_durable", **{"Retry-After": str(RETRY_AFTER_S)}) from error


def _checked_id(form: Form, body: bytes, webhook_id: str) -> str:
    code = form.one("service_code")
    if code and code not in SERVICES:
        raise Refused(404, f"service_code: {code[:64]!r} was not found; see services.")
    try:
        return checked_id(as_event(body, webhook_id))
    except NotAReport as fault:
        raise Refused(400, *map(in_their_words, fault.problems)) from fault
