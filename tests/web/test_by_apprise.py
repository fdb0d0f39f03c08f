"""Whatever apprise speaks: told over a real server, with the person's address, and no secret in what is kept."""

import json
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from bridge.delivery.addresses import read_allowed
from bridge.delivery.by_apprise import ByApprise
from bridge.delivery.errors import Fault, NotDelivered
from bridge.delivery.guarded import Guard
from bridge.delivery.guarded_requests import guard_requests
from bridge.delivery.notices import Notice
from bridge.delivery.outlets import Envelope
from bridge.delivery.timed import SocketAddress
from bridge.reports.people import Person, Role
from tests.receivers import Answer
from tests.rude import says, serving
from tests.servers import CityReceiver

ANI = Person("ani", "Ani", Role.OFFICER, "bpsk-dki")
NOTICE = Notice("Laporan baru", "Sebuah laporan konsumen ditugaskan kepada Anda.\n", "<p>")
ENVELOPE = Envelope("5b1b2f5e-0000-5000-8000-000000000001", ANI, "8123456", NOTICE, "new_report")


@pytest.fixture(autouse=True)
def given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is changed for a whole process, others of this process must not meet."""
    monkeypatch.setattr(requests, "Session", requests.Session)
    monkeypatch.setattr(requests.sessions, "Session", requests.sessions.Session)


def outlet(city: CityReceiver, rest: str = "rahasia-token/{to}") -> ByApprise:
    return ByApprise("sms", f"json://127.0.0.1:{city.port}/{rest}", Guard())


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
        ByApprise("sms", "nosuch://secret-part", Guard()).send(ENVELOPE)
    assert caught.value.fault is Fault.OURS
    assert "secret-part" not in caught.value.detail


def test_nobody_there_is_no_crash(city: CityReceiver) -> None:
    city.stop()
    with pytest.raises(NotDelivered) as caught:
        outlet(city).send(ENVELOPE)
    assert caught.value.fault is Fault.AWAY
    city.start()


# --- guarded ----------------------------------------------------------------------------------------------------------


def at(*addresses: tuple[str, int]) -> Callable[[str, int], Sequence[tuple[int, SocketAddress]]]:
    """A DNS in which every name has these addresses."""
    return lambda _host, _port: [(socket.AF_INET, address) for address in addresses]


def by(url: str, guard: Guard) -> ByApprise:
    return ByApprise("sms", url, guard)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1"])
def test_name_that_leads_inside_is_asked_nothing(city: CityReceiver, address: str) -> None:
    with pytest.raises(NotDelivered, match="BRIDGE_OUTGOING_ALLOW"):
        by("json://gateway.example/", Guard(resolve=at((address, city.port)))).send(ENVELOPE)
    assert city.requests == []


def test_name_the_operator_allowed_is_looked_up_once_and_spoken_to_where_it_was_then(city: CityReceiver) -> None:
    asked: list[str] = []

    def moves(host: str, port: int) -> Sequence[tuple[int, SocketAddress]]:
        asked.append(host)
        return at(("127.0.0.1" if len(asked) == 1 else "10.0.0.1", city.port))(host, port)

    by("json://gateway.example/", Guard(read_allowed("gateway.example"), moves)).send(ENVELOPE)
    assert asked == ["gateway.example"]
    assert city.requests[0].headers["host"] == "gateway.example"


def test_redirect_is_not_followed(city: CityReceiver) -> None:
    city.answer_always(Answer(302, {"Location": f"http://127.0.0.1:{city.port}/elsewhere"}))
    with pytest.raises(NotDelivered):
        outlet(city).send(ENVELOPE)
    assert len(city.requests) == 1


def test_proxy_and_netrc_of_the_environment_are_not_believed(
    city: CityReceiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with serving(says(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        outlet(city).send(ENVELOPE)
        assert proxy.connections == 0
    assert "authorization" not in city.requests[0].headers


def test_answer_without_end_is_not_read_to_its_end(city: CityReceiver) -> None:
    city.answer_always(Answer(200, body=b"x" * 10_000_000))
    with pytest.raises(NotDelivered, match="sms: "):
        outlet(city).send(ENVELOPE)


@pytest.mark.parametrize("url", ["syslog://local1", "mailto://user:password@example.test", "ircs://irc.example/#c"])
def test_what_opens_connections_in_another_way_is_refused(url: str) -> None:
    with pytest.raises(NotDelivered, match="nobody guards") as caught:
        by(url, Guard()).send(ENVELOPE)
    assert (caught.value.fault, caught.value.permanent) == (Fault.OURS, True)
    assert "password" not in caught.value.detail


def test_session_anybody_makes_goes_through_the_guard(city: CityReceiver) -> None:
    guard_requests(Guard(resolve=at(("127.0.0.1", city.port))))
    for asked in (requests.get, requests.Session().get, requests.sessions.Session().get):
        with pytest.raises(requests.ConnectionError, match="BRIDGE_OUTGOING_ALLOW"):
            asked("http://gateway.example/", timeout=5)
    assert city.requests == []
