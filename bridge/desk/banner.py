"""The banner of every page behind the entrance: what is wrong with the clockwork, as long as something is."""

from flask import Blueprint

from bridge.reports.findings import Finding, alarms
from bridge.service import Service
from bridge.storage import engine
from bridge.storage.database import DatabaseAway
from bridge.storage.migrate import NotMigrated


def blueprint(service: Service) -> Blueprint:
    """Give templates `alarms()`: what is to be shown now. Pages that refresh themselves ask anew each time."""
    routes = Blueprint("banner", __name__, template_folder="templates")

    @routes.app_context_processor
    def helpers() -> dict[str, object]:
        return {"alarms": lambda: _shown(service)}

    return routes


def _shown(service: Service) -> list[Finding]:
    try:
        return now_wrong(service)
    except (DatabaseAway, NotMigrated):
        return []  # the page that says so has this banner too


def now_wrong(service: Service) -> list[Finding]:
    """Return what is wrong with the clockwork at this moment.

    Raises:
        DatabaseAway: cannot be reached.
        NotMigrated: the engine's row is missing.
    """
    with service.database.read() as connection:
        now = service.database.now(connection)
        state = engine.read(connection)
    return alarms(state, now, audit_every_s=service.settings.audit_every_s)
