"""`GET /webhooks/<source>/receipts…`: proof of acceptance, for the source that sent it (docs/receipts.md).

Whoever asks proves to be the source as at the way in, over an empty body. Before that the database is not asked.
"""

import base64
import binascii
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from flask import Blueprint, Response, abort, jsonify, request
from werkzeug.routing import PathConverter

from bridge.receipts.proof import Place, Proofs, Receipt, proofs
from bridge.receipts.watermark import Complete
from bridge.receiver.doors import Door
from bridge.schemes import SCHEMES, Headers
from bridge.service import Service
from bridge.signing import NotAuthentic
from bridge.storage.receipts import Span

LONGEST = timedelta(days=31)
PAGE, LARGEST_PAGE = 1000, 10_000
_ITEM = ("webhook_id", "sha256", "received_at", "ticket", "effect")
#: Stands in for the door of an unknown source, so that it costs the same time as a known one.
_NO_DOOR = Door(SCHEMES["standard-webhooks"], Headers("", ""))


class _Anything(PathConverter):
    """An id may hold slashes, two in a row, and begin with one."""

    regex, part_isolating = ".+?", False


def blueprint(service: Service) -> Blueprint:
    """Return the receipts' addresses."""
    routes = Blueprint("receipts", __name__, url_prefix="/webhooks/<source>/receipts")
    routes.record_once(lambda setup: setup.app.url_map.converters.update(anything=_Anything))

    @routes.before_request
    def authenticate() -> None:
        source = (request.view_args or {})["source"]
        try:
            service.doors.get(source, _NO_DOOR).authentic(request.environ, _signed(service, source))
        except NotAuthentic:
            abort(401, "Not authentic.")

    @routes.after_request
    def keep_to_yourself(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        return response

    @routes.get("")
    def manifest(source: str) -> Response:
        span, after, limit = _span(), _after(), _limit()
        with proofs(service, source) as found:
            return jsonify(_manifest(found, span, after, limit))

    @routes.get("/<anything:webhook_id>", merge_slashes=False)
    def receipt(source: str, webhook_id: str) -> tuple[Response, int]:
        with proofs(service, source) as found:
            row = found.one(webhook_id)
        return (jsonify(plain(row)), 200) if row else (jsonify(_unknown(found.complete)), 404)

    return routes


def plain(row: Receipt) -> Receipt:
    """Return a receipt with its instants as text."""
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: object) -> object:
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value.isoformat() if isinstance(value, datetime) else value


def _signed(service: Service, source: str) -> bytes:
    """Return what a source has signed: nothing, for a GET has no body.

    The HMAC of nothing never changes, so whoever saw it once could ask for ever: a source that signs only the body
    signs the request's target here, path and query as they are sent.
    """
    found = service.configuration.sources.get(source)
    if found is None or found.scheme != "hmac-sha256":
        return b""
    return _target().encode("latin-1", "replace")


def _target() -> str:
    raw: str = request.environ.get("REQUEST_URI", "")
    query = request.query_string.decode("latin-1")
    return raw or quote(request.path) + (f"?{query}" if query else "")


def _unknown(complete: Complete) -> dict[str, str | None]:
    if complete.until is None:
        detail = f"Not seen so far. It may still be on its way: {complete.why}."
    else:
        until = complete.until.isoformat()
        detail = f"Not seen. What was accepted before {until} would be here; anything later may still be on its way."
    return {"status": "unknown", "detail": detail, "complete_until": _text(complete.until)}


def _manifest(found: Proofs, span: Span, after: Place | None, limit: int) -> dict[str, object]:
    items, place = found.page(span, after, limit)
    whole = {} if after else {"count": found.count(span), "digest": found.digest(span)}
    return whole | {
        "source": found.source,
        "since": _text(span.since),
        "until": _text(span.until),
        "complete_until": _text(found.complete.until),
        "complete_until_missing_because": found.complete.why or None,
        "items": [plain({name: row[name] for name in _ITEM}) for row in items],
        "next": _cursor(place) if place else None,
    }


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


# --- what was asked for ---------------------------------------------------------------------------------------------


def _span() -> Span:
    since, until = _instant("since"), _instant("until")
    if until <= since:
        abort(400, "until has to be later than since; what was received at until itself is not in the answer.")
    if until - since > LONGEST:
        abort(400, f"From since to until may be {LONGEST.days} days; ask for the rest in a request of its own.")
    return Span(since, until)


def _instant(name: str) -> datetime:
    # A + that was not encoded arrives as a space.
    text = request.args.get(name, "").strip().replace(" ", "+")
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            raise ValueError
        return at.astimezone(UTC)
    except (ValueError, OverflowError):
        abort(400, f"{name} has to be an instant with its zone, like 2026-11-24T00:00:00Z or …T07:00:00%2B07:00.")


def _limit() -> int:
    text = request.args.get("limit", str(PAGE))
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= LARGEST_PAGE):
        abort(400, f"limit has to be a number from 1 to {LARGEST_PAGE}.")
    return int(text)


def _cursor(place: Place) -> str:
    at, webhook_id = place
    return base64.urlsafe_b64encode(json.dumps([at.isoformat(), webhook_id]).encode()).decode("ascii").rstrip("=")


def _after() -> Place | None:
    text = request.args.get("after", "")
    if not text:
        return None
    try:
        at, webhook_id = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
        return datetime.fromisoformat(at).astimezone(UTC), str(webhook_id)
    except (binascii.Error, ValueError, TypeError, OverflowError):
        abort(400, "after has to be the `next` of the page before.")
