"""Step 5: the city app is told what became of the report, so that the citizen sees it.

Takes `callback.due`; leaves a signed webhook at the city's address and the delivery's row with its attempt.
"""

from collections.abc import Mapping

from bridge.delivery.errors import NotDelivered
from bridge.delivery.webhook import CityEndpoint
from bridge.links import Links
from bridge.storage.database import Database
from consumers.telling import Attempt, Telling


class ReportBack(Telling):
    """Send status callbacks; the receiver orders them by `sequence`."""

    def __init__(self, database: Database, cities: Mapping[str, CityEndpoint], links: Links) -> None:
        super().__init__(database)
        self._cities = cities
        self._links = links

    def send(self, attempt: Attempt) -> str:
        """See Telling.send."""
        city = self._cities.get(attempt.row["recipient"])
        if city is None:
            raise NotDelivered("this source has no callback address any more", permanent=True)
        data = {**attempt.row["payload"], "track_url": self._links.to_track(attempt.row["ticket"])}
        event = {"type": "report.status_changed", "timestamp": data["occurred_at"], "data": data}
        city.send(attempt.row["delivery_id"], event)
        return "webhook"
