"""A report is forgotten: whatever may name somebody goes for good, the figures stay."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from bridge.reports.merging import NotPossible
from bridge.reports.moves import Actor
from bridge.reports.report import Changes, Report
from bridge.reports.states import Status

#: What stands where the citizen's own words stood.
FORGOTTEN_TEXT = "Data pribadi dihapus · personal data removed"
#: What figures count by; of a business only its name.
_COUNTED = ("anonymous", "domicile", "area")


class About(StrEnum):
    """Whom a body set aside is about, seen from one report."""

    THIS = "this"
    ANOTHER = "another"
    #: It names no report, but the city's id stands in it: only a person can tell.
    PERHAPS = "perhaps"
    NOBODY = "nobody"


class Fate(StrEnum):
    """What forgetting a report means for one line that lies aside. Nothing but `ERASED` is ever touched."""

    ERASED = "erased"
    SHARED = "shared"
    SIMILAR = "similar"
    LEFT = "left"


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


def about(named: object, mentioned: bool, external_id: str) -> About:
    """Tell whom a body is about.

    Args:
        named: What stands at the place of the city's id, by the source's own mapping; None where nothing can be read.
        mentioned: Whether the city's id stands anywhere in the body.
        external_id: The city's id of the report to forget; a number at its place is the same id.
    """
    if isinstance(named, str | int) and not isinstance(named, bool) and str(named).strip():
        return About.THIS if str(named) == external_id else About.ANOTHER
    return About.PERHAPS if mentioned else About.NOBODY


def fate(bodies: Collection[About], *, whole: bool) -> Fate:
    """Decide about one line by its bodies. `whole`: as it came and as it was mended are one webhook, not several."""
    if About.THIS in bodies:
        others = About.ANOTHER in bodies if whole else {*bodies} != {About.THIS}
        return Fate.SHARED if others else Fate.ERASED
    if About.PERHAPS in bodies and not (whole and About.ANOTHER in bodies):
        return Fate.SIMILAR
    return Fate.LEFT
