"""The inbox: what is due next on top; one click acknowledges."""

from typing import Any

from flask import Blueprint, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from bridge.auth import EVERYBODY, OVERSEERS, acting, needs
from bridge.desk.shown import shown_report
from bridge.reports.states import Status, words_for
from bridge.service import Service
from bridge.storage import people
from bridge.storage import reports as stored
from bridge.storage.workers import pulse


def blueprint(service: Service) -> Blueprint:
    """Return the inbox."""
    routes = Blueprint("inbox", __name__, template_folder="templates")

    @routes.get("/desk/")
    @needs(service, *EVERYBODY)
    def show() -> str:
        return render_template("desk/inbox.html", **service.rules.deciding(lambda: _content(service)))

    @routes.get("/desk/inbox/rows")
    @needs(service, *EVERYBODY)
    def rows() -> str:
        """Only the list, for the live part of the page."""
        return render_template("desk/inbox_rows.html", **service.rules.deciding(lambda: _content(service)))

    @routes.post("/desk/reports/<ticket>/acknowledge")
    @needs(service, *EVERYBODY)
    def acknowledge(ticket: str) -> Response:
        service.casework.acknowledge(ticket, acting(g.person))
        back = request.form.get("back")
        target = url_for("report.show", ticket=ticket) if back == "report" else url_for("inbox.show")
        return redirect(target)

    return routes


def _content(service: Service) -> dict[str, Any]:
    mine = request.args.get("mine", "0" if g.person.role in OVERSEERS else "1") == "1"
    state = request.args.get("status", "")
    wanted = stored.Wanted(
        status=state if state in list(Status) else "",
        assignee=g.person.person_id if mine else "",
        search=request.args.get("q", ""),
        open_only=not state,
    )
    with service.database.read() as connection:
        found = stored.listed(connection, wanted)
        names = people.names(connection)
        now = service.database.now(connection)
        figures = pulse(connection, now)
    rows = [shown_report(row, service.rules.book, names, now) for row in found]
    return {
        "rows": rows,
        "mine": mine,
        "status": state,
        "query": request.args.get("q", ""),
        "late": sum(1 for row in rows if row["countdown"] and row["countdown"].late),
        "today": sum(1 for row in rows if row["countdown"] and row["countdown"].ends_on_day_of(now)),
        "waiting": sum(1 for row in rows if row["status"] == Status.NEEDS_COMPLETION),
        "statuses": [(status, words_for(status)) for status in Status],
        "figures": figures,
    }
