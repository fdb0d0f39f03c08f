"""What anybody may read: discovery, services, requests and what became of them. No key, no personal data."""

import math
import re
from collections.abc import Collection, Iterable
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from bridge.open311 import services, shown, updates
from bridge.open311.asked import each, wanted_by
from bridge.open311.keys import open311_sources
from bridge.open311.rendering import FORMATS, Refused, answer, format_of, refusal
from bridge.open311.services import SERVICES
from bridge.reports.feedback import awaited_deadline
from bridge.reports.report import Report
from bridge.reports.tickets import read_ticket
from bridge.service import Service
from bridge.storage import open311 as stored
from bridge.storage import reports as all_reports
from bridge.storage.database import Connection, DatabaseAway
from bridge.throttle import Throttle

_V2 = "/open311/v2"
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_FORMAT = f"<any({', '.join(FORMATS)}):fmt>"
_POSTED = re.compile(rf"{_V2}/(requests|servicerequestupdates)\.({'|'.join(FORMATS)})")
#: As on the citizen's page: only misses count, and a guesser of tickets has thirty.
_MISSES = Throttle(burst=30, every_s=2)


def blueprint(service: Service) -> Blueprint:
    """Return `/open311/v2`, but for POST requests, which the receiver takes (way_in.py)."""
    routes = Blueprint("open311", __name__)
    routes.register_error_handler(Refused, lambda refused: refusal(format_of(request.path), refused))
    routes.register_error_handler(DatabaseAway, _away)
    routes.register_error_handler(HTTPException, _http_error)
    routes.after_request(_for_every_origin)
    _add_services(routes, service)
    _add_requests(routes, service)
    updates.add_to(routes, service)

    @routes.route("/open311/", defaults={"rest": ""}, methods=_METHODS)
    @routes.route("/open311/<path:rest>", methods=_METHODS)
    def nothing(rest: str) -> AnyResponse:
        raise Refused(404, f"There is no {request.method} {rest[:64]!r} here. Formats: {', '.join(FORMATS)}.")

    return routes


def _add_services(routes: Blueprint, service: Service) -> None:
    @routes.get(f"/open311/discovery.{_FORMAT}")
    @routes.get(f"{_V2}/discovery.{_FORMAT}")
    def discovery(fmt: str) -> AnyResponse:
        return answer(fmt, "discovery", services.discovery(service.settings.public_url))

    @routes.get(f"{_V2}/services.{_FORMAT}")
    def service_list(fmt: str) -> AnyResponse:
        return answer(fmt, "services", services.service_list())

    @routes.get(f"{_V2}/services/<code>.{_FORMAT}")
    def definition(code: str, fmt: str) -> AnyResponse:
        if code not in SERVICES:
            raise Refused(404, f"service_code: {code[:64]!r} was not found.")
        return answer(fmt, "service_definition", services.definition(code))


def _add_requests(routes: Blueprint, service: Service) -> None:
    @routes.get(f"{_V2}/requests.{_FORMAT}")
    def requests(fmt: str) -> AnyResponse:
        return answer(fmt, "service_requests", _requests(service))

    @routes.get(f"{_V2}/requests/<path:ticket>.{_FORMAT}")
    def one_request(ticket: str, fmt: str) -> AnyResponse:
        with service.database.read() as connection:
            return answer(fmt, "service_requests", _shown(service, connection, [_one(connection, ticket)]))

    @routes.get(f"{_V2}/tokens/<path:token>.{_FORMAT}")
    def one_token(token: str, fmt: str) -> AnyResponse:
        # Every service is realtime and gives no tokens out; a client that asks all the same asks with what it got.
        with service.database.read() as connection:
            found = _one(connection, token).ticket
        return answer(fmt, "service_requests", [{"service_request_id": found, "token": token}])


def _requests(service: Service) -> list[dict[str, Any]]:
    with service.database.read() as connection:
        if ids := each(request.args, "service_request_id"):
            return _shown(service, connection, _several(connection, ids))
        now = service.database.now(connection)
        wanted = wanted_by(request.args, open311_sources(service.doors), now)
        return _shown(service, connection, stored.listed(connection, wanted))


def _one(connection: Connection, text: str) -> Report:
    found = _several(connection, [text])
    if not found:
        raise Refused(404, "service_request_id or token: not found. One just given out may take a moment.")
    return found[0]


def _several(connection: Connection, ids: Collection[str]) -> list[Report]:
    """Return the reports of tickets, in that order, leaving out what is unknown; who guesses must wait."""
    who = request.remote_addr or ""
    if wait_s := _MISSES.wait_s(who, take=False):
        raise Refused(429, "Too many unknown ids.", **{"Retry-After": str(math.ceil(wait_s))})
    # An id named twice, however it is written, is one; and no more are looked up than may be answered.
    asked = list(dict.fromkeys(read_ticket(text) or text for text in ids))[: stored.MOST]
    found = stored.by_tickets(connection, [ticket for ticket in asked if read_ticket(ticket)])
    for _ in range(len(asked) - len(found)):
        _MISSES.wait_s(who)
    return [found[ticket] for ticket in asked if ticket in found]


def _shown(service: Service, connection: Connection, reports: Iterable[Report]) -> list[dict[str, Any]]:
    chosen = list(reports)
    ids = [report.report_id for report in chosen]
    changed_at = stored.changed_at(connection, ids, shown.EVENTS)
    sources, offices = service.configuration.sources, service.configuration.rulebook.offices
    telling = {name for name, source in sources.items() if source.expected_datetime}
    owed = all_reports.obligations_of(connection, [r.report_id for r in chosen if r.source in telling])
    return [
        shown.request(
            report,
            changed_at=changed_at.get(report.report_id, report.received_at),
            agency=offices[report.office].name if report.office in offices else "BPSK",
            track_url=service.links.to_track(report.ticket),
            expected_at=awaited_deadline(report, owed.get(report.report_id, [])),
        )
        for report in chosen
    ]


def _away(_: DatabaseAway) -> AnyResponse:
    detail = "Not available just now. Ask again in a moment."
    return refusal(format_of(request.path), Refused(503, detail, **{"Retry-After": "5"}))


def _http_error(error: HTTPException) -> AnyResponse:
    return refusal(format_of(request.path), Refused(error.code or 400, error.description or error.name))


def _for_every_origin(response: Response) -> Response:
    if request.method in ("GET", "HEAD", "OPTIONS"):
        # Anybody may read it, so any page may.
        response.headers["Access-Control-Allow-Origin"] = "*"
    if request.method == "OPTIONS":
        response.headers["Access-Control-Allow-Methods"] = "GET, HEAD"
        response.headers["Access-Control-Allow-Headers"] = "*"
        # Not what is routed here only to be refused in the words of the specification.
        response.headers["Allow"] = "GET, HEAD, OPTIONS" + (", POST" if _POSTED.fullmatch(request.path) else "")
    return response
