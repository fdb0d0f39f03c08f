"""One installation per engine for all journeys: real processes, a real mail server, a real city."""

from collections.abc import Iterator

import pytest

from tests.running import Running
from tests.servers import CityReceiver, Mail, PostgreSQL, RabbitMQ, new_folder


@pytest.fixture(scope="package", params=["embedded", "full"])
def running(request: pytest.FixtureRequest) -> Iterator[Running]:
    """Jembatan at work, in one process on the embedded engine or in many on RabbitMQ and PostgreSQL."""
    folder = new_folder(f"journey-{request.param}")
    mail, city = Mail(folder / "mail"), CityReceiver()
    mail.start()
    city.start()
    database, broker = f"sqlite:///{folder}/bridge.sqlite3", f"embedded:///{folder}/queue.sqlite3"
    if request.param == "full":
        postgres: PostgreSQL = request.getfixturevalue("postgres")
        rabbitmq: RabbitMQ = request.getfixturevalue("rabbitmq")
        database, broker = postgres.new_database(), rabbitmq.new_vhost()
    installation = Running(folder, request.param, database, broker, mail, city)
    installation.start()
    yield installation
    installation.stop()
    city.stop()
    mail.stop()
