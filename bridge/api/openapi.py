"""The HTTP contract (OpenAPI 3.1): what is asked and answered on every path that programs use.

Bodies come from the schemas; paths of a new part are one more function in PARTS.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from marshmallow import RAISE, Schema, fields, validate

from bridge.api.described import OPENAPI, described, reference
from bridge.reports.states import Move, Outcome, Status
from schemas.answers import (
    AcceptedSchema,
    AcknowledgedSchema,
    DryRunSchema,
    MovedSchema,
    ProblemSchema,
    RefusedSchema,
    ReportSchema,
    SetAsideSchema,
)
from schemas.city import AmendmentSchema, EnvelopeSchema, SubmissionSchema, WithdrawalSchema

Paths = dict[str, dict[str, Any]]


class DetailsSchema(Schema):
    """The body of a move; which fields it needs depends on the move."""

    class Meta:
        unknown = RAISE

    outcome = fields.Enum(Outcome, by_value=True, load_default=None)
    case_number = fields.String(load_default="")
    missing = fields.List(fields.String(validate=validate.Length(1, 500)), load_default=list)
    reason = fields.String(load_default="", validate=validate.Length(max=2000))


_SCHEMAS = (
    EnvelopeSchema,
    SubmissionSchema,
    AmendmentSchema,
    WithdrawalSchema,
    AcceptedSchema,
    SetAsideSchema,
    DryRunSchema,
    RefusedSchema,
    ReportSchema,
    MovedSchema,
    AcknowledgedSchema,
    DetailsSchema,
    ProblemSchema,
)
_SECURITY = {
    "standardWebhooks": {
        "type": "apiKey", "in": "header", "name": "webhook-signature",
        "description": "Standard Webhooks: `v1,` + base64 of HMAC-SHA256 of `{id}.{timestamp}.{body}`, or `v1a`.",
    },
    "hmacSha256": {
        "type": "apiKey", "in": "header", "name": "X-Hub-Signature-256",
        "description": "`sha256=` and the hexadecimal HMAC-SHA256 of the body; a source may name another header.",
    },
    "basic": {"type": "http", "scheme": "basic"},
    "bearer": {"type": "http", "scheme": "bearer"},
    "token": {"type": "http", "scheme": "bearer", "description": "Of a person: `bridge people token PERSON`."},
}  # fmt: skip
_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
_ETAG = {"ETag": {"description": "Names this state, for If-Match.", "schema": {"type": "string"}}}


def _json(description: str, *schemas: Any, media_type: str = "application/json", **more: Any) -> dict[str, Any]:
    links = [reference(schema) if isinstance(schema, type) else schema for schema in schemas]
    return {"description": description, "content": {media_type: {"schema": _any_of(links)}}, **more}


def _any_of(links: list[Any]) -> Any:
    return links[0] if len(links) == 1 else {"oneOf": links}


def _text(description: str, media_type: str = "text/plain", **more: Any) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": {"type": "string"}}}, **more}


def _problems(**descriptions: str) -> dict[str, Any]:
    """Return answers by `_<status>`: each a problem (RFC 9457)."""
    return {
        name.removeprefix("_"): _json(text, ProblemSchema, media_type="application/problem+json")
        | ({"headers": _RETRY_AFTER} if name == "_503" else {})
        for name, text in descriptions.items()
    }


def _parameter(name: str, place: str, description: str, schema: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "description": description,
        "schema": dict(schema),
        "required": place == "path",
        **more,
    }


_TEXT = {"type": "string"}
_TICKET = _parameter("ticket", "path", "Of the report.", _TEXT | {"examples": ["K7Q2-9XWM-4T8R"]})


def _event(kind: str, data: type[Schema]) -> dict[str, Any]:
    narrower = {"properties": {"type": {"const": kind}, "data": reference(data)}}
    return {"title": kind, "allOf": [reference(EnvelopeSchema), narrower]}


def _webhooks() -> Paths:
    refused = {
        400: "The body broke off.",
        401: "Not authentic: one answer for every reason.",
        405: "Not a POST.",
        411: "No content-length, or a chunked body.",
        413: "Larger than 256 KB.",
        415: "Not JSON.",
    }
    later = {429: "Over the source's rate.", 503: "It could not be made durable."}
    answers = {str(status): _json(text, RefusedSchema) for status, text in refused.items()}
    answers |= {str(status): _json(text, RefusedSchema, headers=_RETRY_AFTER) for status, text in later.items()}
    answers["431"] = {"description": "Headers too large; said by the server in front, without a body of ours."}
    answers["202"] = _json("Durable; or kept whole for a person to look at.", AcceptedSchema, SetAsideSchema)
    answers["200"] = _json("A dry run: what would have happened.", DryRunSchema)
    events = [
        _event("report.submitted", SubmissionSchema),
        _event("report.amended", AmendmentSchema),
        _event("report.withdrawn", WithdrawalSchema),
    ]
    operation = {
        "operationId": "sendWebhook",
        "tags": ["city"],
        "summary": "Send an event about a report.",
        "description": "How to sign, retry and test: docs/integrate.md. A source with a mapping sends its own payload.",
        "security": [{name: []} for name in ("standardWebhooks", "hmacSha256", "basic", "bearer")],
        "parameters": [
            _parameter("source", "path", "The city app's name.", _TEXT | {"pattern": "^[^/]+$"}),
            _parameter("dry_run", "query", "Only say what would happen.", _TEXT, allowEmptyValue=True),
            _parameter("webhook-id", "header", "Of the event, the same on every retry.", _TEXT),
            _parameter("webhook-timestamp", "header", "Unix seconds of this attempt.", _TEXT),
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"oneOf": events}}}},
        "responses": dict(sorted(answers.items())),
    }
    return {"/webhooks/{source}": {"post": operation}}


_UNAUTHORIZED = "No valid token."
_AWAY = "The database is away."
_IF_MATCH = _parameter("If-Match", "header", "The ETag you read; the change is made only if it still holds.", _TEXT)


def _call(summary: str, name: str, responses: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "operationId": name,
        "tags": ["office"],
        "summary": summary,
        "security": [{"token": []}],
        "responses": dict(sorted(responses.items())),
        **more,
    }


def _reports() -> Paths:
    listed = {"type": "array", "items": reference(ReportSchema)}
    status = _parameter("status", "query", "Only these.", {"type": "string", "enum": [*Status]})
    search = _parameter("q", "query", "Words in ticket, subject or business.", _TEXT)
    moves = [move for move in Move if move is not Move.WITHDRAW]
    move = _parameter("move", "path", "What to do.", {"type": "string", "enum": moves})
    changed = _problems(
        _401=_UNAUTHORIZED, _404="No such report or move.", _412="It has changed since it was read.", _503=_AWAY
    )
    refused = _problems(
        _400="The body makes no sense.", _403="Not for the token's role.", _409="Not allowed from its state."
    )
    found = _problems(_401=_UNAUTHORIZED, _404="No such report.", _503=_AWAY)
    found["304"] = {"description": "As If-None-Match names it.", "headers": _ETAG}
    return {
        "/api/v1/reports": {
            "get": _call(
                "List reports, what is due next first; 200 at most.",
                "listReports",
                {"200": _json("Reports.", listed)} | _problems(_400="No such status.", _401=_UNAUTHORIZED, _503=_AWAY),
                parameters=[status, search],
            )
        },
        "/api/v1/reports/{ticket}": {
            "get": _call(
                "Show a report.",
                "showReport",
                {"200": _json("The report.", ReportSchema, headers=_ETAG)} | found,
                parameters=[_TICKET, _parameter("If-None-Match", "header", "The ETag you have.", _TEXT)],
            )
        },
        "/api/v1/reports/{ticket}/acknowledge": {
            "post": _call(
                "Acknowledge a report; a second time changes nothing.",
                "acknowledgeReport",
                {"200": _json("Acknowledged.", AcknowledgedSchema)} | changed,
                parameters=[_TICKET, _IF_MATCH],
            )
        },
        "/api/v1/reports/{ticket}/moves/{move}": {
            "post": _call(
                "Move a report on.",
                "moveReport",
                {"200": _json("Moved.", MovedSchema)} | changed | refused,
                parameters=[_TICKET, move, _IF_MATCH],
                requestBody={"content": {"application/json": {"schema": reference(DetailsSchema)}}},
            )
        },
    }


def _public(tag: str, summary: str, name: str, responses: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"get": _call(summary, name, responses, **more) | {"tags": [tag], "security": []}}


def _everybody() -> Paths:
    text = _parameter("text", "path", "The ticket, as it is written anywhere.", _TEXT | {"pattern": "^[^/]+$"})
    html = "text/html"
    return {
        "/track/{text}": _public(
            "citizen",
            "Where a report stands, for the citizen; no personal data.",
            "trackReport",
            {
                "200": _text("The page.", html),
                "404": _text("No such ticket.", html),
                "429": _text("Too many wrong tickets.", html, headers=_RETRY_AFTER),
                "503": _text(_AWAY, html, headers=_RETRY_AFTER),
            },
            parameters=[text],
        ),
        "/healthz": _public("operators", "Alive.", "healthz", {"200": _text("It is.")}),
        "/readyz": _public(
            "operators",
            "Able to accept.",
            "readyz",
            {"200": _text("It is."), "503": _text("Why not.")},
        ),
        "/metrics": _public("operators", "Figures for Prometheus.", "metrics", {"200": _text("Figures.")}),
        "/api/v1/openapi.json": _public(
            "office", "This contract.", "openapi", {"200": _json("OpenAPI 3.1.", {"type": "object"})}
        ),
        "/api/docs": _public("office", "This contract as a page.", "docs", {"200": _text("The page.", html)}),
    }


#: Each returns paths; they are in no other place.
PARTS = (_webhooks, _reports, _everybody)


@cache
def openapi() -> dict[str, Any]:
    """Return the contract."""
    schemas = described(_SCHEMAS).to_dict()["components"]["schemas"]
    return {
        "openapi": OPENAPI,
        "info": {
            "title": "Jembatan",
            "version": "1",
            "description": "A city's reports in, signed; the office's own systems; the citizen's page.",
        },
        "servers": [{"url": "/"}],
        "paths": {path: operations for part in PARTS for path, operations in part().items()},
        "components": {"schemas": schemas, "securitySchemes": _SECURITY},
    }
