"""`bridge reports list|show|updates|looks|like|ack|move|meet|assign|escalate|merge|transfer`."""

from __future__ import annotations

from typing import Any

import click

from bridge.cli.common import (
    as_json,
    clock_time,
    me,
    open_service,
    show_json,
    show_table,
    ticket_argument,
    ticket_option,
)
from bridge.reports.clocks import Kind, Obligation
from bridge.reports.moves import Details
from bridge.reports.states import Move, Outcome, Status


@click.group()
def reports() -> None:
    """Reports: list, look, acknowledge, move."""


@reports.command("list")
@click.option("--status", type=click.Choice([v.value for v in Status]), default=None, help="Only this state.")
@click.option("--assignee", default="", help="Only this person's desk.")
@click.option("--office", default="", help="Only this office, also one that is no more.")
@click.option("--search", default="", help="Ticket, title or business.")
@click.option("--most", default=200, show_default=True, type=click.IntRange(1, 100_000))
@as_json
def list_reports(status: str | None, assignee: str, office: str, search: str, most: int, as_json: bool) -> None:
    """List reports, what is due next first.

    Example: bridge reports list --status received
    """
    from bridge.storage import reports as stored

    service = open_service(need_rules=True)
    wanted = stored.Wanted(status=status or "", assignee=assignee, office=office, search=search)
    with service.database.read() as connection:
        rows = stored.listed(connection, wanted, most=most)
    shown = [public(row) for row in rows]
    if as_json:
        show_json(shown)
        return
    for row in shown:
        soonest = [o["next_due"] for o in row["obligations"] if o["next_due"]]
        row["next_due"] = min(soonest, default=None)
    show_table(shown, ("ticket", "status", "office", "assignee", "external_id", "received_at", "next_due"))


@reports.command("show")
@ticket_argument
@click.option("--reveal", is_flag=True, help="The reporter's contact unmasked; that you looked is kept.")
@as_json
def show_report(ticket: str, reveal: bool, as_json: bool) -> None:
    """Show a report with its clocks and history; who complains is masked.

    Example: bridge reports show K7Q2-9XWM-4T8K
    """
    from bridge.looking import revealed, veiled
    from bridge.storage import reports as stored

    service = open_service(need_rules=True)
    with service.database.read() as connection:
        report = stored.by_ticket(connection, ticket)
        owed = stored.obligations_of(connection, [report.report_id]).get(report.report_id, [])
        history = stored.history_of(connection, report.report_id)
    vault = service.arrivals.vault
    row = public({**vars(report), "obligations": owed})
    row |= {
        "title": report.title,
        "contact": revealed(service.database, vault, report, me().name) if reveal else veiled(vault, report),
        "forgotten_at": report.forgotten_at,
        "category": report.category,
        "outcome": report.outcome,
        "case_number": report.case_number,
        "routing": list(report.routing),
        "history": [
            {"at": h["at"], "event": h["event"], "actor": h["actor"], "cycle": h["cycle"], "data": h["data"]}
            for h in history
        ],
    }
    if as_json:
        show_json(row)
        return
    click.secho(f"{report.ticket}  {report.title}", bold=True)
    for name in ("status", "office", "assignee", "source", "external_id", "category", "case_number"):
        click.echo(f"  {name:12} {row[name] or '-'}")
    for name, value in row["contact"].items():
        click.echo(f"  {name:12} {value}")
    for owing in row["obligations"]:
        next_due = clock_time(owing["next_due"]) if owing["next_due"] else "-"
        click.echo(f"  {owing['kind']:12} {owing['state']}, level {owing['level']}, next due {next_due}")
    for line in row["history"]:
        said = ", ".join(f"{name}={value}" for name, value in line["data"].items())
        click.echo(f"  {clock_time(line['at'])}  {line['event']:14} {line['actor']}  {said}")


@reports.command("updates")
@ticket_argument
@as_json
def list_updates(ticket: str, as_json: bool) -> None:
    """Show whole what citizens added to a report by Open311, also what its description has no room for.

    Example: bridge reports updates K7Q2-9XWM-4T8K
    """
    from bridge.open311.whole import updates_of
    from bridge.storage import reports as stored

    service = open_service(need_rules=True)
    with service.database.read() as connection:
        rows = list(updates_of(connection, service.arrivals.vault, stored.by_ticket(connection, ticket)))
    if as_json:
        show_json(rows)
        return
    for row in rows:
        click.secho(f"{clock_time(row['received_at'])}  {row.get('status') or row['why_not']}", bold=True)
        for text in (row.get("description"), *row.get("media_url", ())):
            if text:
                click.echo(text)


@reports.command("looks")
@ticket_argument
@as_json
def list_looks(ticket: str, as_json: bool) -> None:
    """List who looked at the personal data of a report, newest first.

    Example: bridge reports looks K7Q2-9XWM-4T8K
    """
    from bridge.storage import looks
    from bridge.storage import reports as stored

    service = open_service(need_rules=True)
    with service.database.read() as connection:
        found = looks.of(connection, stored.by_ticket(connection, ticket).report_id)
    rows = [{name: look[name] for name in ("at", "actor", "what")} for look in found]
    if as_json:
        show_json(rows)
    else:
        show_table(rows, ("at", "actor", "what"))


@reports.command("like")
@ticket_argument
@as_json
def list_alike(ticket: str, as_json: bool) -> None:
    """List reports, open and closed, that may be about the same grievance, with a score up to 100 and the reasons.

    Example: bridge reports like K7Q2-9XWM-4T8K
    """
    from bridge.comparing import alike
    from bridge.storage import reports as stored

    service = open_service(need_rules=True)
    with service.database.read() as connection:
        found = alike(connection, stored.by_ticket(connection, ticket))
    rows = [
        {"ticket": a.report.ticket, "score": a.likeness.score, "reasons": a.likeness.reasons, "status": a.report.status}
        for a in found
    ]
    if as_json:
        show_json(rows)
    else:
        show_table(rows, ("ticket", "score", "status", "reasons"))


@reports.command("ack")
@ticket_argument
@click.option("--person", default="", help="In whose name (person id); otherwise in yours.")
def acknowledge(ticket: str, person: str) -> None:
    """Acknowledge a report; the clock is met and nobody further is told.

    Example: bridge reports ack K7Q2-9XWM-4T8K
    """
    service = open_service(need_rules=True)
    result = service.casework.acknowledge(ticket, _actor(service, person))
    click.echo(f"{ticket} is {result.report.status}" + ("." if result.changed else "; it was acknowledged before."))


@reports.command("move")
@ticket_argument
@click.argument("move", type=click.Choice([m.value for m in Move if m is not Move.WITHDRAW]))
@click.option("--outcome", type=click.Choice([v.value for v in Outcome]), default=None, help="For close.")
@click.option("--case-number", default="", help="For register.")
@click.option("--missing", multiple=True, help="For ask_completion; may be repeated.")
@click.option("--reason", default="", help="For reopen; kept in the history for every move.")
@click.option("--person", default="", help="In whose name (person id); otherwise in yours.")
def move_report(
    ticket: str, move: str, outcome: str | None, case_number: str, missing: tuple[str, ...], reason: str, person: str
) -> None:
    """Move a report to its next state.

    Example: bridge reports move K7Q2-9XWM-4T8K close --outcome settled
    """
    service = open_service(need_rules=True)
    details = Details(Outcome(outcome) if outcome else None, case_number, missing, reason)
    report = service.casework.move(Move(move), ticket, _actor(service, person), details)
    click.echo(f"{ticket} is {report.status}" + (f" ({report.outcome})." if report.outcome else "."))


@reports.command("meet")
@ticket_argument
@click.argument("kind", type=click.Choice([v.value for v in Kind]))
def meet(ticket: str, kind: str) -> None:
    """Say that one obligation has been done, such as the summons.

    Example: bridge reports meet K7Q2-9XWM-4T8K summons
    """
    service = open_service(need_rules=True)
    service.casework.meet(Kind(kind), ticket, me())
    click.echo(f"{ticket}: {kind} is met.")


@reports.command("assign")
@ticket_argument
@click.argument("person_id")
@click.option("--reason", required=True, help="Why; kept in the history.")
def assign(ticket: str, person_id: str, reason: str) -> None:
    """Give a report to somebody else; its clocks run on.

    Example: bridge reports assign K7Q2-9XWM-4T8K budi --reason "cuti"
    """
    from bridge.storage import people

    service = open_service(need_rules=True)
    with service.database.read() as connection:
        person = people.one(connection, person_id)
    service.casework.assign(ticket, person, me(), reason)
    click.echo(f"{ticket} is with {person.name}.")


@reports.command("escalate")
@ticket_argument
@click.option("--kind", type=click.Choice([v.value for v in Kind]), default=Kind.ACKNOWLEDGE.value, show_default=True)
@click.option("--reason", required=True, help="Why it cannot wait; kept in the history.")
def escalate(ticket: str, kind: str, reason: str) -> None:
    """Send a report up one rung before its time; the later rungs keep theirs.

    Example: bridge reports escalate K7Q2-9XWM-4T8K --reason "bayi, susu kedaluwarsa"
    """
    service = open_service(need_rules=True)
    report = service.casework.hurry(ticket, me(), reason, kind=Kind(kind))
    click.echo(f"{ticket} went up; it is on the desk of {report.assignee or 'nobody yet'}.")


@reports.command("merge")
@ticket_argument
@click.option("--into", required=True, callback=ticket_option, help="The ticket that goes on.")
@click.option("--reason", required=True, help="Why; kept in the history of both.")
def merge(ticket: str, into: str, reason: str) -> None:
    """Close a report as the duplicate of another, which keeps the earlier deadlines; reopening it takes that back.

    Example: bridge reports merge K7Q2-9XWM-4T8K --into 4TZ9-K2M7-0HQX --reason "pengaduan yang sama"
    """
    service = open_service(need_rules=True)
    service.casework.merge(ticket, into, me(), reason)
    click.echo(f"{ticket} is closed as a duplicate; {into} goes on.")


@reports.command("transfer")
@ticket_argument
@click.argument("office")
@click.option("--reason", required=True, help="Why; kept in the history.")
def transfer(ticket: str, office: str, reason: str) -> None:
    """Give a report to another office; its clocks go on.

    Example: bridge reports transfer K7Q2-9XWM-4T8K bpsk-bandung --reason "domisili konsumen di Bandung"
    """
    service = open_service(need_rules=True)
    report = service.casework.transfer(ticket, office, me(), reason)
    click.echo(f"{ticket} is with {office}, on the desk of {report.assignee or 'nobody yet'}.")


def public(row: dict[str, Any]) -> dict[str, Any]:
    """Return a report as `--json` promises it: stable keys, no personal data."""
    names = ("ticket", "report_id", "source", "external_id", "status", "office", "assignee", "cycle", "received_at")
    owed: list[Obligation] = row["obligations"]
    shown = [{"kind": o.kind, "state": o.state, "next_due": o.next_due, "level": o.level} for o in owed]
    return {name: row[name] for name in names} | {"obligations": shown}


def _actor(service: Any, person_id: str) -> Any:
    from bridge.reports.moves import Actor
    from bridge.storage import people

    if not person_id:
        return me()
    with service.database.read() as connection:
        return Actor(f"person:{person_id}", people.one(connection, person_id))


COMMANDS = (reports,)
