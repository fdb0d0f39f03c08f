"""The citizen's page, without log-in and without personal data: where the report stands, and what happens next."""

from datetime import datetime
from typing import Any

from flask import Blueprint, Response, render_template, request

from bridge.pages import language
from bridge.reports.feedback import awaited_deadline, message, next_step
from bridge.reports.report import Report
from bridge.reports.states import Status, words_for
from bridge.reports.tickets import read_ticket
from bridge.service import Service
from bridge.storage import escalations
from bridge.storage import reports as stored
from bridge.throttle import Throttle

#: A citizen looks at one ticket now and then; thirty at once, then one every two seconds, is for guessers.
_LOOKS = Throttle(burst=30, every_s=2)

#: The way of a report as citizens see it.
_STEPS = (Status.RECEIVED, Status.ACKNOWLEDGED, Status.REGISTERED, Status.CLOSED)
_REACHED_BY = {"received": Status.RECEIVED, "acknowledge": Status.ACKNOWLEDGED, "register": Status.REGISTERED}


def blueprint(service: Service) -> Blueprint:
    """Return `/track/`."""
    routes = Blueprint("tracking", __name__, template_folder="templates")

    @routes.get("/track/")
    def ask() -> str:
        return render_template("tracking/ask.html", wrong=False)

    @routes.get("/track/<text>")
    def show(text: str) -> Response:
        wait_s = _LOOKS.wait_s(request.remote_addr or "")
        if wait_s:
            headers = {"Retry-After": str(round(wait_s + 0.5))}
            return Response(render_template("tracking/ask.html", wrong=False, slow=True), 429, headers)
        ticket = read_ticket(text)
        content = _content(service, ticket) if ticket else None
        if content is None:
            # A wrong ticket and a missing one answer alike: nothing to learn by trying.
            return Response(render_template("tracking/ask.html", wrong=True), 404)
        return Response(render_template("tracking/track.html", **content))

    return routes


def _content(service: Service, ticket: str) -> dict[str, Any] | None:
    with service.database.read() as connection:
        try:
            report = stored.by_ticket(connection, ticket)
        except stored.NoSuchReport:
            return None
        owed = stored.obligations_of(connection, [report.report_id]).get(report.report_id, [])
        history = stored.history_of(connection, report.report_id)
        fired = escalations.listed(connection, escalations.Wanted(ticket=ticket))
        now = service.database.now(connection)
    chosen, due_at = language(), awaited_deadline(report, owed)
    told = [row for row in fired if row["cycle"] == report.cycle and row["did"] != "no_target"]
    return {
        "report": report,
        "words": words_for(report.status, report.outcome),
        "message": message(report, chosen),
        "next_step": next_step(report, chosen),
        "due_at": due_at,
        "late": due_at is not None and now > due_at,
        "steps": _steps(report, history),
        "escalations": list(reversed(told)),
        "missing": report.missing,
    }


def _steps(report: Report, history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the line of steps, each with when it was reached in this cycle, or None if it is to come."""
    reached: dict[Status, datetime] = {}
    for line in history:
        status = Status.CLOSED if line["event"] in ("close", "withdraw") else _REACHED_BY.get(line["event"])
        if line["cycle"] == report.cycle and status:
            reached.setdefault(status, line["at"])
    reached.setdefault(Status.RECEIVED, report.received_at)
    passed = _STEPS if report.status is Status.CLOSED else _STEPS[: -1]
    steps = [{"status": s, "words": words_for(s), "at": reached.get(s)} for s in passed]
    if report.status is not Status.CLOSED:
        steps.append({"status": Status.CLOSED, "words": words_for(Status.CLOSED), "at": None})
    return [s for s in steps if s["at"] or report.status is not Status.CLOSED]
