"""Policies and calendars by version, kept for as long as a clock may need them."""

from collections.abc import Callable
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.reports.calendars import WorkingCalendar
from bridge.reports.clocks import Policy
from bridge.reports.rulebook import Rulebook
from bridge.storage.database import Database
from bridge.storage.tables import versions


def keep(
    database: Database,
    connection: Connection,
    rulebook: Rulebook,
    *,
    now: datetime,
    definition_of: Callable[[WorkingCalendar], dict[str, object]],
) -> None:
    """Store today's policies and calendars under their versions; what is there already stays."""
    policies = [p for policy_set in rulebook.policies.values() for p in policy_set.values()]
    rows = [("policy", p.version, p.definition()) for p in policies]
    rows += [("calendar", c.version, definition_of(c)) for c in rulebook.calendars.values()]
    unique = {version: (what, definition) for what, version, definition in rows}
    database.insert_new(
        connection,
        versions,
        [
            {"version": version, "what": what, "definition": definition, "first_used_at": now}
            for version, (what, definition) in unique.items()
        ],
    )


def load(
    connection: Connection,
    rulebook: Rulebook,
    *,
    calendar_from: Callable[[str, dict[str, object], str], WorkingCalendar],
) -> None:
    """Add every stored version to the rulebook: versions never change, so what is loaded stays true."""
    for row in connection.execute(sa.select(versions)).mappings():
        version, definition = row["version"], row["definition"]
        if row["what"] == "policy":
            rulebook.policy_versions.setdefault(version, Policy.from_definition(version, definition))
        else:
            name = version.rpartition("@")[0]
            rulebook.calendar_versions.setdefault(version, calendar_from(name, definition, version))
