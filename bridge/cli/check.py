"""`bridge migrate | doctor | settings | config check | routes test`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bridge.cli.common import (
    as_json,
    clock_time,
    earlier_calendars,
    event_in,
    lost_offices,
    open_service,
    show_json,
    unknown_people,
)
from bridge.reports.people import Role
from bridge.service import Service
from bridge.words import length, say
from config.settings import SETTINGS

_MIN_FREE_BYTES = 500 * 1024 * 1024


@click.command()
def migrate() -> None:
    """Bring the database to the schema this version needs.

    Example: bridge migrate
    """
    from bridge.storage.migrate import HEAD
    from bridge.storage.migrate import migrate as run

    service = open_service()
    run(service.database)
    click.echo(f"The database is at {HEAD}.")


@click.command()
@as_json
def settings(as_json: bool) -> None:
    """Print every setting: meaning, unit, default, and whether it is set here.

    Example: bridge settings
    """
    rows = [
        {
            "name": s.name,
            "meaning": s.meaning,
            "unit": s.unit or None,
            "default": s.default,
            "set": bool(os.environ.get(s.name) or os.environ.get(f"{s.name}_FILE")),
        }
        for s in SETTINGS
    ]
    if as_json:
        show_json(rows)
        return
    for row in rows:
        unit = f" [{row['unit']}]" if row["unit"] else ""
        click.secho(f"{row['name']}{unit}" + ("  (set)" if row["set"] else ""), bold=True)
        click.echo(f"    {row['meaning']}; default: {row['default']}")
    click.echo("\nEach can be given as NAME_FILE=/path instead, to read it from a file.")


@click.group()
def config() -> None:
    """The files people edit."""


@config.command("check")
def config_check() -> None:
    """Check all files of the configuration folder and list every fault with its place.

    Example: BRIDGE_CONFIG_DIR=/etc/jembatan bridge config check
    """
    service = open_service()
    book = service.configuration.rulebook
    for warning in (*service.configuration.notes, *service.configuration.remarks):
        click.secho(f"Note: {warning}", fg="yellow")
    click.echo(
        f"All good: {len(service.configuration.sources)} sources, {len(book.offices)} offices, "
        f"{len(book.rules)} rules, "
        f"{sum(map(len, book.policies.values()))} clocks, {len(book.calendars)} calendars."
    )


@click.group()
def routes() -> None:
    """Which office a report goes to."""


@routes.command("test")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--source", default="qlue", show_default=True, help="The source it would come from.")
@as_json
def routes_test(file: Path, source: str, as_json: bool) -> None:
    """Say which office takes the report in FILE, which rule, why, and why not the rules before it.

    Example: bridge routes test report.json
    """
    from bridge.reports.routing import route

    service = open_service()
    event = event_in(file)
    facts = _facts(event["data"], source)
    routing = route(facts, service.configuration.rulebook.rules)
    office = service.configuration.rulebook.offices[routing.rule.office]
    answer = {
        "office": office.office_id,
        "office_name": office.name,
        "rule": routing.rule.name,
        "role": routing.rule.role,
        "element": routing.rule.element or None,
        "policy": routing.rule.policy,
        "explanation": list(routing.explanation),
    }
    if as_json:
        show_json(answer)
        return
    click.secho(f"{office.name} ({office.office_id}), by the rule {routing.rule.name!r}", bold=True)
    for line in routing.explanation:
        click.echo(f"  {line}")


@click.command()
def doctor() -> None:
    """Check configuration, database, queue, clocks, destinations, disk and mail; say what to do about each fault.

    Example: bridge doctor
    """
    service = open_service()
    checks = [
        ("configuration", _check_configuration),
        ("disk", _check_disk),
        ("database", _check_database),
        ("data key", _check_data_key),
        ("offices", _check_offices),
        ("people", _check_people),
        ("queue", _check_queue),
        ("spool", _check_spool),
        ("clocks", _check_clocks),
        ("destinations", _check_destinations),
        ("mail", _check_mail),
    ]
    failed = 0
    for name, check in checks:
        failed += not _told(name, check(service), "FAIL", "red")
    _told("what is allowed, and perhaps not meant", _remarks(service), "note", "yellow")
    raise SystemExit(1 if failed else 0)


def _told(name: str, found: Sequence[str], word: str, colour: str) -> bool:
    """Print what a check found; returns whether that was nothing."""
    click.secho(f"{word if found else 'ok  '} {name}", fg=colour if found else "green")
    for line in found:
        click.echo(f"       {line}")
    return not found


def _remarks(service: Service) -> list[str]:
    from bridge.storage.database import DatabaseAway
    from bridge.storage.migrate import NotMigrated, check

    try:
        check(service.database)
        found = [*unknown_people(service.rules), *earlier_calendars(service.rules)]
    except (DatabaseAway, NotMigrated):
        found = []  # said above
    return [*service.configuration.remarks, *found]


def _check_configuration(service: Service) -> list[str]:
    found = service.configuration
    # A source nobody uses needs no key; but without any, nobody can report anything.
    return list(found.warnings if len(found.keyless) < len(found.sources) else found.notes)


def _check_disk(service: Service) -> list[str]:
    service.settings.data_dir.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(service.settings.data_dir).free
    if free < _MIN_FREE_BYTES:
        return [
            f"only {free // 2**20} MiB free at {service.settings.data_dir}; make room, accepting stops when it is full"
        ]
    return []


def _check_database(service: Service) -> list[str]:
    from bridge.storage.database import DatabaseAway
    from bridge.storage.migrate import NotMigrated, check

    try:
        check(service.database)
    except (DatabaseAway, NotMigrated) as error:
        return [str(error)]
    return []


def _check_offices(service: Service) -> list[str]:
    from bridge.storage.database import DatabaseAway
    from bridge.storage.migrate import NotMigrated, check

    try:
        check(service.database)
        return lost_offices(service.rules)
    except (DatabaseAway, NotMigrated):
        return ["cannot be seen without the database"]


def _check_people(service: Service) -> list[str]:
    from bridge.storage import people
    from bridge.storage.database import DatabaseAway
    from bridge.storage.migrate import NotMigrated, check

    try:
        check(service.database)
        with service.database.read() as connection:
            admins = [person for person in people.active(connection) if person.role is Role.ADMIN]
    except (DatabaseAway, NotMigrated):
        return ["cannot be seen without the database"]
    if admins:
        return []
    return ["nobody is admin, so that what ladders send there reaches no one; run: bridge people add … --role admin"]


def _check_data_key(service: Service) -> list[str]:
    from bridge.resealing import survey
    from bridge.storage.database import DatabaseAway
    from bridge.storage.migrate import NotMigrated, check

    try:
        check(service.database)
        found = survey(service.database, service.arrivals.vault)
    except (DatabaseAway, NotMigrated):
        return ["cannot be seen without the database"]
    faults = []
    if found.lost:
        faults.append(
            f"{found.lost} of {found.looked} looked at are sealed with a key that is not here; put the old key back in "
            "BRIDGE_DATA_KEY behind the new one"
        )
    if found.clear:
        faults.append(f"{found.clear} of {found.looked} looked at lie in clear; run: bridge data-key apply")
    return faults


def _check_queue(service: Service) -> list[str]:
    from bridge.broker.topology import connect, declare

    try:
        with connect(service.settings.broker_url) as connection:
            connection.ensure_connection(max_retries=1, timeout=5)
            declare(connection)
    except Exception as error:  # noqa: BLE001 - a doctor reports whatever it finds
        return [f"{type(error).__name__}: {error}; is RabbitMQ running, and BRIDGE_BROKER_URL right?"]
    return []


def _check_spool(service: Service) -> list[str]:
    from bridge.receiver.spool_state import spool_state

    settings = service.settings
    if settings.embedded:
        return []
    state = spool_state(settings.spool, floor_bytes=settings.spool_floor_mb * 1_000_000)
    faults = state.damage
    if state.oldest_at:
        since = clock_time(state.oldest_at)
        faults.append(f"{state.waiting} reports have waited since {since} for the queue; they leave when it is back")
    if state.full:
        faults.append("the disk is down to BRIDGE_SPOOL_FLOOR_MB; make room, nothing more is taken without the queue")
    return faults


def _check_clocks(service: Service) -> list[str]:
    from bridge.reports.findings import alarms
    from bridge.storage import engine
    from bridge.storage.database import DatabaseAway
    from bridge.storage.migrate import NotMigrated, check
    from bridge.storage.workers import pulse

    try:
        check(service.database)
        with service.database.read() as connection:
            now = service.database.now(connection)
            state, figures = engine.read(connection), pulse(connection, now)
    except (DatabaseAway, NotMigrated):
        return ["cannot be seen without the database"]
    found = alarms(state, now, audit_every_s=service.settings.audit_every_s)
    faults = [f"{say(f.what, 'en')} ({f.value:.0f} {f.unit}): {f.do}" for f in found]
    if figures.given_up:
        faults.append(f"{figures.given_up} deliveries nobody heard; see: bridge deliveries list --unheard")
    if figures.aside:
        oldest = length(figures.aside_oldest_s, "en")
        faults.append(f"{figures.aside} lie aside, the oldest came {oldest} ago; see: bridge set-aside list")
    return faults


def _check_destinations(service: Service) -> list[str]:
    from bridge.storage import destinations
    from bridge.storage.database import DatabaseAway
    from bridge.storage.migrate import NotMigrated, check

    try:
        check(service.database)
        with service.database.read() as connection:
            now = service.database.now(connection)
            trouble = [one for one in destinations.troubled(connection) if one.state(now) != "closed"]
    except (DatabaseAway, NotMigrated):
        return ["cannot be seen without the database"]
    return [
        f"{one.destination} failed {one.failures} times in a row ({one.last_error}): what is for it waits or goes "
        f"another way; see: bridge deliveries list --state failed, bridge channels list"
        for one in trouble
    ]


def _check_mail(service: Service) -> list[str]:
    from bridge.delivery.errors import NotDelivered
    from bridge.delivery.smtp import SmtpMailer

    if not service.settings.smtp_url:
        return []
    mailer = SmtpMailer(service.settings.smtp_url)
    try:
        mailer.greet()
    except NotDelivered as error:
        return [f"{error}; check BRIDGE_SMTP_URL"]
    finally:
        mailer.close()
    return []


def _facts(data: dict[str, Any], source: str) -> dict[str, str]:
    reporter, location = data.get("reporter") or {}, data.get("location") or {}
    return {
        "source": source,
        "category": data.get("category", "LAINNYA"),
        "domicile": reporter.get("domicile") or "",
        "area": location.get("area") or "",
        "anonymous": "true" if reporter.get("anonymous") else "false",
    }


COMMANDS = (migrate, doctor, settings, config, routes)
