"""What `bridge calendar` and `bridge policies` share: showing what would move, and applying it with a progress bar."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

import click

from bridge.cli.common import Bar, me, show_json, show_table
from bridge.recomputing import Preview, Recomputing, StillHeld, Superseded
from bridge.reports.recompute import Change, Counts, Moved
from bridge.service import Service

as_object = click.option("--json", "as_json", is_flag=True, help="An object: versions, counts, and every move.")


def show_preview(service: Service, change: Change, *, as_json: bool, most: int) -> None:
    """Print what applying the change would do: counts first."""
    found = Recomputing(service.database, service.rules).preview(change, most=sys.maxsize if as_json else most)
    rows = [_row(ticket, moved) for ticket, moved in found.moves]
    if as_json:
        show_json({"targets": found.targets, "counts": asdict(found.counts), "moves": rows})
        return
    click.echo(_sentence(found))
    for name, version in found.targets.items():
        click.echo(f"  {name} takes {version}")
    if rows:
        show_table(rows, ("ticket", "kind", "deadline_was", "deadline_now", "next_was", "next_now", "overdue"))
    if found.counts.clocks > len(rows):
        click.echo(f"… and {found.counts.clocks - len(rows):,} more; --json lists all.")


def apply(service: Service, change: Change, reason: str) -> None:
    """Apply the change and print what that did."""
    if not reason.strip():
        raise click.BadParameter("say why; it is kept in the history of every report", param_hint="--reason")
    with ExitStack() as stack:
        try:
            done = Recomputing(service.database, service.rules).apply(
                change, reason=reason.strip(), actor=me(), progress=Bar(stack, "Moving")
            )
        except (Superseded, StillHeld) as error:
            raise click.ClickException(
                f"{error}. What has moved so far stays moved; do it again for the rest"
            ) from error
    if done == Counts():
        click.echo("Nothing to do: every open clock has it already.")
        return
    click.echo(f"{_numbers(done, 'moved', 'became')} Every move is in the history of its report.")


def _sentence(found: Preview) -> str:
    if not found.targets:
        return "Nothing moves: every open clock has today's version already."
    return _numbers(found.counts, "move" if found.counts.reports != 1 else "moves", "become")


def _numbers(counts: Counts, move: str, become: str) -> str:
    reports = "1 open report" if counts.reports == 1 else f"{counts.reports:,} open reports"
    said = f"{reports} {move}, {counts.overdue:,} {become} overdue."
    said += f" Deadlines: {counts.later:,} later, {counts.earlier:,} earlier; {counts.same:,} clocks keep their times."
    if counts.at_once:
        said += f" Steps due at once: {counts.at_once:,}."
    if counts.premature:
        said += f" Steps that fired and would be due only later: {counts.premature:,}; they stay fired."
    return said


def _row(ticket: str, moved: Moved) -> dict[str, Any]:
    before, after = moved.before, moved.after
    return {
        "ticket": ticket,
        "kind": after.kind,
        "deadline_was": before.deadline_at,
        "deadline_now": after.deadline_at,
        "next_was": before.next_due,
        "next_now": after.next_due,
        "overdue": moved.overdue,
        "at_once": moved.at_once,
        "premature_by_s": moved.premature_by_s,
    }
