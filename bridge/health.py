"""For operators: alive, able to accept, and figures for Prometheus."""

import math
from collections.abc import Collection
from datetime import UTC, datetime

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from prometheus_client import REGISTRY as PROCESS

from bridge.receiver.spool_state import SpoolState, spool_state
from bridge.service import Service


def blueprint(service: Service, parts: Collection[str]) -> Blueprint:
    """Return /healthz, /readyz and /metrics."""
    routes = Blueprint("health", __name__)

    @routes.get("/healthz")
    def alive() -> Response:
        return _text("ok\n")

    @routes.get("/readyz")
    def ready() -> Response:
        """Ready means: a report sent now would be accepted, a page opened now would show."""
        faults, notes = _way_in(service) if "receiver" in parts else ([], [])
        if "desk" in parts and (fault := _database_fault(service)):
            faults.append(fault)
        return _text("".join(f"{line}\n" for line in [*(faults or ["ready"]), *notes]), 503 if faults else 200)

    @routes.get("/metrics")
    def metrics() -> Response:
        figures = generate_latest(PROCESS)
        if "receiver" in parts and not service.settings.embedded:
            figures += generate_latest(_spool(service))
        if "desk" in parts:
            figures += generate_latest(_facts(service)) + generate_latest(_told(service))
        return Response(figures, content_type=CONTENT_TYPE_LATEST)

    return routes


def _database_fault(service: Service) -> str | None:
    from bridge.storage.database import DatabaseAway  # a receiver loads nothing of the database

    try:
        with service.database.read() as connection:
            service.database.now(connection)
    except DatabaseAway as error:
        return f"the database cannot be reached: {error}"
    return None


def _way_in(service: Service) -> tuple[list[str], list[str]]:
    """Return why the way in would take nothing, and what else somebody has to see to."""
    faults = [] if service.way_in.healthy else [_nowhere_to_keep(service)]
    return faults, [] if service.settings.embedded else _spool_state(service).damage


def _nowhere_to_keep(service: Service) -> str:
    """Say why a report sent now would be refused."""
    if service.settings.embedded:
        return "the queue cannot be reached"
    state = _spool_state(service)
    if state.unusable:
        return "the queue cannot be reached, and the spool cannot be used"
    waits = "the queue cannot be reached" if not state.waiting else "older reports wait for the queue"
    return f"{waits}, and " + ("the disk is full" if state.full else "the spool takes no more")


def _spool_state(service: Service) -> SpoolState:
    settings = service.settings
    return spool_state(settings.spool, floor_bytes=settings.spool_floor_mb * 1_000_000)


def _spool(service: Service) -> CollectorRegistry:
    state = _spool_state(service)
    oldest_s = (datetime.now(UTC) - state.oldest_at).total_seconds() if state.oldest_at else 0.0
    registry = CollectorRegistry()
    for name, meaning, value in (
        # Of a file nobody can read nobody knows: "not a number" is no reassuring 0.
        ("messages", "reports that wait for the broker", math.nan if state.waiting is None else state.waiting),
        ("oldest_s", "since when the oldest waits", oldest_s),
        ("free_bytes", "disk left above the floor", state.free_bytes),
        ("unreadable", "reports that lie aside in the spool because they cannot be read", state.unreadable),
        ("unusable", "1: the spool's file cannot be used", bool(state.unusable)),
    ):
        Gauge(f"bridge_spool_{name}", meaning, registry=registry).set(value)
    return registry


def _facts(service: Service) -> CollectorRegistry:
    from bridge.desk.banner import now_wrong
    from bridge.reports.findings import What
    from bridge.storage.workers import pulse

    with service.database.read() as connection:
        figures = pulse(connection, service.database.now(connection))
    registry = CollectorRegistry()
    wrong = {finding.what: max(1.0, finding.value) for finding in now_wrong(service)}
    findings = Gauge("bridge_finding", "0: all is well; see docs/operations.md: findings", ["what"], registry=registry)
    for what in What:
        findings.labels(what).set(wrong.get(what, 0))
    for name, value in vars(figures).items():
        if value is not None:
            Gauge(f"bridge_{name}", f"see docs/operations.md: {name}", registry=registry).set(value)
    return registry


def _told(service: Service) -> CollectorRegistry:
    from bridge.told_figures import registry

    return registry(service)


def _text(text: str, status: int = 200) -> Response:
    return Response(text, status, content_type="text/plain; charset=utf-8")
