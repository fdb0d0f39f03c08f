"""The city's callback address: what an answer means to us, and that a city changes its key without a gap."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridge.delivery.errors import Fault, NotDelivered, Taken
from bridge.delivery.guarded import Forbidden
from bridge.delivery.open311 import CityUpdates
from bridge.delivery.webhook import CityWebhook
from bridge.reports.feedback import status_data
from bridge.service import Service
from bridge.signing import sending_key, signing_key, verify
from config.settings import BadSettings
from tests.receivers import Answer, CityReceiver
from tests.unit.given import a_report

OLD, NEW = "whsec_" + "b2xk" * 8, "whsec_" + "bmV3" * 8
PRIVATE = Ed25519PrivateKey.from_private_bytes(b"p" * 32)
EVENT = {"type": "report.status_changed", "data": {"ticket": "K7Q2-9XWM-4T8R"}}


@pytest.fixture
def city() -> Iterator[CityReceiver]:
    """The city's receiver of callbacks."""
    receiver = CityReceiver()
    receiver.start()
    yield receiver
    receiver.stop()


def refused(city: CityReceiver, answer: Answer) -> NotDelivered:
    city.answer_next(answer)
    with pytest.raises(NotDelivered) as failed:
        CityWebhook(city.url, sending_key(OLD)).send("delivery-1", EVENT)
    return failed.value


def test_answer_of_the_city_is_kept_in_short(city: CityReceiver) -> None:
    city.answer_next(Answer(202, body=b"queued as 7\r\n"), Answer(409, body=b"already exists"), 204)
    webhook = CityWebhook(city.url, sending_key(OLD))
    answers = [webhook.send("delivery-1", EVENT) for _ in range(3)]
    assert answers == [Taken(202, "queued as 7"), Taken(409, "already exists"), Taken(204, "")]


@pytest.mark.parametrize(
    ("status", "fault", "permanent"),
    [
        (302, Fault.REFUSED, False),
        (404, Fault.REFUSED, False),
        (410, Fault.REFUSED, True),
        (429, Fault.AWAY, False),
        (503, Fault.AWAY, False),
    ],
)
def test_refusal_says_whose_fault_it_is_and_when_to_come_back(
    city: CityReceiver, status: int, fault: Fault, permanent: bool
) -> None:
    answer = Answer(status, {"Retry-After": "7", "Location": city.url}, b"no: siti@warga.example")
    error = refused(city, answer)
    assert (error.status, error.fault, error.permanent, error.retry_after_s) == (status, fault, permanent, 7.0)
    assert (error.response, len(city.requests)) == ("no: […]", 1)


@pytest.mark.parametrize("status", [200, 403])
def test_key_of_the_city_echoed_in_its_answer_is_not_kept(city: CityReceiver, status: int) -> None:
    city.answer_next(Answer(status, body=b"api_key=kunci+kota is what you sent"))
    told: dict[str, Any] = {
        "data": status_data(a_report(), [], now=datetime.now(UTC)) | {"track_url": "https://a.example"}
    }
    try:
        response = CityUpdates(city.url, "kunci kota").send("delivery-1", told).response
    except NotDelivered as error:
        response = error.response
    assert response == "api_key=[…] is what you sent"


def test_every_live_key_signs_so_that_either_side_may_change_first(city: CityReceiver) -> None:
    CityWebhook(city.url, [sending_key(OLD), PRIVATE, sending_key(NEW)]).send("delivery-1", EVENT)
    [posted] = city.requests
    kinds = [entry.partition(",")[0] for entry in posted.headers["webhook-signature"].split(" ")]
    assert kinds == ["v1", "v1a", "v1"]
    for key in (signing_key(OLD), signing_key(NEW), PRIVATE.public_key()):
        assert verify([key], posted.headers, posted.body, now_s=time.time()) == "delivery-1"


def service(folder: Path, **variables: str) -> Service:
    return Service.from_environment({"BRIDGE_DATA_DIR": str(folder), **variables})


def test_keys_of_the_environment_all_sign(city: CityReceiver, tmp_path: Path) -> None:
    made = service(tmp_path, QLUE_CALLBACK_URL=city.url, QLUE_CALLBACK_SECRET=f"{NEW} {OLD}").new_cities()["qlue"]
    made.send("delivery-1", EVENT)
    [posted] = city.requests
    for key in (OLD, NEW):
        assert verify([signing_key(key)], posted.headers, posted.body, now_s=time.time())


def test_every_bad_key_is_told_at_the_start_by_its_number(tmp_path: Path) -> None:
    with pytest.raises(BadSettings) as bad:
        service(tmp_path, QLUE_CALLBACK_URL="https://a.example", QLUE_CALLBACK_SECRET=f"{OLD} whsec_AAAA %%")
    assert [fault.partition("QLUE_CALLBACK_SECRET: ")[2][:12] for fault in bad.value.faults] == [
        "key 2: only ",
        "key 3: not b",
    ]
    assert "AAAA" not in str(bad.value)


def test_city_inside_is_told_only_where_the_operator_allowed_it(tmp_path: Path, city: CityReceiver) -> None:
    url = city.url.replace("127.0.0.1", "0x7f.1")
    settings = {"QLUE_CALLBACK_URL": url, "QLUE_CALLBACK_SECRET": OLD}
    with pytest.raises(Forbidden) as failed:
        service(tmp_path, **settings).new_cities()["qlue"].send("delivery-1", EVENT)
    assert (failed.value.fault, failed.value.permanent, city.requests) == (Fault.OURS, False, [])
    allowing = service(tmp_path, BRIDGE_OUTGOING_ALLOW="127.0.0.0/30", **settings)
    assert allowing.new_cities()["qlue"].send("delivery-1", EVENT).status == 200


def test_what_is_allowed_is_checked_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"BRIDGE_OUTGOING_ALLOW: '10\.0\.0\.1/8', '1\.2\.3': neither a network"):
        service(tmp_path, BRIDGE_OUTGOING_ALLOW="10.0.0.1/8 ok.example 1.2.3")
