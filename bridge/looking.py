"""Showing who complains: whole to who needs it, each look written down first; masked to all others."""

from bridge.contacts import masked, opened
from bridge.reports.people import Person, Role
from bridge.reports.report import Report
from bridge.storage import looks
from bridge.storage.database import Database
from bridge.vault import Unreadable, Vault

#: What `looks.what` says.
CONTACT = "contact"
ATTACHMENT = "attachment"


def needs_contact(person: Person, report: Report) -> bool:
    """Tell whether a person works with names and numbers: the assignee and the secretariat do."""
    return person.person_id == report.assignee or person.role is Role.SECRETARIAT


def revealed(database: Database, vault: Vault, report: Report, actor: str) -> dict[str, str]:
    """Return the contact in a report; that somebody looked is on disk before they see it.

    Raises:
        Unreadable: sealed with a key that is not here.
    """
    contact = {name: str(value) for name, value in opened(vault, report.reporter).items()}
    if contact:
        noted(database, report, actor, CONTACT)
    return contact


def noted(database: Database, report: Report, actor: str, what: str) -> None:
    """Write down that somebody is about to look; nothing may be shown if this fails."""
    with database.write() as connection:
        looks.note(connection, report.report_id, actor, what, at=database.now(connection))


def veiled(vault: Vault, report: Report) -> dict[str, str]:
    """Return the contact masked; nothing of one whose key is gone."""
    try:
        return masked(opened(vault, report.reporter))
    except Unreadable:
        return {}
