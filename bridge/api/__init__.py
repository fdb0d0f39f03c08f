"""JSON for the office's own systems: read reports, acknowledge and move them, with a bearer token."""

import json
from hashlib import sha256
from typing import Any

from flask import Blueprint, Response, abort, g, jsonify, render_template, request
from marshmallow import ValidationError
from werkzeug.wrappers import Response as AnyResponse

from bridge.api.for_office import DetailsSchema
from bridge.api.openapi import openapi
from bridge.auth import EVERYBODY, acting, needs_token
from bridge.reports.clocks import Obligation
from bridge.reports.moves import Details
from bridge.reports.people import Role
from bridge.reports.report import Report
from bridge.reports.states import Move, Status
from bridge.service import Service
from bridge.storage import reports as stored
from bridge.strict_json import NotJson, loads
from schemas.city import problems_of


def blueprint(service: Service) -> Blueprint:
    """Return `/api`: the calls under `/api/v1`, their contract, and the contract as a page."""
    routes = Blueprint("api", __name__, url_prefix="/api", template_folder="templates")

    @routes.get("/v1/reports")
    @needs_token(service, *EVERYBODY)
    def list_reports() -> Response:
        status = request.args.get("status", "")
        if status and status not in list(Status):
            abort(400, f"status must be one of {', '.join(Status)}")
        with service.database.read() as connection:
            rows = stored.listed(connection, stored.Wanted(status=status, search=request.args.get("q", "")))
        return jsonify([_public(stored_row, stored_row["obligations"]) for stored_row in rows])

    @routes.get("/v1/reports/<ticket>")
    @needs_token(service, *EVERYBODY)
    def show_report(ticket: str) -> AnyResponse:
        with service.database.read() as connection:
            report = stored.by_ticket(connection, ticket)
            owed = stored.obligations_of(connection, [report.report_id]).get(report.report_id, [])
        answer = jsonify(_public(vars(report), owed))
        answer.set_etag(_tag(report, owed))
        return answer.make_conditional(request)

    @routes.post("/v1/reports/<ticket>/acknowledge")
    @needs_token(service, *EVERYBODY)
    def acknowledge(ticket: str) -> Response:
        result = service.casework.acknowledge(ticket, acting(g.person), check=_unchanged)
        return jsonify({**_short(result.report), "changed": result.changed})

    @routes.post("/v1/reports/<ticket>/moves/<move>")
    @needs_token(service, Role.OFFICER, Role.SECRETARIAT, Role.CHAIR, Role.ADMIN)
    def make_move(ticket: str, move: str) -> Response:
        if move not in list(Move) or move == Move.WITHDRAW:
            abort(404, f"There is no move {move!r}.")
        moved = service.casework.move(Move(move), ticket, acting(g.person), _details(), check=_unchanged)
        return jsonify(_short(moved))

    _add_contract(routes)
    return routes


def _add_contract(routes: Blueprint) -> None:
    @routes.get("/v1/openapi.json")
    def contract() -> Response:
        return jsonify(openapi())

    @routes.get("/docs")
    def docs() -> str:
        return render_template("api/docs.html", contract=openapi())


def _tag(report: Report, owed: list[Obligation]) -> str:
    """Return what changes with anything we show of a report, for ETag and If-Match (RFC 9110 section 8.8.3)."""
    return sha256(json.dumps(_public(vars(report), owed), sort_keys=True).encode()).hexdigest()[:32]


def _unchanged(report: Report, owed: list[Obligation]) -> None:
    """Refuse a change by somebody who has named, with If-Match, another state than the present one."""
    if request.if_match and _tag(report, owed) not in request.if_match:
        abort(412, "The report has changed since you read it. Read it again, then decide again.")


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
