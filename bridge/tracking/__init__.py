"""The citizen's page, without log-in and without personal data: where the report stands, and what happens next."""

import math
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from bridge.awards import dates_after_award
from bridge.pages import language
from bridge.reports.clocks import Obligation
from bridge.reports.feedback import AWAITED, awaited_deadline, message, next_step
from bridge.reports.report import Report
from bridge.reports.states import Status, words_for
from bridge.reports.tickets import read_ticket
from bridge.service import Service
from bridge.storage import escalations
from bridge.storage import reports as stored
from bridge.throttle import Throttle

#: Thirty wrong tickets at once, then one every two seconds: a citizen never gets there, a guesser does at once. Only
#: misses count, because thousands of telephones share one address of their network.
_MISSES = Throttle(burst=30, every_s=2)

#: The way of a report as citizens see it: the state, what it is called once reached, what leads to it.
_STEPS = (
    (Status.RECEIVED, ("Laporan diterima", "Report received"), ("received",)),
    (Status.ACKNOWLEDGED, ("Ditanggapi petugas BPSK", "Answered by an officer of BPSK"), ("acknowledge",)),
    (Status.REGISTERED, ("Terdaftar sebagai perkara", "Registered as a case"), ("register",)),
    (Status.CLOSED, ("Selesai", "Closed"), ("close", "withdraw")),
)


def blueprint(service: Service) -> Blueprint:
    """Return `/track/`."""
    routes = Blueprint("tracking", __name__, template_folder="templates")

    @routes.get("/track/")
    def ask() -> AnyResponse | str:
        typed = request.args.get("ticket", "").strip()
        if not typed:
            return render_template("tracking/ask.html", wrong=False)
        ticket = read_ticket(typed)
        return redirect(url_for("tracking.show", text=ticket)) if ticket else _looked_up(service, None)

    @routes.get("/track/<text>")
    def show(text: str) -> Response:
        return _looked_up(service, read_ticket(text))

    return routes


def _looked_up(service: Service, ticket: str | None) -> Response:
    """Answer a look at a ticket. A wrong one and a missing one answer alike: nothing to learn by trying."""
    who = request.remote_addr or ""
    if wait_s := _MISSES.wait_s(who, take=False):
        headers = {"Retry-After": str(math.ceil(wait_s))}
        return Response(render_template("tracking/ask.html", wrong=False, slow=True), 429, headers)
    content = _content(service, ticket) if ticket else None
    if content is None:
        _MISSES.wait_s(who)
        return Response(render_template("tracking/ask.html", wrong=True), 404)
    return Response(render_template("tracking/track.html", **content))


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
    late = due_at is not None and now > due_at
    return {
        "report": report,
        "words": words_for(report.status, report.outcome),
        "message": message(report, chosen),
        "next_step": next_step(report, chosen),
        "due_at": due_at,
        "late": late,
        "everybody_told": late and any(_exhausted(o, report) for o in owed),
        "way": _way(report, history, fired),
        "missing": report.missing,
        "after_award": dates_after_award(service.rules, report, owed, history),
    }


def _exhausted(obligation: Obligation, report: Report) -> bool:
    return obligation.cycle == report.cycle and obligation.kind is AWAITED.get(report.status) and obligation.exhausted


def _way(report: Report, history: list[dict[str, Any]], fired: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what happened in this cycle, oldest first, escalations too, and then the steps to come (`at` None)."""
    happened: dict[Status, datetime] = {Status.RECEIVED: report.received_at}
    for line in history:
        for status, _, events in _STEPS:
            if line["cycle"] == report.cycle and line["event"] in events:
                happened.setdefault(status, line["at"])
    steps: list[dict[str, Any]] = [
        {"words": words, "at": happened.get(status), "to": None}
        for status, words, _ in _STEPS
        if status in happened or report.status is not Status.CLOSED
    ]
    told = [row for row in fired if row["cycle"] == report.cycle and row["did"] not in ("no_target", "close")]
    climbed = [{"at": row["fired_at"], "to": row["target"].removeprefix("role:")} for row in told]
    past = sorted((s for s in (*steps, *climbed) if s["at"]), key=lambda s: s["at"])
    return past + [step for step in steps if not step["at"]]
