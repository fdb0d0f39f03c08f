"""`/a/<token>`: the notified officer's link. GET only shows (mail scanners only GET); POST acknowledges."""

from flask import Blueprint, Response, render_template

from bridge.casework import StaleCycle
from bridge.links import AckLink
from bridge.reports.moves import Actor
from bridge.reports.people import Person
from bridge.reports.report import Report
from bridge.reports.states import Status, words_for
from bridge.service import Service
from bridge.storage import people
from bridge.storage import reports as stored
from bridge.storage.reports import NoSuchReport


def blueprint(service: Service) -> Blueprint:
    """Return the one-click page."""
    routes = Blueprint("oneclick", __name__, template_folder="templates")

    @routes.get("/a/<token>")
    def show(token: str) -> str:
        link, report, person = _behind(service, token)
        return _page(link, report, person, done=False)

    @routes.post("/a/<token>")
    def acknowledge(token: str) -> Response | str:
        link, report, person = _behind(service, token)
        actor = Actor(f"person:{person.person_id}", person)
        try:
            result = service.casework.acknowledge(report.ticket, actor, cycle=link.cycle)
        except StaleCycle:
            return Response(_page(link, report, person, done=False), 409)
        return _page(link, result.report, person, done=result.changed)

    return routes


def _behind(service: Service, token: str) -> tuple[AckLink, Report, Person]:
    """Return what a token stands for; the person must still be here, the link is theirs alone."""
    link = service.links.read(token)
    with service.database.read() as connection:
        found = stored.by_ids(connection, [link.report_id])
        if link.report_id not in found:
            raise NoSuchReport(link.report_id)
        return link, found[link.report_id], people.one(connection, link.person_id)


def _page(link: AckLink, report: Report, person: Person, *, done: bool) -> str:
    return render_template(
        "desk/oneclick.html",
        report=report,
        words=words_for(report.status, report.outcome),
        officer=person,
        done=done,
        stale=link.cycle != report.cycle,
        open=report.status is Status.RECEIVED and link.cycle == report.cycle,
    )
