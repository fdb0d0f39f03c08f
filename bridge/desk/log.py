"""The escalation log: live, newest first, the filter in the address."""

from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from flask import Blueprint, Response, render_template, request

from bridge import log_files
from bridge.auth import OVERSEERS, needs
from bridge.desk.days import day
from bridge.reports.clocks import Kind
from bridge.service import Service
from bridge.storage import escalations, people
from bridge.storage.workers import pulse

_COLUMNS = (
    "seq",
    "ticket",
    "cycle",
    "kind",
    "level",
    "due_at",
    "fired_at",
    "lateness_s",
    "held_by",
    "target",
    "told",
    "did",
    "remark",
    "delivered",
    "answered",
    "hash",
    "id",
    "report_id",
    "step",
    "policy_version",
    "calendar_version",
)


def blueprint(service: Service) -> Blueprint:
    """Return the log's pages."""
    routes = Blueprint("log", __name__, template_folder="templates")

    @routes.get("/desk/escalations")
    @needs(service, *OVERSEERS)
    def show() -> str:
        return render_template("desk/log.html", **_content(service))

    @routes.get("/desk/escalations/rows")
    @needs(service, *OVERSEERS)
    def rows() -> str:
        """Only the list, for the live part of the page."""
        return render_template("desk/log_rows.html", **_content(service))

    @routes.get("/desk/escalations.csv")
    @needs(service, *OVERSEERS)
    def as_csv() -> Response:
        return Response(log_files.as_csv(_pages(service), _COLUMNS), content_type="text/csv; charset=utf-8")

    @routes.get("/desk/escalations.json")
    @needs(service, *OVERSEERS)
    def as_json() -> Response:
        return Response(log_files.as_json(_pages(service), _COLUMNS), content_type="application/json")

    return routes


def _pages(service: Service) -> Iterator[escalations.Rows]:
    """Return what is wanted, in pages; the first is read at once, so that a database that is away is said by status."""
    pages = escalations.walk(service.database, _wanted())
    return chain(list(islice(pages, 1)), pages)


def _wanted() -> escalations.Wanted:
    level = request.args.get("level", "")
    return escalations.Wanted(
        ticket=request.args.get("ticket", "").strip().upper(),
        person=request.args.get("person", ""),
        kind=request.args.get("kind", ""),
        level=int(level) if level.isascii() and level.isdigit() else None,
        warnings=request.args.get("warnings") == "1",
        office=request.args.get("office", ""),
        still_open=request.args.get("open") == "1",
        exhausted=request.args.get("exhausted") == "1",
        since=day(request.args.get("since", "")),
        until=day(request.args.get("until", ""), after=1),
    )


def _content(service: Service) -> dict[str, Any]:
    with service.database.read() as connection:
        rows = escalations.listed(connection, _wanted(), most=200)
        names = people.names(connection)
        figures = pulse(connection, service.database.now(connection))
        verdict = escalations.verify(connection, last=1000)
    return {
        "rows": rows,
        "names": names,
        "figures": figures,
        "verdict": verdict,
        "wanted": _wanted(),
        "kinds": list(Kind),
        "offices": service.rules.book.offices,
        "days": {name: request.args.get(name, "") for name in ("since", "until")},
        "address": request.query_string.decode(),
    }
