"""JSON for the office's own systems: read reports, acknowledge and move them, with a bearer token."""

from typing import Any

from flask import Blueprint, Response, abort, g, jsonify, request
from marshmallow import RAISE, Schema, ValidationError, fields, validate

from bridge.auth import EVERYBODY, acting, needs_token
from bridge.reports.clocks import Obligation
from bridge.reports.moves import Details
from bridge.reports.people import Role
from bridge.reports.report import Report
from bridge.reports.states import Move, Outcome, Status
from bridge.service import Service
from bridge.storage import reports as stored
from bridge.strict_json import NotJson, loads
from schemas.city import problems_of


class DetailsSchema(Schema):
    """The body of a move; which fields it needs depends on the move."""

    class Meta:
        unknown = RAISE

    outcome = fields.Enum(Outcome, by_value=True, load_default=None)
    case_number = fields.String(load_default="")
    missing = fields.List(fields.String(validate=validate.Length(1, 500)), load_default=list)
    reason = fields.String(load_default="", validate=validate.Length(max=2000))


def blueprint(service: Service) -> Blueprint:
    """Return `/api/v1`."""
    routes = Blueprint("api", __name__, url_prefix="/api/v1")

    @routes.get("/reports")
    @needs_token(service, *EVERYBODY)
    def list_reports() -> Response:
        status = request.args.get("status", "")
        if status and status not in list(Status):
            abort(400, f"status must be one of {', '.join(Status)}")
        with service.database.read() as connection:
            rows = stored.listed(connection, stored.Wanted(status=status, search=request.args.get("q", "")))
        return jsonify([_public(stored_row, stored_row["obligations"]) for stored_row in rows])

    @routes.get("/reports/<ticket>")
    @needs_token(service, *EVERYBODY)
    def show_report(ticket: str) -> Response:
        with service.database.read() as connection:
            report = stored.by_ticket(connection, ticket)
            owed = stored.obligations_of(connection, [report.report_id]).get(report.report_id, [])
        return jsonify(_public(vars(report), owed))

    @routes.post("/reports/<ticket>/acknowledge")
    @needs_token(service, *EVERYBODY)
    def acknowledge(ticket: str) -> Response:
        result = service.casework.acknowledge(ticket, acting(g.person))
        return jsonify({**_short(result.report), "changed": result.changed})

    @routes.post("/reports/<ticket>/moves/<move>")
    @needs_token(service, Role.OFFICER, Role.SECRETARIAT, Role.CHAIR, Role.ADMIN)
    def make_move(ticket: str, move: str) -> Response:
        if move not in list(Move) or move == Move.WITHDRAW:
            abort(404, f"There is no move {move!r}.")
        return jsonify(_short(service.casework.move(Move(move), ticket, acting(g.person), _details())))

    return routes


def _details() -> Details:
    try:
        found = DetailsSchema().load(loads(request.data) if request.data else {})
    except NotJson as error:
        abort(400, str(error))
    except ValidationError as error:
        abort(400, "; ".join(problems_of(error.messages)))
    return Details(found["outcome"], found["case_number"], tuple(found["missing"]), found["reason"])


def _short(report: Report) -> dict[str, Any]:
    return {"ticket": report.ticket, "status": report.status, "outcome": report.outcome, "cycle": report.cycle}


def _public(row: Any, owed: list[Obligation]) -> dict[str, Any]:
    names = (
        "ticket",
        "report_id",
        "source",
        "external_id",
        "status",
        "outcome",
        "office",
        "assignee",
        "cycle",
        "category",
        "title",
        "case_number",
    )
    return {name: row[name] for name in names} | {
        "received_at": row["received_at"].isoformat(),
        "obligations": [
            {
                "kind": o.kind,
                "state": o.state,
                "level": o.level,
                "deadline_at": o.deadline_at.isoformat(),
                "next_due": o.next_due.isoformat() if o.next_due else None,
            }
            for o in owed
        ],
    }
