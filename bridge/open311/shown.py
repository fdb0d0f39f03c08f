"""What the public may see of a report: its kind, its state and our own sentences.

Never a name, a business, a word of the citizen's, a picture or a place closer than a city (domain.md B3.5).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bridge.open311.dates import update_id, written
from bridge.open311.services import CITIES, SERVICES
from bridge.reports.clocks import Kind
from bridge.reports.feedback import message, sentence
from bridge.reports.intake import UNSORTED
from bridge.reports.report import Report
from bridge.reports.states import Outcome, Status, words_for
from bridge.words import say

_PROVINCE = ("31", "DKI Jakarta", -6.2, 106.82)
#: The middle of each city, to two decimals: clients want coordinates, and these are nobody's.
_MIDDLE = {
    "31.01": (-5.75, 106.58),
    "31.71": (-6.18, 106.83),
    "31.72": (-6.13, 106.9),
    "31.73": (-6.16, 106.76),
    "31.74": (-6.27, 106.81),
    "31.75": (-6.25, 106.89),
}
_CITY_CODE_CHARS = 5

#: What in a report's history is told, and the state it led to; None: its line says so.
EVENTS: dict[str, Status | None] = {
    "received": Status.RECEIVED,
    "acknowledge": Status.ACKNOWLEDGED,
    "ask_completion": Status.NEEDS_COMPLETION,
    "resume": Status.ACKNOWLEDGED,
    "register": Status.REGISTERED,
    "close": Status.CLOSED,
    "withdraw": Status.CLOSED,
    "merged": Status.CLOSED,
    "reopen": Status.RECEIVED,
    "unmerged": None,
}
_OUTCOMES = {"withdraw": Outcome.WITHDRAWN, "merged": Outcome.DUPLICATE}
#: The state a report is in while a clock of this kind runs.
_STATE_OF = {
    Kind.ACKNOWLEDGE: Status.RECEIVED,
    Kind.TRIAGE: Status.ACKNOWLEDGED,
    Kind.COMPLETION: Status.NEEDS_COMPLETION,
}


def request(
    report: Report, *, changed_at: datetime, agency: str, track_url: str, expected_at: datetime | None
) -> dict[str, Any]:
    """Return one `request`; `expected_at` None leaves expected_datetime out."""
    service = SERVICES.get(report.category, SERVICES[UNSORTED])
    shown = {
        "service_request_id": report.ticket,
        "status": words_for(report.status, report.outcome).open311,
        "status_notes": message(report, report.language),
        "service_name": service.name,
        "service_code": service.code,
        "description": f"Laporan konsumen: {service.name}",
        "agency_responsible": agency,
        "service_notice": track_url,
        "requested_datetime": written(report.received_at),
        "updated_datetime": written(changed_at),
    }
    if expected_at is not None:
        shown["expected_datetime"] = written(expected_at)
    return shown | _place(report)


def update(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return one `request_update` of a line of the history or of the escalation log."""
    if "event" in row:
        status = EVENTS[row["event"]] or Status(row["data"]["status"])
    else:
        status = _STATE_OF.get(Kind(row["kind"]), Status.REGISTERED)
    outcome = _outcome(row) if status is Status.CLOSED else None
    said = sentence(status, outcome, row["language"])
    if "target" in row:
        said += f" {risen_to(say(row['target'].removeprefix('role:'), row['language']), row['language'])}"
    return {
        "update_id": update_id(row["ticket"], row["at"]),
        "service_request_id": row["ticket"],
        "status": words_for(status, outcome).mysociety,
        "description": said,
        "updated_datetime": written(row["at"]),
        "media_url": "",
    }


def risen_to(whom: str, language: str) -> str:
    """Say that a report has gone up."""
    return f"It has gone up to: {whom}." if language == "en" else f"Laporan naik kepada: {whom}."


def _outcome(row: Mapping[str, Any]) -> Outcome:
    return _OUTCOMES.get(row["event"]) or Outcome(row["data"]["outcome"])


def _place(report: Report) -> dict[str, Any]:
    area = "" if report.reporter.get("anonymous") else str(report.location.get("area") or "")[:_CITY_CODE_CHARS]
    code, address, lat, long = _PROVINCE
    if area in _MIDDLE:
        code, address, (lat, long) = area, f"{dict(CITIES)[area]}, {_PROVINCE[1]}", _MIDDLE[area]
    return {"address": address, "address_id": code, "zipcode": "", "lat": lat, "long": long}
