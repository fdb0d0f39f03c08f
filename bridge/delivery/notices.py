"""What an officer reads: subject, text and HTML of a notice, from the report as it stands at this moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from bridge import words
from bridge.links import AckLink, Links
from bridge.reports.people import Person
from bridge.reports.report import Report

_PAGES = Environment(
    loader=PackageLoader("bridge.delivery"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Notice:
    """A notice ready to be sent."""

    subject: str
    text: str
    html: str


def render(
    report: Report, person: Person, delivery: Mapping[str, Any], links: Links, *, remaining_s: float | None
) -> Notice:
    """Return the notice in the person's language.

    Args:
        delivery: The row: `event`, `kind`, `cycle` and a `payload` with `deadline_at`, `level`, `assigned`.
        remaining_s: Working seconds to the deadline, negative once it has passed; None without a deadline.
    """
    language = person.language if person.language in words.LANGUAGES else "id"
    payload = delivery["payload"]
    deadline = payload.get("deadline_at")
    facts = {
        "report": report,
        "person": person,
        "event": delivery["event"],
        "what": words.say(delivery["event"], language),
        "clock": words.say(delivery["kind"] or "", language),
        "level": payload.get("level", 0),
        "assigned": payload.get("assigned", False),
        "passed": len(payload.get("steps", ())),
        "due": words.when(datetime.fromisoformat(deadline), language) if deadline else None,
        "remaining": words.length(abs(remaining_s), language) if remaining_s is not None else None,
        "late": remaining_s is not None and remaining_s < 0,
        "acknowledge_url": links.to_acknowledge(AckLink(report.report_id, delivery["cycle"], person.person_id))
        if delivery["kind"] == "acknowledge"
        else None,
        "report_url": links.to_report(report.ticket),
    }
    text = _PAGES.get_template(f"notice.{language}.txt").render(facts)
    subject, _, body = text.partition("\n")
    html = _PAGES.get_template("notice.html").render(facts, body=body.strip(), language=language)
    return Notice(subject, body.strip() + "\n", html)


@dataclass(frozen=True)
class Item:
    report: Report
    row: Mapping[str, Any]
    remaining_s: float | None


class Texts:
    """Stands in until the texts of config/texts are merged."""

    def notice(self, report, person, row, links, *, remaining_s, standing_in_for=None):
        return render(report, person, row, links, remaining_s=remaining_s)

    def digest(self, person, items, *, why, links):
        lines = [f"{i.report.ticket} {i.row['event']}" for i in items]
        return Notice(f"{len(items)} notices", "\n".join(lines), "<p>")
