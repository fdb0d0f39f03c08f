"""`bridge engine status | hold | release | restored`: the clockwork itself."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
import structlog

from bridge.cli.common import Bar, as_json, me, moment, open_service, show_json
from bridge.words import when

if TYPE_CHECKING:
    from bridge.reports.findings import Finding
    from bridge.reports.guard import Engine

log = structlog.get_logger()

_reason = click.option("--reason", required=True, help="Why; it goes into the log, and pages show it.")


@click.group()
def engine() -> None:
    """The clockwork: is it at work, held, and what did the auditor find?"""


@engine.command("status")
@as_json
def status(as_json: bool) -> None:
    """Say whether the engine fires, who holds it and why, and what is wrong with it.

    Example: bridge engine status
    """
    from bridge.reports.findings import alarms
    from bridge.storage import engine as stored

    service = open_service(need_rules=True)
    with service.database.read() as connection:
        now = service.database.now(connection)
        state = stored.read(connection)
    found = alarms(state, now, audit_every_s=service.settings.audit_every_s)
    if as_json:
        show_json(_facts(state, found, now))
    else:
        _show(state, found, now)


@engine.command("hold")
@_reason
def hold(reason: str) -> None:
    """Hold the engine until it is released: nothing escalates. When this returns, no step is under way any more.

    Example: bridge engine hold --reason "the database server's clock is being set"
    """
    from bridge.storage import engine as stored

    service = open_service(need_rules=True)
    database, who = service.database, me().name
    with database.write() as connection:
        stored.hold_for_good(database, connection, f"{who}: {reason}", now=database.now(connection))
    log.error("engine_held", by=who, why=reason, until="released")
    click.echo("The engine is held; nothing escalates until: bridge engine release")


@engine.command("release")
@_reason
def release(reason: str) -> None:
    """Let a held engine go on: what has fallen due meanwhile fires at once, without a second hold for it.

    Example: bridge engine release --reason "checked, the backlog is real"
    """
    from bridge.storage import engine as stored

    service = open_service(need_rules=True)
    database, who = service.database, me().name
    with database.write() as connection:
        state = stored.read(connection)
        released = state.held_since is not None and stored.let_go(connection, state.held_since)
    if not released:
        raise click.ClickException("the engine is not held")
    log.warning("engine_released", by=who, why=reason, held=state.held_why)
    click.echo(f"The engine goes on. It was held since {_at(state.held_since)}: {state.held_why}")


@engine.command("restored")
@_reason
@click.option("--since", default="", help="Tell also of closed reports to which anything happened since then, Jakarta.")
def restored(reason: str, since: str) -> None:
    """Go on after the database was put back from a backup: before anything else is started.

    Holds the engine, lets the numbers of callbacks leap over those cities may have seen since the backup, and tells
    them how each open report stands. What to do then: docs/operations.md, "Backup and restore".

    Example: bridge engine restored --reason "disk failure, back to the dump of 02.00" --since 2026-10-01
    """
    from bridge.restoring import Restored

    service = open_service(need_rules=True)
    with ExitStack() as stack:
        work = Restored(service.database, service.rules)
        told = work.go_on(
            reason=reason, actor=me().name, since=moment(since) if since else None, progress=Bar(stack, "Telling")
        )
    said = "The city is told how 1 report stands" if told == 1 else f"Cities are told how {told} reports stand"
    click.echo(f"{said}. The engine is held; nothing escalates until: bridge engine release")


def _facts(state: Engine, found: list[Finding], now: datetime) -> dict[str, Any]:
    held = state.held_by(now) is not None
    return {
        "version": state.version,
        "held": held,
        "held_since": state.held_since if held else None,
        "held_until": state.held_until if held else None,
        "held_why": state.held_why if held else None,
        "ticked_at": state.ticked_at,
        "audited_at": state.audited_at,
        "findings": [finding.as_json() for finding in found],
    }


def _show(state: Engine, found: list[Finding], now: datetime) -> None:
    if state.held_by(now) is not None:
        until = f"until {_at(state.held_until)}" if state.held_until else "until it is released"
        click.secho(f"HELD since {_at(state.held_since)}, {until}: {state.held_why}", fg="red")
    else:
        click.secho("The engine is free to fire.", fg="green")
    click.echo(f"version {state.version}, last tick {_at(state.ticked_at)}, last audit {_at(state.audited_at)}")
    for finding in found:
        click.secho(f"  {finding.what}: {finding.value:.0f} {finding.unit}, since {_at(finding.since)}", fg="red")
        click.echo(f"    {finding.do}")


def _at(at: datetime | None) -> str:
    return when(at, "en") if at else "never"


COMMANDS = (engine,)
