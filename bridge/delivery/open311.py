"""Status to a city that speaks Open311: mySociety's `POST servicerequestupdates`, one attempt at a time.

Their receiver: https://github.com/mysociety/fixmystreet/blob/master/perllib/FixMyStreet/App/Controller/Open311/Updates.pm
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from bridge.delivery.errors import Taken
from bridge.delivery.guarded import Guard
from bridge.delivery.webhook import CityEndpoint
from bridge.open311.dates import update_id, written
from bridge.open311.shown import risen_to
from bridge.reports.states import Outcome, Status, words_for
from bridge.words import say


class CityUpdates(CityEndpoint):
    """Posts to one city's servicerequestupdates; what its address holds behind `?` goes along (jurisdiction_id)."""

    def __init__(self, url: str, api_key: str, guard: Guard | None = None) -> None:
        super().__init__(url, guard)
        self._api_key = api_key

    def send(self, delivery_id: str, event: Mapping[str, Any], *, replays: int = 0) -> Taken:  # noqa: ARG002 - one shape for all cities
        """Post one update; its id is the same on every attempt.

        Raises:
            NotDelivered: anything but 2xx, or "already exists" from a receiver that knew it.
        """
        body = urlencode({"api_key": self._api_key, **_update(event["data"])}).encode()
        headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
        return self.post(body, headers, known=[self._api_key])


def _update(data: Mapping[str, Any]) -> dict[str, str]:
    at = datetime.fromisoformat(data["occurred_at"])
    outcome = Outcome(data["outcome"]) if data.get("outcome") else None
    # What is missing, in the officer's words, is for the citizen's own page: these updates are shown to everybody.
    said = [data["message"], risen_to(say(data["escalated_to"]), "id") if data.get("escalated_to") else ""]
    return {
        "service_request_id": data["ticket"],
        "service_request_id_ext": data["id"],
        "update_id": update_id(data["ticket"], at),
        "status": words_for(Status(data["status"]), outcome).mysociety.upper(),
        "updated_datetime": written(at),
        "description": " ".join(filter(None, (*said, data["track_url"]))),
    }
