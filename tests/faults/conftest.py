"""Installations that tests may harm: one per test, with a ladder of seconds for every report."""

from collections.abc import Iterator

import pytest

from tests.running import Running, policies
from tests.servers import CityReceiver, Mail, PostgreSQL, RabbitMQ, new_folder


@pytest.fixture(params=["embedded", "full"])
def stormy(request: pytest.FixtureRequest) -> Iterator[Running]:
    """An installation on each engine."""
    if request.param == "embedded":
        folder = new_folder("storm-embedded")
        urls = f"sqlite:///{folder}/bridge.sqlite3", f"embedded:///{folder}/queue.sqlite3"
        yield from _running("embedded", *urls)
    else:
        yield from _full(request)


@pytest.fixture
def stormy_full(request: pytest.FixtureRequest) -> Iterator[Running]:
    """An installation on RabbitMQ and PostgreSQL, which the test may harm too: the fixtures mend them."""
    yield from _full(request)


def _full(request: pytest.FixtureRequest) -> Iterator[Running]:
    postgres: PostgreSQL = request.getfixturevalue("postgres")
    rabbitmq: RabbitMQ = request.getfixturevalue("rabbitmq")
    postgres.ensure_running()
    rabbitmq.ensure_running()
    yield from _running("full", postgres.new_database(), rabbitmq.new_vhost())
    postgres.ensure_running()
    rabbitmq.ensure_running()


def _running(name: str, database: str, broker: str) -> Iterator[Running]:
    folder = new_folder(f"storm-{name}")
    mail, city = Mail(folder / "mail"), CityReceiver()
    mail.start()
    city.start()
    running = Running(folder, name, database, broker, mail, city, policies_text=policies(5, 2), gathers=True)
    running.start()
    yield running
    running.stop()
    city.stop()
    mail.stop()
