"""Figures of what is told, for Prometheus: what waits, what nobody heard, and how the destinations are.

A destination is a channel's or a source's name, never an address.
"""

from collections.abc import Mapping
from datetime import timedelta

from prometheus_client import CollectorRegistry, Gauge

from bridge.delivery.errors import Fault
from bridge.reports.breakers import Breaker
from bridge.reports.preferences import Held
from bridge.service import Service
from bridge.storage import destinations, told
from bridge.storage.told import Counts

#: Those who tell have no port of their own to count at: the database counts for them.
_LATELY = timedelta(hours=1)
_WAITING = ("pending", "sending", "failed")
_BREAKER = ("closed", "open", "half_open")


def registry(service: Service) -> CollectorRegistry:
    """Return the figures of this moment.

    Raises:
        DatabaseAway: cannot be reached.
    """
    with service.database.read() as connection:
        now = service.database.now(connection)
        counts, troubled = told.counts(connection, now), destinations.troubled(connection)
        attempted = told.attempted(connection, now - _LATELY)
    made = CollectorRegistry()
    _count(made, counts)
    attempts = Gauge("bridge_attempts_last_hour", "by outcome", ["purpose", "channel", "outcome"], registry=made)
    for labels, number in attempted.items():
        attempts.labels(*labels).set(number)
    # One that works has no row.
    breakers = {name: Breaker(name) for name in _known(service)} | {one.destination: one for one in troubled}
    states = Gauge("bridge_destination_state", "1: this is its state", ["destination", "state"], registry=made)
    for name, breaker in breakers.items():
        for state in _BREAKER:
            states.labels(name, state).set(breaker.state(now) == state)
    failures = {name: breaker.failures for name, breaker in breakers.items()}
    _gauge(made, "bridge_destination_failures", "in a row, without a success", "destination", failures)
    return made


def _count(made: CollectorRegistry, counts: Counts) -> None:
    waiting = dict.fromkeys(_WAITING, 0) | dict(counts.waiting)
    _gauge(made, "bridge_deliveries_waiting", "not at their end yet", "state", waiting)
    held = dict.fromkeys(map(str, Held), 0) | dict(counts.held)
    _gauge(made, "bridge_deliveries_held", "wait although their time has come", "why", held)
    unheard = dict.fromkeys(map(str, Fault), 0) | dict(counts.unheard_by_fault)
    _gauge(made, "bridge_deliveries_unheard", "given up, and told by no other channel", "fault", unheard)
    oldest = Gauge("bridge_deliveries_oldest_seconds", "since when the oldest waits", registry=made)
    oldest.set(counts.oldest_s)


def _gauge(made: CollectorRegistry, name: str, meaning: str, label: str, values: Mapping[str, int]) -> None:
    gauge = Gauge(name, meaning, [label], registry=made)
    for value, number in values.items():
        gauge.labels(value).set(number)


def _known(service: Service) -> list[str]:
    sources = service.configuration.sources.values()
    return [*service.ways.channels, *(one.recipient for source in sources for one in source.callbacks)]
