"""A city that speaks Open311 is told by mySociety's servicerequestupdates, over a real HTTP server."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from bridge.delivery.errors import NotDelivered
from bridge.delivery.open311 import CityUpdates
from bridge.delivery.webhook import CityWebhook
from bridge.open311.dates import update_id
from bridge.reports.feedback import status_data
from bridge.reports.states import Outcome, Status
from bridge.service import Service
from tests.servers import Answer, CityReceiver
from tests.unit.given import a_report
from tests.web.processes import ROOT

AT = datetime(2026, 11, 24, 3, 0, 0, 123_456, tzinfo=UTC)
KEY = "the key FixMyStreet knows us by"


@pytest.fixture
def city() -> Iterator[CityReceiver]:
    """The city's receiver of updates."""
    receiver = CityReceiver()
    receiver.start()
    yield receiver
    receiver.stop()


def event(*, escalated_to: str | None = None, **fields: Any) -> dict[str, Any]:
    """Return what report_back hands over."""
    data = status_data(a_report(**fields), [], now=AT, escalated_to=escalated_to)
    return {"data": data | {"track_url": "https://jembatan.example/track/K7Q2-9XWM-4T8R"}}


def sent(city: CityReceiver, told: dict[str, Any], query: str = "") -> dict[str, str]:
    """Send one update and return the form that came."""
    CityUpdates(city.url + query, KEY).send("delivery-1", told)
    [posted] = city.requests
    assert posted.headers["content-type"].startswith("application/x-www-form-urlencoded")
    return {name: value for name, [value] in parse_qs(posted.body.decode(), strict_parsing=True).items()}


def test_update_names_the_report_as_the_city_knows_it_and_the_state_in_capitals(city: CityReceiver) -> None:
    form = sent(city, event(status=Status.ACKNOWLEDGED))
    assert form == {
        "api_key": KEY,
        "service_request_id": "K7Q2-9XWM-4T8R",
        "service_request_id_ext": "QL-88121",
        "update_id": update_id("K7Q2-9XWM-4T8R", AT),
        "status": "INVESTIGATING",
        "updated_datetime": "2026-11-24T10:00:00+07:00",
        "description": "Petugas BPSK sudah menanggapi laporan Anda dan sedang menelaahnya. "
        "https://jembatan.example/track/K7Q2-9XWM-4T8R",
    }


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome.SETTLED, "FIXED"),
        (Outcome.NOT_COMPETENT, "NOT_COUNCILS_RESPONSIBILITY"),
        (Outcome.REFERRED, "INTERNAL_REFERRAL"),
        (Outcome.WITHDRAWN, "CANCELLED"),
        (Outcome.GRANTED, "CLOSED"),
    ],
)
def test_outcome_is_said_in_the_extensions_words(city: CityReceiver, outcome: Outcome, status: str) -> None:
    assert sent(city, event(status=Status.CLOSED, outcome=outcome))["status"] == status


def test_citizen_reads_that_the_report_went_up(city: CityReceiver) -> None:
    assert "Laporan naik kepada: Ketua BPSK." in sent(city, event(escalated_to="chair"))["description"]


def test_officers_words_on_what_is_missing_are_not_published(city: CityReceiver) -> None:
    told = event(status=Status.NEEDS_COMPLETION, missing=("KTP milik Siti Kenari",))
    assert "Kenari" not in sent(city, told)["description"]


def test_address_keeps_what_the_citys_server_wants_to_know(city: CityReceiver) -> None:
    sent(city, event(), "?jurisdiction_id=5")
    assert city.requests[0].path.endswith("?jurisdiction_id=5")


@pytest.mark.parametrize("status", [400, 409])
def test_update_the_city_has_already_counts_as_delivered(city: CityReceiver, status: int) -> None:
    city.answer_next(Answer(status, body=b"<errors><error><description>Bad request: already exists</description>"))
    sent(city, event())


@pytest.mark.parametrize("answer", [Answer(400, body=b"Bad request: not found"), Answer(403), Answer(500)])
def test_any_other_answer_is_tried_again(city: CityReceiver, answer: Answer) -> None:
    city.answer_next(answer)
    with pytest.raises(NotDelivered) as failed:
        CityUpdates(city.url, KEY).send("delivery-1", event())
    assert not failed.value.permanent


def test_scheme_of_a_source_decides_how_it_is_told(tmp_path: Path, city: CityReceiver) -> None:
    config = tmp_path / "config"
    config.mkdir()
    for file in (ROOT / "config").glob("*.toml"):
        (config / file.name).write_text(file.read_text())
    (config / "calendars").symlink_to(ROOT / "config" / "calendars")
    sources = config / "sources.toml"
    told_back = 'scheme = "open311"\ncallback_url = "OPEN311_CALLBACK_URL"\ncallback_secret = "OPEN311_CALLBACK_KEY"'
    sources.write_text(sources.read_text().replace('scheme = "open311"', told_back))
    variables = {"BRIDGE_DATA_DIR": str(tmp_path / "data"), "BRIDGE_CONFIG_DIR": str(config)}
    variables |= {"OPEN311_CALLBACK_URL": city.url, "OPEN311_CALLBACK_KEY": KEY}
    secret = "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU="
    variables |= {"QLUE_CALLBACK_URL": city.url, "QLUE_CALLBACK_SECRET": secret}
    cities = Service.from_environment(variables).new_cities()
    assert {name: type(how) for name, how in cities.items()} == {"open311": CityUpdates, "qlue": CityWebhook}
