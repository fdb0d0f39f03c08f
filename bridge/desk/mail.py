"""Mail that was written as files because no mail server is configured: so that one can read it in a trial."""

import email
import email.policy
from pathlib import Path
from typing import Any

from flask import Blueprint, render_template

from bridge.auth import OVERSEERS, needs
from bridge.service import Service

_MOST = 100


def blueprint(service: Service) -> Blueprint:
    """Return the page."""
    routes = Blueprint("mail", __name__, template_folder="templates")

    @routes.get("/desk/mail")
    @needs(service, *OVERSEERS)
    def show() -> str:
        folder = service.settings.data_dir / "mail"
        return render_template("desk/mail.html", messages=_newest(folder), sent=bool(service.settings.smtp_url))

    return routes


def _newest(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("*.eml"), key=lambda path: path.stat().st_mtime, reverse=True)[:_MOST]
    return [_read(path) for path in files]


def _read(path: Path) -> dict[str, Any]:
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    body = message.get_body(("plain",))
    return {
        "to": message["To"],
        "subject": message["Subject"],
        "at": message["Date"].datetime if message["Date"] else None,
        "text": body.get_content() if body else "",
    }
