"""The ways to a person: by e-mail, to their office's own system, by whatever else apprise speaks. One shape for all."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from bridge.delivery.email import Mailer, compose
from bridge.delivery.errors import Taken
from bridge.delivery.notices import Notice
from bridge.delivery.webhook import CityWebhook
from bridge.reports.people import Person


@dataclass(frozen=True)
class Envelope:
    """One notice on its way: the same `message_id` on every attempt; `data` is for programs.

    `address` is the person's on this channel; `ticket` is empty for a digest; `replays` counts how often somebody
    sent it once more.
    """

    message_id: str
    person: Person
    address: str
    notice: Notice
    event: str
    ticket: str = ""
    replays: int = 0
    data: Mapping[str, Any] = field(default_factory=dict)


class Outlet(Protocol):
    """One channel, ready to send; not for several threads at once."""

    def send(self, envelope: Envelope) -> Taken:
        """Send it.

        Raises:
            NotDelivered: nobody took it.
        """

    def close(self) -> None:
        """Close what is kept open between sendings."""


class ByMail:
    """E-mail, over SMTP or as files."""

    def __init__(self, mailer: Mailer, sender: str) -> None:
        self._mailer, self._sender = mailer, sender

    def send(self, envelope: Envelope) -> Taken:
        """See Outlet.send."""
        notice = envelope.notice
        message = compose(
            sender=self._sender,
            to_name=envelope.person.name,
            to_address=envelope.address,
            subject=notice.subject,
            text=notice.text,
            html=notice.html,
            delivery_id=envelope.message_id,
            ticket=envelope.ticket,
            language=notice.language,
            unsubscribe_url=notice.unsubscribe_url,
            one_click=notice.one_click,
        )
        return self._mailer.send(message)

    def close(self) -> None:
        """Hang up; the next notice connects anew."""
        self._mailer.close()


class ByWebhook:
    """A signed webhook (Standard Webhooks) to an office's own system; it answers 2xx once it holds the notice."""

    def __init__(self, endpoint: CityWebhook) -> None:
        self._endpoint = endpoint

    def send(self, envelope: Envelope) -> Taken:
        """See Outlet.send."""
        person = envelope.person
        event = {
            "type": f"notice.{envelope.event}",
            "timestamp": datetime.now(UTC).isoformat(),
            "data": {
                **envelope.data,
                "to": {"person_id": person.person_id, "name": person.name, "address": envelope.address},
                "subject": envelope.notice.subject,
                "text": envelope.notice.text,
            },
        }
        return self._endpoint.send(envelope.message_id, event, replays=envelope.replays)

    def close(self) -> None:
        """See Outlet.close."""
        self._endpoint.close()
