"""`bridge escalations`: the log."""

from __future__ import annotations

import csv
import sys
import time
from typing import Any

import click

from bridge.cli.common import as_json, open_service, optional_ticket, show_json, show_table
from bridge.reports.clocks import Kind


@click.group()
def escalations() -> None:
    """The escalation log."""


def _escalation(row: dict[str, Any]) -> dict[str, Any]:
    names = ("seq", "ticket", "cycle", "kind", "level", "due_at", "fired_at", "lateness_s")
    return {name: row[name] for name in names} | {
        "to": row["target"],
        "told": row["told"],
        "did": row["did"],
        "remark": row["remark"],
        "delivered": row["delivered"],
        "answered": bool(row["answered"]),
        "hash": row["hash"],
    }


@escalations.command("list")
@click.option("--ticket", default="", callback=optional_ticket, help="Only this report.")
@click.option("--person", default="", help="Only what this person was told.")
@click.option("--kind", type=click.Choice(["", *(v.value for v in Kind)]), default="", help="Only this clock.")
@click.option("--level", type=int, default=None, help="Only this level; 0 are the warnings before a deadline.")
@click.option("--warnings", is_flag=True, help="Warnings too.")
@click.option("--office", default="", help="Only reports of this office.")
@click.option("--open", "still_open", is_flag=True, help="Only what nobody has answered since.")
@click.option("--exhausted", is_flag=True, help="Only clocks whose whole ladder was told and which are still open.")
@click.option("--most", default=200, show_default=True, type=click.IntRange(1, 1_000_000))
@as_json
def list_escalations(
    ticket: str,
    person: str,
    kind: str,
    level: int | None,
    warnings: bool,
    office: str,
    still_open: bool,
    exhausted: bool,
    most: int,
    as_json: bool,
) -> None:
    """List what escalated, newest first.

    Example: bridge escalations list --level 3
    """
    from bridge.storage import escalations as log

    service = open_service(need_rules=True)
    wanted = log.Wanted(
        ticket=ticket,
        person=person,
        office=office,
        kind=kind,
        level=level,
        warnings=warnings,
        still_open=still_open,
        exhausted=exhausted,
    )
    with service.database.read() as connection:
        rows = [_escalation(row) for row in log.listed(connection, wanted, most=most)]
    if as_json:
        show_json(rows)
    else:
        show_table(
            rows,
            ("seq", "fired_at", "ticket", "cycle", "kind", "level", "to", "did", "lateness_s", "delivered", "answered"),
        )


@escalations.command("tail")
@click.option("--limit-s", type=float, default=None, help="Stop after so many seconds.")
def tail(limit_s: float | None) -> None:
    """Print escalations as they happen.

    Example: bridge escalations tail
    """
    from bridge.storage import escalations as log

    service = open_service(need_rules=True)
    until = time.monotonic() + limit_s if limit_s else None
    with service.database.read() as connection:
        newest = log.listed(connection, log.Wanted(), most=1)
    seen = newest[0]["seq"] or 0 if newest else 0
    while until is None or time.monotonic() < until:
        with service.database.read() as connection:
            rows = log.listed(connection, log.Wanted(after_seq=seen), most=500)
        for row in reversed(rows):
            click.echo(
                f"{row['fired_at']:%H:%M:%S}  {row['ticket']}  level {row['level']}  {row['kind']}: "
                f"{row['did']} {row['target']}, {row['lateness_s']:.1f} s late"
            )
            seen = max(seen, row["seq"])
        time.sleep(0.5)


@escalations.command("export")
@click.option("--format", "form", type=click.Choice(["csv", "json"]), default="csv", show_default=True)
def export(form: str) -> None:
    """Write the whole log, warnings too, oldest first, to standard output.

    Example: bridge escalations export --format csv > log.csv
    """
    from bridge.storage import escalations as log

    service = open_service(need_rules=True)
    with service.database.read() as connection:
        rows = [_escalation(row) for row in log.listed(connection, log.Wanted(warnings=True), most=10_000_000)]
    rows.reverse()
    if form == "json":
        show_json(rows)
        return
    names = list(
        _escalation(dict.fromkeys(("target", "told", "did", "remark", "delivered", "answered", "hash", *_BASE), None))
    )
    writer = csv.DictWriter(sys.stdout, names)
    writer.writeheader()
    writer.writerows(rows)


_BASE = ("seq", "ticket", "cycle", "kind", "level", "due_at", "fired_at", "lateness_s")


@escalations.command("verify")
def verify() -> None:
    """Recompute the chain of hashes; exit 1 where it breaks.

    Example: bridge escalations verify
    """
    from bridge.storage import escalations as log

    service = open_service(need_rules=True)
    with service.database.write() as connection:
        log.seal(service.database, connection, most=1_000_000)
    with service.database.read() as connection:
        verdict = log.verify(connection)
    if verdict.broken_at is not None:
        raise click.ClickException(
            f"the chain is broken at number {verdict.broken_at}: a row was changed or is missing"
        )
    click.echo(f"The chain is whole: {verdict.sealed} rows, {verdict.unsealed} not yet sealed.")


COMMANDS = (escalations,)
