"""An address that takes a connection and never answers delays nobody: not the officers' mail, not the city's other one."""

import json
from collections.abc import Iterator

import pytest

from tests.running import KEY, Running
from tests.servers import Answer, CityReceiver, Mail, eventually, new_folder

REPORTS = 30
#: What is told while nobody else is in the way arrives within a second or two; on a busy machine within this.
LIMIT_S = 40.0
#: Longer than any attempt: whoever waits behind it would not be there in time.
NEVER_S = 120.0
FURTHER = '\n[qlue.callbacks.arsip]\nurl = "ARSIP_URL"\nsecret = "ARSIP_SECRET"\n'


@pytest.fixture
def silent() -> Iterator[CityReceiver]:
    """The archive of the city, which hangs."""
    server = CityReceiver()
    server.answer_always(Answer(delay_s=NEVER_S))
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["embedded", "full"])
def running(request: pytest.FixtureRequest, silent: CityReceiver, mail: Mail, city: CityReceiver) -> Iterator[Running]:
    """An installation that tells two addresses back."""
    folder = new_folder(f"neighbour-{request.param}")
    if request.param == "embedded":
        urls = f"sqlite:///{folder}/bridge.sqlite3", f"embedded:///{folder}/queue.sqlite3"
    else:
        urls = request.getfixturevalue("postgres_url"), request.getfixturevalue("amqp_url")
    made = Running(folder, request.param, *urls, mail, city)
    sources = folder / "config" / "sources.toml"
    sources.write_text(sources.read_text() + FURTHER)
    made.env |= {"ARSIP_URL": silent.url, "ARSIP_SECRET": KEY}
    made.start()
    yield made
    made.stop()


def test_address_that_never_answers_delays_neither_mail_nor_the_citys_other_address(
    running: Running, silent: CityReceiver, city: CityReceiver
) -> None:
    tickets = [running.send(f"N-{number}").json()["ticket"] for number in range(REPORTS)]
    silent.wait_for(1, LIMIT_S)
    later = [running.send(f"L-{number}").json()["ticket"] for number in range(REPORTS)]
    eventually(lambda: _told(city) >= {*tickets, *later}, LIMIT_S, "both lots told to the address that answers")
    eventually(lambda: set(later) <= _mailed(running), LIMIT_S, "the office told of what came later")
    hangs_since = silent.requests[0].arrived_at
    answered = max(posted.arrived_at for posted in city.requests)
    assert (answered - hangs_since).total_seconds() < NEVER_S
    rows = running.command("deliveries", "list", "--json", "--to", "qlue/arsip")
    assert {row["state"] for row in json.loads(rows)} <= {"pending", "sending", "failed"}, (
        "told although nobody answered"
    )


def _told(city: CityReceiver) -> set[str]:
    return {json.loads(posted.body)["data"]["ticket"] for posted in list(city.requests)}


def _mailed(running: Running) -> set[str]:
    texts = [str(one.message.get_body(("plain",)).get_content()) for one in list(running.mail.messages)]
    return {ticket for text in texts for ticket in _tickets(text)}


def _tickets(text: str) -> set[str]:
    return {word for word in text.split() if word.count("-") == 2 and len(word) == 14}
