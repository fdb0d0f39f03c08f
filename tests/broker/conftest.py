"""The queue to test with: each kind we promise, one after the other."""

import sys

import pytest

from bridge import logs
from tests.broker.queues import Broker


@pytest.fixture(scope="module", autouse=True)
def plain_logs() -> None:
    """Log as we do in production: the default draws every local variable of a traceback, for seconds."""
    logs.configure("text", sys.stdout)


@pytest.fixture
def broker(broker_url: str) -> Broker:
    """An empty queue with our topology, embedded or RabbitMQ."""
    made = Broker(broker_url)
    made.declare()
    return made
