"""What the text of a notice may use: a closed list of facts in plain words, so that none can show the citizen's data.

docs/notices.md describes them; a test compares the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bridge import words
from bridge.links import AckLink, Links
from bridge.reports.people import Person
from bridge.reports.report import Report

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class About:
    """The report, each a single line: in a text of lines, a title must not be able to begin one of its own."""

    ticket: str
    title: str
    category: str


@dataclass(frozen=True)
class Reader:
    """Who reads the mail."""

    name: str


@dataclass(frozen=True)
class Item:
    """One notice to be written: the report as it stands, its row of `deliveries`, and the time left.

    `delivery_row` holds `event`, `kind`, `cycle` and a `payload` with `deadline_at`, `level`, `assigned`, `steps` and
    `standing_in_for` (a name), each of which may be missing. `remaining_s` are working seconds to the deadline,
    negative once it has passed; None without a deadline.
    """

    report: Report
    delivery_row: Mapping[str, Any]
    remaining_s: float | None = None

    @property
    def deadline_at(self) -> datetime | None:
        """Return when it is due."""
        text = self.delivery_row["payload"].get("deadline_at")
        return datetime.fromisoformat(text) if text else None

    @property
    def urgency(self) -> tuple[bool, int, datetime]:
        """Return what sorts notices: escalations first, the highest first, then by deadline."""
        row = self.delivery_row
        return (row["event"] != "escalation", -row["payload"].get("level", 0), self.deadline_at or _NEVER)


@dataclass(frozen=True)
class Told:
    """One notice in words; the fields of a text about one report, and of each of the `items` of a digest."""

    report: About
    ticket: str
    title: str
    event: str
    what: str
    clock: str
    level: int
    assigned: bool
    passed: int
    due: str | None
    remaining: str | None
    late: bool
    standing_in_for: str | None
    acknowledge_url: str | None
    report_url: str


@dataclass(frozen=True)
class Single:
    """What a text about one report has besides the fields of `Told`."""

    person: Reader
    inbox_url: str
    settings_url: str


@dataclass(frozen=True)
class Several:
    """What the text of a digest has; `why` is burst, digest or quiet."""

    person: Reader
    items: tuple[Told, ...]
    count: int
    why: str
    inbox_url: str
    settings_url: str


@dataclass(frozen=True)
class Row:
    """A line of a table: `  Tiket : K7Q2`."""

    label: str
    value: str


@dataclass(frozen=True)
class Part:
    """A paragraph of the text, as the HTML shows it: a table, a link, a line across, or else words."""

    text: str = ""
    url: str = ""
    button: bool = False
    line: bool = False
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Frame:
    """What notice.html has: the text once more, in parts."""

    language: str
    subject: str
    urgent: bool
    parts: tuple[Part, ...]


def told(item: Item, person: Person, links: Links, language: str) -> Told:
    """Return a notice in the words of a language."""
    report, row = item.report, item.delivery_row
    payload = row["payload"]
    deadline_at, title, stands_for = item.deadline_at, _one_line(report.title), payload.get("standing_in_for")
    return Told(
        report=About(report.ticket, title, _one_line(report.category)),
        ticket=report.ticket,
        title=title,
        event=row["event"],
        what=words.say(row["event"], language),
        clock=words.say(row["kind"] or "", language),
        level=payload.get("level", 0),
        assigned=payload.get("assigned", False),
        passed=len(payload.get("steps", ())),
        due=words.when(deadline_at, language) if deadline_at else None,
        remaining=words.length(abs(item.remaining_s), language) if item.remaining_s is not None else None,
        late=item.remaining_s is not None and item.remaining_s < 0,
        standing_in_for=_one_line(stands_for) if stands_for else None,
        acknowledge_url=_acknowledge_url(item, person, links),
        report_url=links.to_report(report.ticket),
    )


def reader(person: Person) -> Reader:
    """Return what a text may say of whom it is for."""
    return Reader(_one_line(person.name))


def parts(body: str, ours: str) -> tuple[Part, ...]:
    """Return a text by paragraphs; a line of words above an address of ours is a link, one-click ones are buttons."""
    return tuple(_part(paragraph, ours) for paragraph in body.strip("\n").split("\n\n"))


def _part(paragraph: str, ours: str) -> Part:
    if paragraph.startswith("  "):
        return Part(rows=tuple(_row(line) for line in paragraph.splitlines()))
    if not paragraph.strip("-"):
        return Part(line=True)
    label, _, url = paragraph.rpartition("\n")
    if label and url.startswith(f"{ours}/"):
        return Part(label.rstrip(":"), url, button=url.startswith(f"{ours}/a/"))
    return Part(paragraph)


def _row(line: str) -> Row:
    label, _, value = line.partition(":")
    return Row(label.strip(), value.strip())


def _acknowledge_url(item: Item, person: Person, links: Links) -> str | None:
    row = item.delivery_row
    if row["kind"] != "acknowledge":
        return None
    return links.to_acknowledge(AckLink(item.report.report_id, row["cycle"], person.person_id))


def _one_line(text: str) -> str:
    return " ".join(text.split())
