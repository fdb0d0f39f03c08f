"""What the citizen attached, as a download and never as a page: fetched by us, not by the officer's browser."""

import structlog
from flask import Blueprint, abort, g, send_file
from werkzeug.wrappers import Response

from bridge.attachments import Download, download
from bridge.auth import EVERYBODY, acting, needs
from bridge.delivery.fetching import MOST_BYTES, NotFetched, Why
from bridge.looking import needs_contact
from bridge.problems import problem
from bridge.service import Service
from bridge.storage import reports as stored

log = structlog.get_logger()

#: why -> (title, what it means), in Indonesian and in English.
_WORDS = {
    Why.FORBIDDEN: (
        ("Alamat lampiran tidak boleh dibuka", "Alamatnya menunjuk ke jaringan dalam atau tidak sah. Beri tahu admin."),
        ("The attachment's address may not be opened", "It points inside our network, or is none. Tell the admin."),
    ),
    Why.AWAY: (
        (
            "Lampiran tidak terjangkau",
            "Server tempat lampiran disimpan tidak menjawab sampai selesai. Coba lagi nanti.",
        ),
        ("The attachment cannot be reached", "The server that keeps it did not answer to the end. Try again later."),
    ),
    Why.REFUSED: (
        ("Lampiran tidak diberikan", "Server tempat lampiran disimpan tidak memberikannya; mungkin sudah dihapus."),
        ("The attachment was not given", "The server that keeps it did not give it; it may be gone."),
    ),
    Why.KIND: (
        ("Jenis lampiran tidak diterima", "Yang diterima: foto JPEG, PNG, WebP, HEIC, PDF, video MP4, atau teks."),
        ("Not a kind of attachment we open", "Accepted are photos as JPEG, PNG, WebP, HEIC, PDF, MP4 video and text."),
    ),
    Why.SIZE: (
        ("Lampiran terlalu besar", f"Ukurannya lebih dari {MOST_BYTES // 1_000_000} MB."),
        ("The attachment is too large", f"It has more than {MOST_BYTES // 1_000_000} MB."),
    ),
}


def blueprint(service: Service) -> Blueprint:
    """Return the download."""
    routes = Blueprint("attachments", __name__)

    # A POST: no prefetching browser may ask for it, and each one is written down.
    @routes.post("/desk/reports/<ticket>/attachments/<int:number>")
    @needs(service, *EVERYBODY)
    def fetch(ticket: str, number: int) -> Response:
        with service.database.read() as connection:
            report = stored.by_ticket(connection, ticket)
        if not needs_contact(g.person, report):
            abort(403, "What a citizen attached is for the assignee and the secretariat.")
        if not 1 <= number <= len(report.attachments):
            abort(404, f"The report has no attachment {number}.")
        folder, actor = service.settings.data_dir, acting(g.person).name
        try:
            return _handed(download(service.database, service.guard, folder, report, number, actor))
        except NotFetched as error:
            log.warning("attachment_not_fetched", ticket=ticket, number=number, why=error.why, error=error.detail)
            indonesian, english = _WORDS[error.why]
            return problem(502, *english, indonesian=indonesian)

    return routes


def _handed(found: Download) -> Response:
    answer = send_file(
        found.file,
        mimetype=found.what.media_type,
        as_attachment=True,
        download_name=found.name,
        conditional=False,
        etag=False,
    )
    answer.content_length = found.what.size_bytes
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    # Opened as a page all the same, it may run nothing.
    answer.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    answer.headers["X-Attachment-SHA256"] = found.what.sha256
    if found.changed:
        answer.headers["X-Attachment-Changed"] = f"first-sha256={found.first}; first-at={found.first_at.isoformat()}"
    return answer
