"""What notices say, in every language, as they would look now: for who writes or checks the texts."""

from typing import Any

from flask import Blueprint, Response, make_response, render_template, request

from bridge.auth import needs
from bridge.delivery.notices import KINDS
from bridge.pages import language
from bridge.previewing import preview
from bridge.reports.people import Role
from bridge.reports.tickets import read_ticket
from bridge.service import Service
from bridge.storage.reports import NoSuchReport
from bridge.words import LANGUAGES

#: As everywhere on the desk, but for the style attributes mail is made of; the frame they stand in can run nothing.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def blueprint(service: Service) -> Blueprint:
    """Return the page."""
    routes = Blueprint("texts", __name__, template_folder="templates")

    @routes.get("/desk/texts")
    @needs(service, Role.ADMIN)
    def show() -> Response:
        page = make_response(render_template("desk/texts.html", **_content(service)))
        page.headers["Content-Security-Policy"] = _POLICY
        return page

    return routes


def _content(service: Service) -> dict[str, Any]:
    kind = _one_of(KINDS, request.args.get("kind", ""), KINDS[0])
    chosen = _one_of(LANGUAGES, request.args.get("lang", ""), language())
    asked = request.args.get("ticket", "").strip()
    ticket, unknown = read_ticket(asked) or "", False
    try:
        notice = preview(service, kind, chosen, ticket=ticket)
    except NoSuchReport:
        notice, unknown = preview(service, kind, chosen), True
    return {
        "notice": notice,
        "kind": kind,
        "kinds": KINDS,
        "chosen": chosen,
        "languages": {"id": "Indonesia", "en": "English"},
        "ticket": "" if unknown else ticket,
        "asked": asked,
        "unknown": unknown or bool(asked and not ticket),
    }


def _one_of(choices: tuple[str, ...], wanted: str, default: str) -> str:
    return wanted if wanted in choices else default
