"""`bridge data-key new|apply` and `bridge forget`: the keys that seal personal data, and its end."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import click

from bridge.cli.common import Bar, me, open_service, ticket_argument
from bridge.forgetting import Forgotten
from bridge.forgetting import forget as forgotten
from bridge.resealing import Tally, reseal
from bridge.vault import new_data_key


@click.group("data-key")
def data_key() -> None:
    """The keys that seal personal data."""


@data_key.command("new")
def new() -> None:
    """Print a new key, and say where to put it.

    Example: bridge data-key new
    """
    click.echo(new_data_key())
    click.echo(
        "Put it first in BRIDGE_DATA_KEY, before the present ones and a space, for every process; restart them, then: "
        "bridge data-key apply",
        err=True,
    )


@data_key.command("apply")
@click.option("--dry-run", is_flag=True, help="Only count.")
def apply(dry_run: bool) -> None:
    """Bring everything under the first key of BRIDGE_DATA_KEY, beside running workers; stopped, do it again.

    Example: bridge data-key apply --dry-run
    """
    service = open_service(need_rules=True)
    with ExitStack() as stack:
        progress = Bar(stack, "Sealing")
        tally = reseal(service.database, service.arrivals.vault, dry_run=dry_run, progress=progress)
    changed = tally.stale - tally.held
    did = "would seal" if dry_run else "sealed"
    click.echo(
        f"{tally.looked:,} looked at, {did} {changed:,}: {tally.clear:,} in clear, {tally.older:,} under an older key."
    )
    if remaining := _remaining(tally):
        raise click.ClickException(remaining)
    if not dry_run:
        click.echo(
            "Nothing remains under another key. Older ones may leave BRIDGE_DATA_KEY when every process seals with the "
            "new one and no older message waits in a queue or a spool."
        )


def _remaining(tally: Tally) -> str:
    said = []
    if tally.held:
        said.append(f"{tally.held:,} remain that others held; do it again")
    if tally.lost:
        said.append(f"{tally.lost:,} remain that no key opens; put the old key back behind the new and do it again")
    return "; ".join(said)


@click.command()
@ticket_argument
@click.option("--reason", required=True, help="Why; kept in the history.")
@click.option("--even-open", is_flag=True, help="Although somebody still works on it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def forget(ticket: str, reason: str, even_open: bool, yes: bool) -> None:
    """Remove the personal data of a report for good: contact, text, place, attachments, and what the city sent.

    Category, office, clocks, outcome, history and the escalation log stay.

    Example: bridge forget K7Q2-9XWM-4T8K --reason "permintaan pelapor 17/2026"
    """
    if not yes:
        click.confirm(f"Remove the personal data of {ticket}? Nobody can bring it back.", abort=True)
    service = open_service(need_rules=True)
    done = forgotten(service.database, service.arrivals, ticket, me(), reason, even_open=even_open)
    if not done.changed:
        click.echo(f"{ticket} was forgotten before; nothing is left of its personal data.")
        return
    click.echo(f"{ticket} is forgotten: {done.webhooks} webhooks emptied, {done.aside} of what lay aside.")
    if left := _left(done):
        raise click.ClickException(left)


def _left(done: Forgotten) -> str:
    """Return in words what only a person can decide about; empty if nothing is left."""
    said = []
    if done.shared:
        said.append(f"these hold it together with other reports and were left: {_numbers(done.shared)}")
    if done.similar:
        said.append(
            f"these cannot be read as a report, the city's id stands in them, and they were left, since they may be "
            f"about somebody else: {_numbers(done.similar)}"
        )
    if said:
        said.append(
            "Look at each: bridge set-aside show NUMBER; what is about this report and nobody else: "
            "bridge set-aside discard NUMBER --erase --reason …"
        )
    return "\n".join(said)


def _numbers(of: Sequence[int]) -> str:
    return ", ".join(map(str, of))


COMMANDS = (data_key, forget)
