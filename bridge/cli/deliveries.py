"""`bridge deliveries`: notices to the office and callbacks to the city, what became of them, and once more."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import click

from bridge.cli.common import Bar, as_json, me, moment, open_service, optional_ticket, show_json, show_table
from bridge.service import Service
from bridge.storage.told import Wanted

STATES = ("pending", "sending", "delivered", "failed", "given_up", "suppressed")
FAULTS = ("away", "refused", "ours")
_COLUMNS = ("ticket", "purpose", "event", "channel", "to", "state", "attempts", "next_attempt_at", "last_error")


@click.group()
def deliveries() -> None:
    """Notices to the office and callbacks to the city."""


def _row(row: dict[str, Any]) -> dict[str, Any]:
    names = ("ticket", "purpose", "event", "sequence", "channel", "state", "attempts", "next_attempt_at")
    more = ("held", "fault", "fell_back_to", "last_error", "replays", "created_at", "finished_at")
    return {"id": row["delivery_id"], "to": row["recipient"]} | {name: row[name] for name in (*names, *more)}


def _wanted(service: Service, ticket: str, since: str, until: str, **other: Any) -> Wanted:
    from bridge.storage import reports

    report_id = ""
    if ticket:
        with service.database.read() as connection:
            report_id = reports.by_ticket(connection, ticket).report_id
    begin, end = (moment(text) if text else None for text in (since, until))
    if begin and end and end <= begin:
        raise click.ClickException("--until must be later than --since")
    return Wanted(report_id=report_id, since=begin, until=end, **other)


def _filters(function: Any) -> Any:
    options = (
        click.option("--ticket", default="", callback=optional_ticket, help="Only about this report."),
        click.option("--purpose", type=click.Choice(["", "notice", "callback"]), default="", help="Only these."),
        click.option("--to", "recipient", default="", help="Only to this person, source, or source/name."),
        click.option("--channel", default="", help="Only by this channel."),
        click.option("--state", type=click.Choice(["", *STATES]), default="", help="Only in this state."),
        click.option("--fault", type=click.Choice(["", *FAULTS]), default="", help="ours: it never left"),
        click.option("--unheard", is_flag=True, help="Only what was given up and taken over by no other channel."),
        click.option("--since", default="", help="Date or time, Jakarta: first due from then on."),
        click.option("--until", default="", help="Date or time, Jakarta: first due before then."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@deliveries.command("list")
@_filters
@click.option("--most", default=200, show_default=True, type=click.IntRange(1, 1_000_000))
@as_json
def list_deliveries(ticket: str, since: str, until: str, most: int, as_json: bool, **wanted: Any) -> None:
    """List deliveries, newest first.

    Example: bridge deliveries list --unheard
    """
    from bridge.storage import told

    service = open_service(need_rules=True)
    asked = _wanted(service, ticket, since, until, **wanted)
    with service.database.read() as connection:
        rows = [_row(row) for row in told.listed(connection, asked, most=most)]
    if as_json:
        show_json(rows)
    else:
        show_table(rows, _COLUMNS)


@deliveries.command("show")
@click.argument("delivery_id")
@as_json
def show(delivery_id: str, as_json: bool) -> None:
    """Show one delivery with every attempt and what was answered.

    Example: bridge deliveries show 2f3c1f86-3d52-5d0c-9c3e-6a656d626174
    """
    from bridge.storage import told

    service = open_service(need_rules=True)
    with service.database.read() as connection:
        row = _one(told.listed(connection, Wanted(delivery_ids=[delivery_id])), delivery_id)
        attempts = told.attempts_of(connection, [delivery_id])[delivery_id]
    told_of = [{name: value for name, value in attempt.items() if name != "delivery_id"} for attempt in attempts]
    if as_json:
        show_json(_row(row) | {"attempts_made": told_of})
        return
    for name, value in _row(row).items():
        if value not in (None, ""):
            click.echo(f"{name:16} {value}")
    click.echo()
    show_table(told_of, ("number", "at", "channel", "outcome", "status", "duration_ms", "fault", "detail", "response"))


def _one(rows: list[dict[str, Any]], delivery_id: str) -> dict[str, Any]:
    if not rows:
        raise click.ClickException(f"no delivery has the id {delivery_id!r}; see: bridge deliveries list")
    return rows[0]


@deliveries.command("retry")
@click.argument("delivery_ids", nargs=-1, required=True, metavar="ID…")
@click.option("--reason", required=True, help="Why, for the list of what was sent once more.")
@click.option("--again", is_flag=True, help="Although it was sent once more in the last ten minutes.")
def retry(delivery_ids: tuple[str, ...], reason: str, again: bool) -> None:
    """Send deliveries once more, now: the same id, a fresh timestamp.

    Example: bridge deliveries retry 2f3c1f86-3d52-5d0c-9c3e-6a656d626174 --reason "mailbox mended"
    """
    from bridge.storage import told

    service = open_service(need_rules=True)
    wanted = Wanted(delivery_ids=delivery_ids)
    with service.database.read() as connection:
        known = {row["delivery_id"] for row in told.listed(connection, wanted, most=len(delivery_ids))}
    for delivery_id in delivery_ids:
        _one([{}] if delivery_id in known else [], delivery_id)
    _resend(service, wanted, reason, again)


@deliveries.command("replay")
@_filters
@click.option("--reason", required=True, help="Why, for the list of what was sent once more.")
@click.option("--again", is_flag=True, help="Also what was replayed in the last ten minutes.")
@click.option("--dry-run", is_flag=True, help="Only say how many.")
def replay(ticket: str, since: str, until: str, reason: str, again: bool, dry_run: bool, **wanted: Any) -> None:
    """Send everything of a span of time once more: same ids, fresh timestamps, marked `webhook-replay`.

    Run twice it sends nothing twice: what was replayed in the last ten minutes is left out.

    Example: bridge deliveries replay --purpose callback --to qlue --since 2026-11-25 --until 2026-11-26 --reason "…"
    """
    service = open_service(need_rules=True)
    asked = _wanted(service, ticket, since, until, **wanted)
    if asked.since is None and not ticket:
        raise click.UsageError("say from when on (--since), or of which report (--ticket)")
    if not dry_run:
        _resend(service, asked, reason, again)
        return
    from bridge.resending import preview

    click.echo(f"{preview(service.database, asked, again=again)} deliveries would be sent once more.")


def _resend(service: Service, wanted: Wanted, reason: str, again: bool) -> None:
    from bridge.resending import preview, resend

    total = preview(service.database, wanted, again=again)
    with ExitStack() as stack:
        bar = Bar(stack, "Sending once more")
        count = resend(
            service.database,
            wanted,
            actor=me().name,
            reason=reason,
            again=again,
            progress=lambda done: bar(done, total),
        )
    click.echo(f"{count} deliveries will be sent once more, now.")
    if not count:
        click.echo("What is being sent, and what was sent once more in the last ten minutes, is left out (--again).")


COMMANDS = (deliveries,)
