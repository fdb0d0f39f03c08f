"""Step 3: the office is told: an assigned report, a deadline near, an escalation.

Takes `notice.due`; leaves mail at the mail server (or as a file) and the delivery's row with its attempt.
"""

from collections.abc import Sequence
from datetime import datetime

from bridge.delivery.email import Mailer, compose
from bridge.delivery.errors import NotDelivered
from bridge.delivery.notices import Texts
from bridge.links import Links
from bridge.reports.people import Person
from bridge.rules import Rules
from bridge.storage import people
from bridge.storage.database import Connection, Database
from config.wording import shipped
from consumers.telling import Attempt, Telling


class NotifyOffice(Telling):
    """Send notices by e-mail; who has no address finds them on the desk, where every report lies anyway."""

    def __init__(
        self, database: Database, rules: Rules, mailer: Mailer, links: Links, sender: str, texts: Texts | None = None
    ) -> None:
        super().__init__(database)
        self._rules = rules
        self._mailer = mailer
        self._links = links
        self._sender = sender
        self._texts = texts or shipped()
        self._people: dict[str, Person] = {}

    def send(self, attempt: Attempt) -> str:
        """See Telling.send."""
        person = self._people.get(attempt.row["recipient"])
        if person is None:
            raise NotDelivered(f"{attempt.row['recipient']} is no longer here", permanent=True)
        if not person.email:
            return "desk"
        remaining_s = self._remaining_s(attempt)
        notice = self._texts.notice(attempt.report, person, attempt.row, self._links, remaining_s=remaining_s)
        self._mailer.send(
            compose(
                sender=self._sender,
                to_name=person.name,
                to_address=person.email,
                subject=notice.subject,
                text=notice.text,
                html=notice.html,
                delivery_id=attempt.row["delivery_id"],
                ticket=attempt.row["ticket"],
                language=notice.language,
                unsubscribe_url=notice.unsubscribe_url,
            )
        )
        return "email"

    def look_up(self, connection: Connection, attempts: Sequence[Attempt]) -> None:
        """See Telling.look_up."""
        self._people = people.by_ids(connection, {attempt.row["recipient"] for attempt in attempts})

    def _remaining_s(self, attempt: Attempt) -> float | None:
        text = attempt.row["payload"].get("deadline_at")
        if not text:
            return None
        deadline = datetime.fromisoformat(text)
        calendar = self._rules.book.calendar_for(attempt.report.office)
        return calendar.elapsed(attempt.now, deadline) - calendar.elapsed(deadline, attempt.now)
