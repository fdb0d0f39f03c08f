"""What citizens added by POST servicerequestupdates, whole, also where the report's description has no room for it."""

from collections.abc import Iterator
from typing import Any

from bridge.open311.amending import UPDATES
from bridge.open311.form import Form
from bridge.reports.report import Report
from bridge.storage import webhooks
from bridge.storage.database import Connection
from bridge.vault import Unreadable, Vault


def updates_of(connection: Connection, vault: Vault, report: Report) -> Iterator[dict[str, Any]]:
    """Yield the updates of a report in the order they came: words and pictures, never who sent them.

    `why_not` says why the words of one are not there: removed, or sealed with a key that is not here.
    """
    for row in webhooks.named_alike(connection, report.report_id, UPDATES):
        at = {"received_at": row["received_at"]}
        try:
            form = Form.kept(vault.open(row["body"])) if row["body"] else None
        except Unreadable:
            yield at | {"why_not": "sealed with a key that is not here"}
            continue
        yield at | (_words(form) if form else {"why_not": "removed"})


def _words(form: Form) -> dict[str, Any]:
    names = ("update_id", "status", "updated_datetime", "description")
    return {name: form.one(name) for name in names} | {"media_url": form.all("media_url")}
