"""One place that turns domain errors into HTTP: problem+json (RFC 9457) for programs, a page for people."""

from functools import partial

from flask import Flask, Response, current_app, json, render_template, request
from werkzeug.exceptions import HTTPException

#: HTTP status -> what a page says to people: (title, what to do) in Indonesian; the English is the error's own.
_INDONESIAN = {
    400: ("Permintaan tidak dapat dibaca", "Muat ulang halaman sebelumnya, lalu coba sekali lagi."),
    403: ("Bukan untuk peran Anda", "Halaman atau tindakan ini milik peran lain."),
    404: ("Tidak ditemukan", "Alamat, tiket, atau tautan ini tidak ada. Periksa kembali huruf dan angkanya."),
    405: ("Tidak dapat dibuka begini", "Kembalilah dan pakai tombol di halaman."),
    409: ("Tidak dapat dilakukan sekarang", "Keadaan laporan sudah berubah. Muat ulang halamannya."),
    413: ("Terlalu besar", "Yang dikirim melewati batas ukuran."),
    429: ("Terlalu sering", "Tunggu sebentar, lalu coba lagi."),
    500: ("Ada yang salah di pihak kami", "Sudah kami catat. Tidak ada laporan yang hilang karenanya."),
    503: ("Basis data sedang tidak terjangkau", "Coba lagi sebentar. Tidak ada yang hilang."),
}


def register(app: Flask) -> None:
    """Let the app answer every error in words, and never show a stack trace."""
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(500, _unexpected)


def register_domain(app: Flask) -> None:
    """Let pages and API answer what the domain refuses."""
    for error_type, (status, title) in domain_errors().items():
        app.register_error_handler(error_type, partial(_domain_error, status, title))


def domain_errors() -> dict[type[Exception], tuple[int, str]]:
    """Return error -> (HTTP status, title). A function, since a receiver shall not load the database for it."""
    from bridge.casework import EscalatedSince, NothingOwed, StaleCycle
    from bridge.links import BadLink
    from bridge.reports.escalation import NothingToHurry
    from bridge.reports.merging import NotPossible
    from bridge.reports.setting_aside import DecidedBefore, ReasonMissing
    from bridge.reports.states import MoveRefused
    from bridge.storage.database import Conflict, DatabaseAway
    from bridge.storage.people import NoSuchPerson
    from bridge.storage.reports import NoSuchReport
    from bridge.storage.set_aside import NothingAside
    from bridge.vault import Unreadable

    return {
        NoSuchReport: (404, "No such report"),
        NoSuchPerson: (404, "No such person"),
        NothingAside: (404, "Nothing set aside has this number"),
        NothingOwed: (409, "Nothing owed"),
        MoveRefused: (409, "Move not allowed"),
        EscalatedSince: (409, "It has gone up since"),
        NothingToHurry: (409, "Nothing to hurry"),
        NotPossible: (409, "Not possible"),
        StaleCycle: (409, "The report was reopened since"),
        DecidedBefore: (409, "Somebody else was first"),
        ReasonMissing: (400, "A reason is needed"),
        Unreadable: (409, "Sealed with a key that is not here"),
        BadLink: (404, "This link does not work"),
        Conflict: (409, "Somebody else was first"),
        DatabaseAway: (503, "The database is away"),
    }


def problem(status: int, title: str, detail: str, *, indonesian: tuple[str, str] | None = None) -> Response:
    """Return an answer in the form the caller reads: JSON for programs, HTML for people.

    Args:
        indonesian: Title and detail, where this problem has words of its own; else what the status says.
    """
    headers = {"Retry-After": "5"} if status == 503 else {}
    if _for_people():
        said = indonesian or _INDONESIAN.get(status, (title, detail))
        page = render_template("problem.html", status=status, english=(title, detail), indonesian=said)
        return Response(page, status, headers, mimetype="text/html")
    body = json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail})
    return Response(body + "\n", status, headers, content_type="application/problem+json")


def _domain_error(status: int, title: str, error: Exception) -> Response:
    detail = "Try again in a moment." if status == 503 else str(error)
    return problem(status, title, detail)


def _http_error(error: HTTPException) -> Response:
    answer = error.get_response()
    if error.code is None or error.code < 400:
        return Response(answer.get_data(), answer.status_code, answer.headers)
    shown = problem(error.code, error.name, error.description or "")
    for name in ("Allow", "WWW-Authenticate", "Retry-After"):
        if name in answer.headers:
            shown.headers[name] = answer.headers[name]
    return shown


def _unexpected(_: Exception) -> Response:
    return problem(500, "Something went wrong on our side", "It has been written down. Nothing you sent is lost.")


def _for_people() -> bool:
    # A process that only receives has no pages, so nothing to render one with.
    programs = ("/webhooks/", "/api/", "/open311/", "/healthz", "/readyz", "/metrics")
    return "language" in current_app.blueprints and not request.path.startswith(programs)
