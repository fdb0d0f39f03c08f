"""A report changes hands: to another officer, into another report, to another office. Its clocks go on."""

from flask import Blueprint, abort, g, redirect, request, url_for
from werkzeug.wrappers import Response

from bridge.auth import acting, needs
from bridge.comparing import dismiss
from bridge.reports.clocks import Kind
from bridge.reports.people import Role
from bridge.reports.tickets import read_ticket
from bridge.service import Service
from bridge.storage import people


def blueprint(service: Service) -> Blueprint:
    """Return the doors behind the forms of the report's page."""
    routes = Blueprint("handover", __name__)

    @routes.post("/desk/reports/<ticket>/assign")
    @needs(service, Role.SECRETARIAT, Role.CHAIR, Role.ADMIN)
    def assign(ticket: str) -> Response:
        with service.database.read() as connection:
            person = people.one(connection, request.form.get("person", ""))
        service.casework.assign(ticket, person, acting(g.person), request.form.get("reason", ""))
        return redirect(url_for("report.show", ticket=ticket))

    @routes.post("/desk/reports/<ticket>/escalate")
    @needs(service, Role.OFFICER, Role.SECRETARIAT, Role.CHAIR, Role.ADMIN)
    def escalate(ticket: str) -> Response:
        kind, cycle, step = (request.form.get(name, "") for name in ("kind", "cycle", "step"))
        if kind not in list(Kind) or not (cycle.isascii() and cycle.isdigit() and step.isascii() and step.isdigit()):
            abort(400, "Use the button on the report's page.")
        reason = request.form.get("reason", "")
        service.casework.hurry(ticket, acting(g.person), reason, kind=Kind(kind), seen=(int(cycle[:9]), int(step[:9])))
        return redirect(url_for("report.show", ticket=ticket))

    @routes.post("/desk/reports/<ticket>/merge")
    @needs(service, Role.SECRETARIAT, Role.CHAIR, Role.ADMIN)
    def merge(ticket: str) -> Response:
        into = read_ticket(request.form.get("into", ""))
        if into is None:
            abort(400, "Write the ticket that goes on, like K7Q2-9XWM-4T8K.")
        service.casework.merge(ticket, into, acting(g.person), request.form.get("reason", ""))
        return redirect(url_for("report.show", ticket=into))

    @routes.post("/desk/reports/<ticket>/not-the-same")
    @needs(service, Role.SECRETARIAT, Role.CHAIR, Role.ADMIN)
    def not_the_same(ticket: str) -> Response:
        dismiss(service.database, ticket, read_ticket(request.form.get("other", "")) or "", acting(g.person))
        return redirect(url_for("report.show", ticket=ticket))

    @routes.post("/desk/reports/<ticket>/transfer")
    @needs(service, Role.SECRETARIAT, Role.CHAIR, Role.ADMIN)
    def transfer(ticket: str) -> Response:
        office, reason = request.form.get("office", ""), request.form.get("reason", "")
        service.casework.transfer(ticket, office, acting(g.person), reason)
        return redirect(url_for("report.show", ticket=ticket))

    return routes
