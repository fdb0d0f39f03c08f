"""`bridge clock plan`: what happens to a report if nobody acts, usable in CI."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from bridge.cli.common import event_in, in_language, moment, open_service, show_json
from bridge.clock_words import ladder, local, office_names, span_words
from bridge.reports.clocks import Obligation
from bridge.reports.escalation import Desk
from bridge.reports.explaining import account, foreseen
from bridge.reports.intake import CityEvent, EventType, new_report
from bridge.reports.people import Person, Role
from bridge.reports.report import Escalation
from bridge.reports.routing import route
from bridge.reports.rulebook import Rulebook
from bridge.service import Service
from bridge.words import say
from config.calendars import FIRST_YEAR, LAST_YEAR


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--at", "at_text", default="", help="When it would be received, Jakarta; now without it.")
@click.option("--source", default="qlue", show_default=True, help="The source it would come from.")
@click.option("--roles", is_flag=True, help="Roles only: leave the people of the database out.")
@click.option(
    "--expect",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=None,
    help="An earlier --json output; what differs is printed, and the exit code is 1.",
)
@in_language
@click.option("--json", "as_json", is_flag=True, help="One object with stable keys.")
def plan(file: Path, at_text: str, source: str, roles: bool, expect: Path | None, lang: str, as_json: bool) -> None:
    """Say what happens to the report in FILE if nobody acts: the dated ladder of every clock it starts.

    Needs the configuration only; with a database the people who would be reached are named.

    Example: bridge clock plan report.json --at 2026-11-23T10:00 --roles --expect plan.json
    """
    service = open_service()
    event = _submission(event_in(file), source, _received(at_text))
    people = None if roles else _people(service)
    planned = _planned(event, service.configuration.rulebook, people, lang)
    if expect is not None:
        _compare(_read_plan(expect), json.loads(json.dumps(planned)), expect)
    elif as_json:
        show_json(planned)
    else:
        _print_plan(planned, lang)


def _received(text: str) -> datetime:
    at = moment(text) if text else datetime.now(UTC)
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise click.BadParameter(
            f"{text!r}: nobody plans but for the years {FIRST_YEAR} to {LAST_YEAR}", param_hint="--at"
        )
    return at


def _submission(checked: dict[str, Any], source: str, at: datetime) -> CityEvent:
    if checked["type"] != EventType.SUBMITTED:
        raise click.ClickException(f"{checked['type']} starts no clocks; give a report.submitted")
    at = at.astimezone(UTC)
    return CityEvent(
        source=source,
        type=EventType.SUBMITTED,
        external_id=checked["data"]["id"],
        report_id="planned",
        ticket="planned",
        webhook_id="planned",
        happened_at=checked["timestamp"],
        received_at=at,
        data=checked["data"],
    )


def _people(service: Service) -> Desk | None:
    """Return the people of the database, or None without one: a plan needs none, and makes none."""
    from bridge.storage import people
    from bridge.storage import reports as stored
    from bridge.storage.database import DatabaseAway
    from bridge.storage.migrate import NotMigrated, check

    file = service.settings.database_url.removeprefix("sqlite:///")
    if file != service.settings.database_url and not Path(file).exists():
        return None
    try:
        check(service.database)
        with service.database.read() as connection:
            everybody = people.active(connection)
            return Desk(everybody, stored.open_by_assignee(connection)) if everybody else None
    except (DatabaseAway, NotMigrated) as error:
        click.echo(f"Roles only, no names: {error}", err=True)
        return None


def _stand_ins(book: Rulebook) -> Desk:
    """Return somebody for every role in every office, and as many officers as a ladder can ask for in turn."""
    steps = [step for policies in book.policies.values() for policy in policies.values() for step in policy.steps]
    turns = 2 + sum(step.to == "next_member" for step in steps)
    people = [
        Person(f"{office}/{role}-{number:03d}", "", role, office)
        for office in book.offices
        for role in Role
        for number in range(turns if role is Role.OFFICER else 1)
    ]
    named = {name for policies in book.policies.values() for policy in policies.values() for name in policy.persons}
    people += [Person(name, "", Role.OFFICER, "") for name in sorted(named)]
    return Desk(people, {})


def _planned(event: CityEvent, book: Rulebook, people: Desk | None, language: str) -> dict[str, Any]:
    desk = people or _stand_ins(book)
    changes = new_report(event, [], book, desk, now=event.received_at)
    report, owed = changes.new_reports[0], changes.new_obligations
    ahead = foreseen(report, owed, book, desk, now=event.received_at)
    if people is None:
        ahead = [replace(row, told=()) for row in ahead]
    names = {person.person_id: person.name for person in people.people} if people else {}
    names |= office_names(book)
    zone = ZoneInfo(book.calendar_for(report.office).zone)
    return {
        "received_at": event.received_at.astimezone(zone).isoformat(),
        "office": report.office,
        "office_name": book.offices[report.office].name,
        "rule": route(report.facts, book.rules).rule.name,
        "policy": report.policy,
        "people": "database" if people else "roles",
        "assignee": names.get(report.assignee or ""),
        "clocks": [_planned_clock(one, book, zone, language) for one in owed],
        "steps": list(_planned_steps(owed, ahead, book, zone, names, language)),
    }


def _planned_clock(owed: Obligation, book: Rulebook, zone: ZoneInfo, language: str) -> dict[str, Any]:
    policy, _ = book.frozen(owed)
    due = local(owed.deadline_at, zone.key, language)
    return {
        "kind": str(owed.kind),
        "span": str(policy.span),
        "source": policy.source,  # not in the language asked for: an expected plan holds in both
        "deadline_at": owed.deadline_at.astimezone(zone).isoformat(),
        "text": f"{say(owed.kind, language)}: {span_words(policy.span, language)}, {due}",
    }


def _planned_steps(
    owed: Iterable[Obligation],
    ahead: list[Escalation],
    book: Rulebook,
    zone: ZoneInfo,
    names: Mapping[str, str],
    language: str,
) -> Iterator[dict[str, Any]]:
    ladders = {one.kind: ladder(account(one, book, (), ahead), language, names) for one in owed}
    entries = {(str(kind), entry.line.facts["step"]): entry for kind, steps in ladders.items() for entry in steps}
    for row in ahead:
        entry = entries[row.kind, row.step]
        yield {
            "at": entry.line.at.astimezone(zone).isoformat(),
            "kind": str(row.kind),
            "level": row.level,
            "again": entry.line.facts["again"],
            "to": row.target,
            "who": [names[person] for person in row.told if person in names],
            "do": str(row.did),
            "text": f"{entry.when}: {say(row.kind, language)}, {entry.text}",
        }


#: The header of a plan, and what it says of the desk it begins on.
_HEADER = {
    "en": ("{office_name} ({office}), rule {rule!r}, policy {policy!r}", ", assigned to {assignee}"),
    "id": ("{office_name} ({office}), aturan {rule!r}, kebijakan {policy!r}", ", ditugaskan kepada {assignee}"),
}


def _print_plan(planned: Mapping[str, Any], language: str) -> None:
    header, assigned = _HEADER[language]
    click.secho((header + (assigned if planned["assignee"] else "")).format(**planned), bold=True)
    for one in planned["clocks"]:
        click.echo(f"  {one['text']}")
    click.echo()
    for step in planned["steps"]:
        click.echo(f"  {step['text']}")


def _read_plan(file: Path) -> Any:
    try:
        return json.loads(file.read_text("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise click.ClickException(f"{file} is no output of clock plan --json: {error}") from error


def _compare(expected: Any, planned: Any, file: Path) -> None:
    found = list(differences("", expected, planned))
    for line in found:
        click.echo(line)
    if found:
        raise click.ClickException(f"not as in {file}, in {len(found)} place{'' if len(found) == 1 else 's'}")
    click.echo(f"As in {file}: {len(planned['clocks'])} clocks, {len(planned['steps'])} steps.")


def differences(place: str, expected: Any, found: Any) -> Iterator[str]:
    """Yield what differs, a line each, with its place; sentences (`text`) may be worded anew."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in [k for k in (*expected, *(found.keys() - expected.keys())) if k != "text"]:
            yield from differences(f"{place}.{key}".lstrip("."), expected.get(key), found.get(key))
    elif isinstance(expected, list) and isinstance(found, list):
        for number, (before, after) in enumerate(zip_longest(expected, found), start=1):
            yield from differences(f"{place}[{number}]", before, after)
    elif expected != found:
        yield f"{place}: expected {_short(expected)}, is {_short(found)}"


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return value.get("text", "something") if value else "nothing"
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)
