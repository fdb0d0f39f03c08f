"""The paths of the office's own systems, the citizen and operators."""

from marshmallow import RAISE, Schema, fields, validate

from bridge.api.described import reference
from bridge.api.operations import ETAG, RETRY_AFTER, TEXT, Paths, call, json_, parameter, problems, public, text
from bridge.reports.states import Move, Outcome, Status
from schemas.answers import AcknowledgedSchema, MovedSchema, ReportSchema


class DetailsSchema(Schema):
    """The body of a move; which fields it needs depends on the move."""

    class Meta:
        unknown = RAISE

    outcome = fields.Enum(Outcome, by_value=True, load_default=None)
    case_number = fields.String(load_default="")
    missing = fields.List(fields.String(validate=validate.Length(1, 500)), load_default=list)
    reason = fields.String(load_default="", validate=validate.Length(max=2000))


_TICKET = parameter("ticket", "path", "Of the report.", TEXT | {"examples": ["K7Q2-9XWM-4T8R"]})


_UNAUTHORIZED = "No valid token."
_AWAY = "The database is away."
_IF_MATCH = parameter("If-Match", "header", "The ETag you read; the change is made only if it still holds.", TEXT)


def reports() -> Paths:
    """Return reading, acknowledging and moving."""
    listed = {"type": "array", "items": reference(ReportSchema)}
    status = parameter("status", "query", "Only these.", {"type": "string", "enum": [*Status]})
    search = parameter("q", "query", "Words in ticket, subject or business.", TEXT)
    moves = [move for move in Move if move is not Move.WITHDRAW]
    move = parameter("move", "path", "What to do.", {"type": "string", "enum": moves})
    changed = problems(
        _401=_UNAUTHORIZED, _404="No such report or move.", _412="It has changed since it was read.", _503=_AWAY
    )
    refused = problems(
        _400="The body makes no sense.", _403="Not for the token's role.", _409="Not allowed from its state."
    )
    found = problems(_401=_UNAUTHORIZED, _404="No such report.", _503=_AWAY)
    found["304"] = {"description": "As If-None-Match names it.", "headers": ETAG}
    return {
        "/api/v1/reports": {
            "get": call(
                "List reports, what is due next first; 200 at most.",
                "listReports",
                {"200": json_("Reports.", listed)} | problems(_400="No such status.", _401=_UNAUTHORIZED, _503=_AWAY),
                parameters=[status, search],
            )
        },
        "/api/v1/reports/{ticket}": {
            "get": call(
                "Show a report.",
                "showReport",
                {"200": json_("The report.", ReportSchema, headers=ETAG)} | found,
                parameters=[_TICKET, parameter("If-None-Match", "header", "The ETag you have.", TEXT)],
            )
        },
        "/api/v1/reports/{ticket}/acknowledge": {
            "post": call(
                "Acknowledge a report; a second time changes nothing.",
                "acknowledgeReport",
                {"200": json_("Acknowledged.", AcknowledgedSchema)} | changed,
                parameters=[_TICKET, _IF_MATCH],
            )
        },
        "/api/v1/reports/{ticket}/moves/{move}": {
            "post": call(
                "Move a report on.",
                "moveReport",
                {"200": json_("Moved.", MovedSchema)} | changed | refused,
                parameters=[_TICKET, move, _IF_MATCH],
                requestBody={"content": {"application/json": {"schema": reference(DetailsSchema)}}},
            )
        },
    }


def everybody() -> Paths:
    """Return what needs no key."""
    ticket = parameter("text", "path", "The ticket, as it is written anywhere.", TEXT | {"pattern": "^[^/]+$"})
    html = "text/html"
    return {
        "/track/{text}": public(
            "citizen",
            "Where a report stands, for the citizen; no personal data.",
            "trackReport",
            {
                "200": text("The page.", html),
                "404": text("No such ticket.", html),
                "429": text("Too many wrong tickets.", html, headers=RETRY_AFTER),
                "503": text(_AWAY, html, headers=RETRY_AFTER),
            },
            parameters=[ticket],
        ),
        "/healthz": public("operators", "Alive.", "healthz", {"200": text("It is.")}),
        "/readyz": public(
            "operators",
            "Able to accept.",
            "readyz",
            {"200": text("It is."), "503": text("Why not.")},
        ),
        "/metrics": public("operators", "Figures for Prometheus.", "metrics", {"200": text("Figures.")}),
        "/api/v1/openapi.json": public(
            "office", "This contract.", "openapi", {"200": json_("OpenAPI 3.1.", {"type": "object"})}
        ),
        "/api/docs": public("office", "This contract as a page.", "docs", {"200": text("The page.", html)}),
    }
