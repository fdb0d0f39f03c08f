"""One place that turns domain errors into HTTP: problem+json (RFC 9457) for programs, a page for people."""

from flask import Flask, Response, json, render_template, request
from werkzeug.exceptions import HTTPException

from bridge.casework import NothingOwed, StaleCycle
from bridge.links import BadLink
from bridge.reports.states import MoveRefused
from bridge.storage.database import Conflict, DatabaseAway
from bridge.storage.people import NoSuchPerson
from bridge.storage.reports import NoSuchReport

#: error -> (HTTP status, title)
STATUS: dict[type[Exception], tuple[int, str]] = {
    NoSuchReport: (404, "No such report"),
    NoSuchPerson: (404, "No such person"),
    NothingOwed: (409, "Nothing owed"),
    MoveRefused: (409, "Move not allowed"),
    StaleCycle: (409, "The report was reopened since"),
    BadLink: (404, "This link does not work"),
    Conflict: (409, "Somebody else was first"),
    DatabaseAway: (503, "The database is away"),
}


def register(app: Flask) -> None:
    """Let the app answer every known error in words, and never show a stack trace."""
    for error_type in STATUS:
        app.register_error_handler(error_type, _domain_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(500, _unexpected)


def problem(status: int, title: str, detail: str) -> Response:
    """Return an answer in the form the caller reads: JSON for programs, HTML for people."""
    headers = {"Retry-After": "5"} if status == 503 else {}
    if _for_people():
        page = render_template("problem.html", status=status, title=title, detail=detail)
        return Response(page, status, headers, mimetype="text/html")
    body = json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail})
    return Response(body + "\n", status, headers, content_type="application/problem+json")


def _domain_error(error: Exception) -> Response:
    status, title = next(entry for kind, entry in STATUS.items() if isinstance(error, kind))
    detail = "Try again in a moment." if status == 503 else str(error)
    return problem(status, title, detail)


def _http_error(error: HTTPException) -> Response:
    answer = error.get_response()
    if error.code is None or error.code < 400:
        return Response(answer.get_data(), answer.status_code, answer.headers)
    return problem(error.code, error.name, error.description or "")


def _unexpected(_: Exception) -> Response:
    return problem(500, "Something went wrong on our side", "It has been written down. Nothing you sent is lost.")


def _for_people() -> bool:
    programs = ("/webhooks/", "/api/", "/open311/", "/healthz", "/readyz", "/metrics")
    return not request.path.startswith(programs)
