"""`bridge clock explain`; `plan` is in planning.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import click

from bridge.cli.common import in_language, open_service, show_json, ticket_argument
from bridge.cli.planning import plan
from bridge.clock_words import Entry, ladder, ledger, local, office_names, state_words
from bridge.reports.clocks import Kind
from bridge.reports.desk_time import Stay, by_desk, stays
from bridge.reports.escalation import Desk
from bridge.reports.explaining import Account, accounts
from bridge.service import Service
from bridge.step_words import duration, who
from bridge.words import say

_THE_LADDER = {
    "en": "the ladder: ✓ what fired, and what comes if nobody acts",
    "id": "tangga: ✓ yang sudah, dan yang akan datang bila tidak ada yang bertindak",
}


@click.group()
def clock() -> None:
    """Deadlines, explained and planned."""


@clock.command("explain")
@ticket_argument
@click.option("--kind", type=click.Choice([k.value for k in Kind]), default=None, help="Only this clock.")
@in_language
@click.option("--json", "as_json", is_flag=True, help="One object: the clocks, and on whose desk the report lay.")
def explain(ticket: str, kind: str | None, lang: str, as_json: bool) -> None:
    """Account for the clocks of a report: what counted, pauses, days off, what fired, what comes and whom it reaches.

    Example: bridge clock explain K7Q2-9XWM-4T8K --kind acknowledge --lang id
    """
    service = open_service(need_rules=True)
    found, where, names, now = service.rules.deciding(lambda: _look(service, ticket, kind))
    if as_json:
        show_json(
            {
                "ticket": ticket,
                "now": now,
                "clocks": [_as_object(one, lang, names) for one in found],
                "desks": _desks(where, names),
            }
        )
        return
    for one in found:
        _print_account(one, lang, names)
    _print_desks(where, names, lang)


def _look(
    service: Service, ticket: str, kind: str | None
) -> tuple[list[Account], list[Stay], dict[str, str], datetime]:
    """Return the accounts of a report, where it lay, everybody's name, and the database's time."""
    from bridge.storage import escalations as log
    from bridge.storage import people
    from bridge.storage import reports as stored
    from bridge.storage.rows import escalation_of, event_of

    book = service.rules.book
    with service.database.read() as connection:
        report = stored.by_ticket(connection, ticket)
        owed = stored.obligations_of(connection, [report.report_id]).get(report.report_id, [])
        desk = Desk(people.active(connection), stored.open_by_assignee(connection))
        names = people.names(connection) | office_names(book)
        rows = log.listed(connection, log.Wanted(ticket=ticket, warnings=True), most=10_000)
        history = [event_of(row) for row in stored.history_of(connection, report.report_id)]
        now = service.database.now(connection)
        found = accounts(report, owed, book, desk, [escalation_of(row) for row in rows], history, now=now)
        calendar_of = partial(book.calendar_of, report=report, obligations=owed)
        where = stays(history, calendar_of, report.office, now=now)
    return [one for one in found if kind in (None, one.obligation.kind)], where, names, now


def _as_object(found: Account, language: str, names: Mapping[str, str]) -> dict[str, Any]:
    owed, policy = found.obligation, found.policy
    lines = ledger(found, language, names)
    return {
        "kind": owed.kind,
        "cycle": owed.cycle,
        "state": owed.state,
        "span": str(policy.span),
        "source": policy.source_in(language),
        "policy": policy.version,
        "calendar": found.calendar.version,
        "zone": found.calendar.zone,
        "started_at": owed.started_at,
        "deadline_at": owed.deadline_at,
        "next_due": owed.next_due,
        "ended_at": owed.ended_at,
        "ended_by": owed.ended_by,
        "lines": [_line_object(entry) | {"facts": _plain_facts(entry.line.facts)} for entry in lines],
        "steps": [_step_object(entry, names) for entry in ladder(found, language, names)],
    }


def _line_object(entry: Entry) -> dict[str, Any]:
    line = entry.line
    return {
        "at": line.at,
        "what": line.what,
        "counted_s": line.counted_s,
        "counted_days": line.counted_days,
        "text": str(entry),
    }


def _plain_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: str(value) if name == "span" else value for name, value in facts.items()}


def _step_object(entry: Entry, names: Mapping[str, str]) -> dict[str, Any]:
    facts = entry.line.facts
    return {
        "at": entry.line.at,
        "what": entry.line.what,
        "due_at": facts["due_at"],
        "step": facts["step"],
        "level": facts["level"],
        "again": facts["again"],
        "to": facts["target"],
        "who": [names[person] for person in facts["told"] if person in names],
        "do": facts["did"],
        "text": str(entry),
    }


def _desks(where: Sequence[Stay], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the working seconds on each desk, and every stay it is the sum of."""
    return {
        "working_s": [
            {"person": person, "name": names.get(person or ""), "seconds": seconds}
            for person, seconds in by_desk(where).items()
        ],
        "waiting_for_citizen_s": sum(stay.working_s for stay in where if stay.citizen),
        "stays": [
            {
                "since": stay.since,
                "until": stay.until,
                "person": None if stay.citizen else stay.person,
                "office": stay.office,
                "waiting_for_citizen": stay.citizen,
                "working_s": stay.working_s,
            }
            for stay in where
        ],
    }


def _print_account(found: Account, language: str, names: Mapping[str, str]) -> None:
    owed, zone = found.obligation, found.calendar.zone
    due = local(found.lines[-1].at, zone, language)
    cycle = f"{'cycle' if language == 'en' else 'putaran'} {owed.cycle}"
    click.secho(f"{say(owed.kind, language)}, {cycle}: {state_words(owed, language)} · {due}", bold=True)
    lines, steps = ledger(found, language, names), ladder(found, language, names)
    width = max(len(entry.when) for entry in (*lines, *steps))
    for entry in lines:
        total = f"  +{entry.counted} = {entry.total}" if entry.counted else ""
        click.echo(f"  {entry.when:{width}}  {entry.text}{total}")
    if steps:
        click.echo(f"  {_THE_LADDER[language]}")
    for entry in steps:
        done = "✓ " if entry.line.what == "fired" else "  "
        click.echo(f"  {entry.when:{width}}  {done}{entry.text}")
    if owed.ended_at:
        by = who(owed.ended_by or "", language, names)
        click.echo(f"  {local(owed.ended_at, zone, language):{width}}  {say(owed.state, language)}: {by}")
    click.echo(f"  {found.policy.version}, {found.calendar.version}\n")


def _print_desks(where: Sequence[Stay], names: Mapping[str, str], language: str) -> None:
    english = language == "en"
    click.secho("Working time on whose desk" if english else "Waktu kerja di meja siapa", bold=True)
    for person, seconds in by_desk(where).items():
        name = names.get(person, person) if person else ("nobody's" if english else "belum ada petugas")
        click.echo(f"  {name}: {duration(round(seconds), language)}")
    waited = round(sum(stay.working_s for stay in where if stay.citizen))
    if waited:
        said = (
            "waiting for the consumer, on no desk" if english else "menunggu konsumen, di meja siapa pun tidak dihitung"
        )
        click.echo(f"  {said}: {duration(waited, language)}")


clock.add_command(plan)

COMMANDS = (clock,)
