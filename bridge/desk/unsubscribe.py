"""`/a/off/<token>`: turns a kind of mails off for whom it was sent to. GET only shows; a POST acts, without a login, as
mail programs send it (RFC 8058)."""

from flask import Blueprint, render_template

from bridge.links import BadLink
from bridge.reports.preferences import MAY_TURN_OFF
from bridge.service import Service
from bridge.storage import people
from bridge.storage.destinations import lock_people


def blueprint(service: Service) -> Blueprint:
    """Return the page."""
    routes = Blueprint("unsubscribe", __name__, template_folder="templates")

    @routes.get("/a/off/<token>")
    def show(token: str) -> str:
        person_id, kind = _behind(service, token)
        with service.database.read() as connection:
            person = people.one(connection, person_id)
        return render_template("desk/unsubscribe.html", kind=kind, off=kind in person.turned_off)

    @routes.post("/a/off/<token>")
    def turn_off(token: str) -> str:
        person_id, kind = _behind(service, token)
        with service.database.write() as connection:
            lock_people(service.database, connection, [person_id])  # two mails, clicked at once
            off = people.one(connection, person_id).turned_off
            people.set_fields(connection, person_id, turned_off=[k for k in MAY_TURN_OFF if k in (*off, kind)])
        return render_template("desk/unsubscribe.html", kind=kind, off=True)

    return routes


def _behind(service: Service, token: str) -> tuple[str, str]:
    person_id, kind = service.links.read_turn_off(token)
    if kind not in MAY_TURN_OFF:
        raise BadLink("nobody may turn these off")
    return person_id, kind
