"""The steps by name, as `bridge work STEP…` starts them: a thread or more each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial

from bridge.broker.topology import ROUTES
from bridge.kept_head import HeadFile
from bridge.reports.guard import Limits
from bridge.service import Service
from bridge.storage.database import DatabaseAway
from bridge.storage.migrate import NotMigrated, check
from consumers.audit import Audit
from consumers.lanes import Lanes, by_person, by_report
from consumers.notify_office import NotifyOffice
from consumers.relay_outbox import RelayOutbox
from consumers.report_back import ReportBack
from consumers.runtime import DeadLetterWorker, LoopWorker, QueueWorker, SharingWorker, Step, keep_trying
from consumers.set_aside import SetAside
from consumers.take_in import TakeIn
from consumers.watch_clocks import WatchClocks

#: Two reports taken in together cost a third less than one after the other: so long the second waits for the first.
_EVERY_S = 0.04
#: So long notices and callbacks wait for company, to be asked about together; then their lane gathers what comes.
_TELL_EVERY_S = 0.03


def make_steps(service: Service, stop: threading.Event, names: Sequence[str]) -> dict[str, list[Callable[[], None]]]:
    """Return these steps by name with the functions their threads run."""
    database, rules, settings = service.database, service.rules, service.settings

    def fed(name: str, step: Step, *, every_s: float = 0.0) -> Callable[[], None]:
        return QueueWorker(settings.broker_url, _queues_of(name), step, stop, every_s=every_s).run

    def loop(name: str, turn: Callable[[], None]) -> Callable[[], None]:
        return LoopWorker(name, turn, stop).run

    def notify_office() -> NotifyOffice:
        outlets = service.new_outlets()
        return NotifyOffice(database, rules, outlets, service.texts, service.links, service.ways)

    def report_back() -> ReportBack:
        return ReportBack(database, service.new_cities(), service.links, service.ways)

    def in_lanes(name: str, lanes: Lanes) -> list[Callable[[], None]]:
        worker = SharingWorker(settings.broker_url, _queues_of(name), lanes, stop, every_s=_TELL_EVERY_S)
        return [partial(_then_finish, worker.run, lanes)]

    def auditor() -> Audit:
        every_s, kept = settings.audit_every_s, HeadFile(settings.kept_head)
        return Audit(database, kept, heartbeat_url=settings.heartbeat_url, guard=service.guard, every_s=every_s)

    def aside() -> SetAside:
        return SetAside(database, service.arrivals.vault)

    limits = Limits(settings.clock_jump_s, settings.guard_share / 100, settings.guard_min)
    dead = [route.dead for route in ROUTES]
    make: dict[str, Callable[[], list[Callable[[], None]]]] = {
        "take_in": lambda: [fed("take_in", TakeIn(database, rules, service.arrivals), every_s=_EVERY_S)],
        "relay_outbox": lambda: [loop("relay_outbox", RelayOutbox(database, service.publisher).turn)],
        "notify_office": lambda: in_lanes("notify_office", Lanes(database, "notify", notify_office, by_person)),
        "watch_clocks": lambda: [loop("watch_clocks", WatchClocks(database, rules, limits).turn)],
        "report_back": lambda: in_lanes("report_back", Lanes(database, "report_back", report_back, by_report)),
        "set_aside": lambda: [DeadLetterWorker(settings.broker_url, dead, aside(), stop).run],
        "audit": lambda: [loop("audit", auditor().turn)],
    }
    return {name: make[name]() for name in names}


def _queues_of(name: str) -> list[str]:
    return [route.queue for route in ROUTES if route.step == name]


def _then_finish(work: Callable[[], None], lanes: Lanes) -> None:
    work()
    lanes.finish()


#: In the order of a report's way; the auditor looks at all of it.
STEPS = ("take_in", "relay_outbox", "notify_office", "watch_clocks", "report_back", "set_aside", "audit")


def prepare(service: Service, stop: threading.Event) -> None:
    """Wait, with a clear line, until the database is there and has the schema this version needs."""

    def ready() -> None:
        check(service.database)
        service.rules.prepare()

    keep_trying(stop, "database", (DatabaseAway, NotMigrated), ready)
