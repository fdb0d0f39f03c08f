"""What every test may ask for: real servers of its own, and a count at the end that hides nothing.

Servers start when a test first asks for them and end with the run. A missing one is an error, never a skip.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings
from xdist.remote import Producer

from tests.parallel import Sharing
from tests.servers import CityReceiver, Mail, PostgreSQL, RabbitMQ, new_folder

# How long an example takes says how busy the machine is, not whether we are right.
settings.register_profile("jembatan", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("jembatan")


@dataclass(frozen=True)
class Urls:
    """What one process of ours is started with."""

    name: str
    database_url: str
    broker_url: str


@pytest.fixture(scope="session", autouse=True)
def fresh_loggers() -> Iterator[None]:
    """Let every logger follow the last configuration: kept, it would be the one of whichever test used it first."""
    configure = structlog.configure
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structlog, "configure", lambda **said: configure(**said | {"cache_logger_on_first_use": False}))
        yield


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMQ]:
    """The run's RabbitMQ; a test that harms it needs not repair it: `amqp_url` does."""
    server = RabbitMQ(new_folder("rabbitmq"))
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgreSQL]:
    """The run's PostgreSQL; a test that harms it needs not repair it: `postgres_url` does."""
    server = PostgreSQL(new_folder("postgres"))
    server.start()
    yield server
    server.close()


@pytest.fixture
def switch() -> Iterator[CityReceiver]:
    """The dead-man's switch outside."""
    made = CityReceiver()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def amqp_url(rabbitmq: RabbitMQ) -> Iterator[str]:
    """A virtual host of the test's own."""
    rabbitmq.ensure_running()
    url = rabbitmq.new_vhost()
    yield url
    rabbitmq.ensure_running()
    rabbitmq.drop_vhost(url)


@pytest.fixture
def postgres_url(postgres: PostgreSQL) -> Iterator[str]:
    """An empty database of the test's own."""
    postgres.ensure_running()
    url = postgres.new_database()
    yield url
    postgres.ensure_running()
    postgres.drop_database(url)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """An SQLite file of the test's own, not yet made."""
    return f"sqlite:///{tmp_path}/bridge.sqlite3"


@pytest.fixture
def embedded_url(tmp_path: Path) -> str:
    """An embedded queue of the test's own, not yet made."""
    return f"embedded:///{tmp_path}/queue.sqlite3"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Each of the databases we promise, one after the other."""
    return _asked(request, {"sqlite": "sqlite_url", "postgresql": "postgres_url"})


@pytest.fixture(params=["embedded", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    """Each of the brokers we promise, one after the other."""
    return _asked(request, {"embedded": "embedded_url", "rabbitmq": "amqp_url"})


@pytest.fixture(params=["embedded", "full"])
def engine_urls(request: pytest.FixtureRequest) -> Urls:
    """The two ways we are run: embedded (SQLite and our own queue), full (PostgreSQL and RabbitMQ)."""
    database = _asked(request, {"embedded": "sqlite_url", "full": "postgres_url"})
    broker = _asked(request, {"embedded": "embedded_url", "full": "amqp_url"})
    return Urls(request.param, database, broker)


@pytest.fixture
def mail(tmp_path: Path) -> Iterator[Mail]:
    """A real SMTP server."""
    server = Mail(tmp_path / "mail")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def city() -> Iterator[CityReceiver]:
    """A real receiver of status callbacks."""
    server = CityReceiver()
    server.start()
    yield server
    server.stop()


def _asked(request: pytest.FixtureRequest, fixtures: dict[str, str]) -> str:
    # By name and only the one asked for: the embedded half of the suite must not start any server.
    return str(request.getfixturevalue(fixtures[request.param]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Sharing:
    """Share the tests out our way, among as many processes as are asked for."""
    return Sharing(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """Let what a test prints past the capture (the counts of a storm) reach the terminal from a shared run, too."""
    if not _one_of_many(config):
        return
    capture = config.pluginmanager.getplugin("capturemanager")
    not_captured = capture.global_and_fixture_disabled

    @contextmanager
    def to_the_terminal() -> Iterator[None]:
        # The output of one of many leads nowhere, its errors to the terminal.
        with not_captured(), redirect_stdout(sys.stderr):
            yield

    capture.global_and_fixture_disabled = to_the_terminal


def _one_of_many(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


_PASSED, _FAILED, _SKIPPED = ("passed", "xpassed"), ("failed", "error"), ("skipped", "xfailed")


def _count(config: pytest.Config, kinds: tuple[str, ...]) -> int:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return sum(len(reporter.stats.get(kind, [])) for kind in kinds) if reporter else 0


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A skipped test is a failed run: what isn't tested must not look tested."""
    if _count(session.config, _SKIPPED) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config: pytest.Config) -> None:
    """Print the last line, after pytest's own summary: for people in a hurry, and for programs."""
    if not config.option.collectonly and not _one_of_many(config):
        counts = [f"{_count(config, kinds)} {kinds[0]}" for kinds in (_PASSED, _FAILED, _SKIPPED)]
        print(", ".join(counts))
