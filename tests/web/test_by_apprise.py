"""Whatever apprise speaks: told over a real server, with the person's address, and no secret in what is kept."""

import json
from dataclasses import replace

import pytest

from bridge.delivery.by_apprise import ByApprise
from bridge.delivery.errors import Fault, NotDelivered
from bridge.delivery.notices import Notice
from bridge.delivery.outlets import Envelope
from bridge.reports.people import Person, Role
from tests.servers import CityReceiver

ANI = Person("ani", "Ani", Role.OFFICER, "bpsk-dki")
NOTICE = Notice("Laporan baru", "Sebuah laporan konsumen ditugaskan kepada Anda.\n", "<p>")
ENVELOPE = Envelope("5b1b2f5e-0000-5000-8000-000000000001", ANI, "8123456", NOTICE, "new_report")


def outlet(city: CityReceiver, rest: str = "rahasia-token/{to}") -> ByApprise:
    return ByApprise("sms", f"json://127.0.0.1:{city.port}/{rest}")


def test_notice_reaches_the_persons_address(city: CityReceiver) -> None:
    outlet(city).send(ENVELOPE)
    (posted,) = city.requests
    said = json.loads(posted.body)
    assert posted.path.rstrip("/") == "/rahasia-token/8123456"
    assert (said["title"], said["message"].strip()) == ("Laporan baru", NOTICE.text.strip())


@pytest.mark.parametrize("status", [401, 404, 429, 500])
def test_what_is_not_taken_may_pass_and_keeps_no_secret(city: CityReceiver, status: int) -> None:
    city.answer_always(status)
    with pytest.raises(NotDelivered) as caught:
        outlet(city).send(ENVELOPE)
    assert (caught.value.fault, caught.value.permanent) == (Fault.AWAY, False)
    assert "rahasia" not in caught.value.detail
    assert caught.value.detail.startswith("sms: ")


@pytest.mark.parametrize("address", ["", "a/b", "a?b", "a@b:c", "x y", "../..", "a#b", "é", "a" * 65])
def test_address_that_could_be_another_part_of_the_url_is_refused(city: CityReceiver, address: str) -> None:
    with pytest.raises(NotDelivered, match="bridge people tell") as caught:
        outlet(city).send(replace(ENVELOPE, address=address))
    assert (caught.value.fault, caught.value.permanent, city.requests) == (Fault.OURS, True, [])


def test_channel_without_a_place_for_the_address_tells_everybody_alike(city: CityReceiver) -> None:
    outlet(city, "semua").send(replace(ENVELOPE, address=""))
    assert city.requests[0].path.rstrip("/") == "/semua"


def test_url_apprise_does_not_know_is_our_own_fault() -> None:
    with pytest.raises(NotDelivered, match="does not know") as caught:
        ByApprise("sms", "nosuch://secret-part").send(ENVELOPE)
    assert caught.value.fault is Fault.OURS
    assert "secret-part" not in caught.value.detail


def test_nobody_there_is_no_crash(city: CityReceiver) -> None:
    city.stop()
    with pytest.raises(NotDelivered) as caught:
        outlet(city).send(ENVELOPE)
    assert caught.value.fault is Fault.AWAY
    city.start()
