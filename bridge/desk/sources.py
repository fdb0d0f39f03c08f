"""The city apps that send: when each was last seen, how much came, by which key, and what had to lie aside."""

from datetime import UTC, datetime, timedelta

from flask import Blueprint, render_template

from bridge.auth import needs
from bridge.reports.people import Role
from bridge.service import Service
from bridge.storage.receipts import activity

_LOOKED_BACK = timedelta(days=1)


def blueprint(service: Service) -> Blueprint:
    """Return the page."""
    routes = Blueprint("sources", __name__, template_folder="templates")

    @routes.get("/desk/sources")
    @needs(service, Role.ADMIN)
    def show() -> str:
        now = datetime.now(UTC)
        sources = list(service.configuration.sources.values())
        with service.database.read() as connection:
            seen = {source.name: activity(connection, source.name, now - _LOOKED_BACK) for source in sources}
        return render_template("desk/sources.html", sources=sources, seen=seen, now=now)

    return routes
