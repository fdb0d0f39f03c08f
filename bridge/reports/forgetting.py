"""A report is forgotten: whatever may name somebody goes for good, the figures stay."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from bridge.reports.merging import NotPossible
from bridge.reports.moves import Actor
from bridge.reports.report import Changes, Report
from bridge.reports.states import Status

#: What stands where the citizen's own words stood.
FORGOTTEN_TEXT = "Data pribadi dihapus · personal data removed"
#: What figures count by; of a business only its name.
_COUNTED = ("anonymous", "domicile", "area")


def forget(report: Report, actor: Actor, *, now: datetime, reason: str, even_open: bool = False) -> Changes:
    """Return what forgetting a report changes; nothing when it is forgotten already.

    Raises:
        NotPossible: it is open and that was not asked for, or nobody says why.
    """
    if report.forgotten_at is not None:
        return Changes()
    if not reason.strip():
        raise NotPossible("say why; it is kept in the history")
    if report.status is not Status.CLOSED and not even_open:
        raise NotPossible("the report is open and somebody still works on it; close it first")
    bare = replace(
        report,
        title=FORGOTTEN_TEXT,
        description=FORGOTTEN_TEXT,
        reporter=_counted(report.reporter),
        business=_counted(report.business, ("name",)),
        location=_counted(report.location),
        attachments=(),
        forgotten_at=now,
    )
    changes = Changes(reports={report.report_id: bare})
    changes.note(bare, "forgotten", actor.name, now, reason=reason.strip())
    return changes


def _counted(values: Mapping[str, Any], names: Collection[str] = _COUNTED) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in names}
