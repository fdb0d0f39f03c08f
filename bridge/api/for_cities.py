"""The paths cities use: webhooks, receipts, Open311."""

from typing import Any

from marshmallow import Schema

from bridge.api.described import reference
from bridge.api.operations import RETRY_AFTER, TEXT, Paths, json_, parameter, problems, public
from bridge.open311.rendering import FORMATS
from schemas.answers import (
    AcceptedSchema,
    DryRunSchema,
    ManifestSchema,
    Open311ErrorSchema,
    ProblemSchema,
    ReceiptSchema,
    RefusedSchema,
    SetAsideSchema,
    UnknownReceiptSchema,
)
from schemas.city import AmendmentSchema, EnvelopeSchema, SubmissionSchema, WithdrawalSchema

#: Each is enough: a source has one.
_SCHEMES: list[dict[str, list[str]]] = [{name: []} for name in ("standardWebhooks", "hmacSha256", "basic", "bearer")]
_SOURCE = parameter("source", "path", "The city app's name.", TEXT | {"pattern": "^[^/]+$"})


def _event(kind: str, data: type[Schema]) -> dict[str, Any]:
    narrower = {"properties": {"type": {"const": kind}, "data": reference(data)}}
    return {"title": kind, "allOf": [reference(EnvelopeSchema), narrower]}


def webhooks() -> Paths:
    """Return the way in."""
    refused = {
        400: "The body broke off.",
        401: "Not authentic: one answer for every reason.",
        405: "Not a POST.",
        411: "No content-length, or a chunked body.",
        413: "Larger than 256 KB.",
        415: "Not JSON.",
    }
    later = {429: "Over the source's rate.", 503: "It could not be made durable."}
    answers = {str(status): json_(text, RefusedSchema) for status, text in refused.items()}
    answers |= {str(status): json_(text, RefusedSchema, headers=RETRY_AFTER) for status, text in later.items()}
    answers["431"] = {"description": "Headers too large; said by the server in front, without a body of ours."}
    answers["202"] = json_("Durable; or kept whole for a person to look at.", AcceptedSchema, SetAsideSchema)
    answers["200"] = json_("A dry run: what would have happened.", DryRunSchema)
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
        "security": _SCHEMES,
        "parameters": [
            _SOURCE,
            parameter("dry_run", "query", "Only say what would happen.", TEXT, allowEmptyValue=True),
            parameter("webhook-id", "header", "Of the event, the same on every retry.", TEXT),
            parameter("webhook-timestamp", "header", "Unix seconds of this attempt.", TEXT),
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"oneOf": events}}}},
        "responses": dict(sorted(answers.items())),
    }
    return {"/webhooks/{source}": {"post": operation}}


def receipts() -> Paths:
    """Return what a source may ask of what it sent."""
    faults = problems(_400="A parameter makes no sense.", _401="Not authentic.", _503="The database is away.")
    one = {
        "200": json_("The receipt.", ReceiptSchema),
        "404": json_("Not seen, or still on its way.", UnknownReceiptSchema),
    }
    span = [
        parameter("since", "query", "From then, with its zone.", TEXT | {"format": "date-time"}, required=True),
        parameter(
            "until", "query", "Until before then; 31 days at most.", TEXT | {"format": "date-time"}, required=True
        ),
        parameter("after", "query", "The `next` of the page before.", TEXT),
        parameter("limit", "query", "Items on a page.", {"type": "integer", "minimum": 1, "maximum": 10_000}),
    ]
    asked = "Signed as a webhook is, over an empty body; hmac-sha256 signs path and query. See docs/receipts.md."
    manifest = {"200": json_("A page of it; the first also counts.", ManifestSchema)} | faults
    webhook_id = parameter("webhook_id", "path", "As it was sent.", TEXT)
    without_400 = {status: answer for status, answer in faults.items() if status != "400"}
    own: dict[str, Any] = {"security": _SCHEMES, "description": asked}
    return {
        "/webhooks/{source}/receipts": public(
            "city", "List what was accepted in a span.", "listReceipts", manifest, parameters=[_SOURCE, *span], **own
        ),
        "/webhooks/{source}/receipts/{webhook_id}": public(
            "city",
            "Prove that a webhook was accepted.",
            "showReceipt",
            one | without_400,
            parameters=[_SOURCE, webhook_id],
            **own,
        ),
    }


_FORMAT = parameter("fmt", "path", "Of the answer.", TEXT | {"enum": [*FORMATS]})
_SPAN = [
    parameter(name, "query", "90 days at most.", TEXT | {"format": "date-time"}) for name in ("start_date", "end_date")
]


def open311() -> Paths:
    """Return GeoReport v2 and mySociety's updates."""
    ids = parameter("service_request_id", "query", "Several, separated by commas.", TEXT)
    code = parameter("code", "path", "A service_code.", TEXT | {"pattern": "^[^/]+$"})
    ticket = parameter("ticket", "path", "A service_request_id.", TEXT)
    token = parameter("token", "path", "What was given out in place of an id.", TEXT)
    wanted = [parameter(name, "query", "Only these.", TEXT) for name in ("service_code", "status")]
    key = parameter("api_key", "query", "Only this client's.", TEXT)
    told = _read("What happened.", "open311Updates", _SPAN, [key], refused={400: "A fault.", 403: "No such key."})
    return {
        "/open311/discovery.{fmt}": _read("Where the endpoints are.", "open311Found"),
        "/open311/v2/discovery.{fmt}": _read("The same.", "open311Discovery"),
        "/open311/v2/services.{fmt}": _read("What one may report.", "open311Services"),
        "/open311/v2/services/{code}.{fmt}": _read(
            "What to say of it.", "open311Service", [code], refused={404: "None."}
        ),
        "/open311/v2/requests.{fmt}": _read(
            "Requests.",
            "open311Requests",
            [ids],
            wanted,
            _SPAN,
            refused={400: "A fault.", 429: "Too many unknown ids."},
        )
        | _post("Send a report.", "open311Send", ("service_code", "description")),
        "/open311/v2/requests/{ticket}.{fmt}": _read(
            "A request.", "open311Request", [ticket], refused={404: "None.", 429: "Too many unknown ids."}
        ),
        "/open311/v2/tokens/{token}.{fmt}": _read(
            "The id of a token.", "open311Token", [token], refused={404: "None.", 429: "Too many unknown ids."}
        ),
        "/open311/v2/servicerequestupdates.{fmt}": told
        | _post(
            "Add to a report.",
            "open311Tell",
            ("update_id", "service_request_id", "status", "updated_datetime", "description"),
        ),
    }


def _read(summary: str, name: str, *parameters: list[Any], refused: dict[int, str] | None = None) -> dict[str, Any]:
    why = {404: "No such format.", 503: "Not now."} | (refused or {})
    errors = {status: _errors(status, text) for status, text in why.items()}
    answers = {"200": _either("Found.", {"type": ["array", "object"]})} | {
        str(status): one for status, one in errors.items()
    }
    listed = [_FORMAT, *(one for some in parameters for one in some)]
    return public("open311", summary, name, answers, parameters=listed)


def _post(summary: str, name: str, needed: tuple[str, ...]) -> dict[str, Any]:
    why = {
        400: "A fault, or an argument is missing.",
        403: "No such api_key.",
        404: "No such thing.",
        411: "No length.",
    }
    why |= {413: "Too large.", 429: "Over the rate.", 503: "It could not be made durable."}
    form = {"type": "object", "required": ["api_key", *needed], "properties": dict.fromkeys(("api_key", *needed), TEXT)}
    return {
        "post": {
            "operationId": name,
            "tags": ["open311"],
            "summary": summary,
            "security": [{"apiKey": []}],
            "parameters": [_FORMAT],
            "requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": form}}},
            "responses": {"200": _either("Taken.", {"type": "array"})}
            | {str(status): _errors(status, text) for status, text in why.items()},
        }
    }


def _either(description: str, schema: Any, **more: Any) -> dict[str, Any]:
    return json_(description, schema, **more) | {
        "content": {"application/json": {"schema": schema}, "text/xml": {"schema": TEXT}}
    }


def _errors(status: int, why: str) -> dict[str, Any]:
    errors = {"type": "array", "items": reference(Open311ErrorSchema)}
    answer = _either(why, errors, **({"headers": RETRY_AFTER} if status in (429, 503) else {}))
    if status == 404:  # of a path that is not even nearly one of Open311's
        answer["content"]["application/problem+json"] = {"schema": reference(ProblemSchema)}
    return answer
