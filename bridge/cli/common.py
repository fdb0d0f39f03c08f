"""What the commands share: the service, JSON and tables, who is at the keyboard."""

from __future__ import annotations

import getpass
import json
import logging
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge import logs, tracing
from bridge.reports.moves import Actor
from bridge.reports.tickets import read_ticket
from bridge.service import Service
from bridge.words import LANGUAGES, ZONE

if TYPE_CHECKING:
    from bridge.rules import Rules

#: Nobody needs a progress bar for less, in seconds.
PATIENCE_S = 2.0
in_language = click.option("--lang", type=click.Choice(LANGUAGES), default="en", show_default=True, help="Of the text.")
as_json = click.option("--json", "as_json", is_flag=True, help="An array of objects with stable keys.")


def open_service(*, need_rules: bool = False, quiet: bool = True, with_texts: bool = True) -> Service:
    """Return the service of this environment; `quiet` keeps the log of what goes well out of a command's output.

    Without `with_texts` nothing is read of what notices say.

    Raises:
        BadSettings: the environment or a file cannot be used.
        NotMigrated: the database has not the schema this version needs (with `need_rules`).
    """
    service = Service.from_environment(with_texts=with_texts)
    logs.configure(service.settings.log, least=logging.WARNING if quiet else logging.INFO)
    tracing.configure(service.settings.traces)
    if need_rules:
        from bridge.storage.migrate import check

        check(service.database)
        service.rules.prepare()
    return service


def lost_offices(rules: Rules) -> list[str]:
    """Return what to do about open reports of offices that are no more, a line for each office."""
    return [
        f"{count} open report{'' if count == 1 else 's'} with {office}, which offices.toml no longer names: list them "
        f"with bridge reports list --office {office}, give each to another with bridge reports transfer TICKET OFFICE "
        f"--reason …, or name {office} again"
        for office, count in rules.lost_offices().items()
    ]


def unknown_people(rules: Rules) -> list[str]:
    """Return which persons ladders name that are not here, a line for each."""
    return [
        f"policies.toml: {', '.join(sorted(clocks))}: person:{name} is nobody here, and that rung is passed over; run: "
        f"bridge people add {name} …, or name somebody else"
        for name, clocks in rules.unknown_people().items()
    ]


def earlier_calendars(rules: Rules) -> list[str]:
    """Return how many open clocks are counted by a calendar from before a change, a line for each calendar."""
    return [
        f"{count} open clock{' is' if count == 1 else 's are'} counted by the calendar {name} as it was before its "
        f"file, or the rules of its time zone, changed; what would move: bridge calendar preview {name}"
        for name, count in rules.earlier_calendars().items()
    ]


def ticket_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument TICKET, in any way a person may write it."""
    return click.argument("ticket", callback=ticket_option)(function)


def ticket_option(_: click.Context, __: click.Parameter, value: str) -> str:
    """Read a ticket in any way a person may write it."""
    ticket = read_ticket(value)
    if ticket is None:
        raise click.BadParameter(f"{value!r} is not a ticket like K7Q2-9XWM-4T8K; check for a slip")
    return ticket


def optional_ticket(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Read a ticket given as an option; empty means any."""
    return ticket_option(context, parameter, value) if value else ""


def event_in(file: Path) -> dict[str, Any]:
    """Return the checked event of a file that holds a webhook's body as a city sends it.

    Raises:
        ClickException: the file is none.
    """
    from bridge.strict_json import NotJson, loads
    from schemas.city import NotAReport, load_event

    try:
        return load_event(loads(file.read_bytes()))
    except (NotJson, NotAReport) as error:
        raise click.ClickException(f"{file} is not a report: {error}") from error


def moment(text: str) -> datetime:
    """Return a date or time a person typed; without a zone it is Jakarta's.

    Raises:
        ClickException: it is neither.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.ClickException(f"{text!r} is not a date or time like 2026-12-28 or 2026-12-28T08:00") from error
    return at if at.tzinfo else at.replace(tzinfo=ZONE)


def me() -> Actor:
    """Return who acts when a move is made at the keyboard of the server."""
    return Actor(f"cli:{getpass.getuser()}")


class Bar:
    """A progress bar that comes when the work takes longer than one likes to wait without one."""

    def __init__(self, stack: ExitStack, label: str) -> None:
        self._stack, self._label, self._began, self._shown = stack, label, time.monotonic(), 0
        self._bar: Any = None

    def __call__(self, done: int, total: int) -> None:
        if self._bar is None and time.monotonic() - self._began > PATIENCE_S:
            self._bar = self._stack.enter_context(click.progressbar(length=total, label=self._label, file=sys.stderr))
        if self._bar is not None:
            self._bar.update(max(0, done - self._shown))
            self._shown = max(done, self._shown)


def clock_time(at: datetime) -> str:
    """Return an instant to the second, with its zone: `2026-11-24 10:12:05 WIB`, wherever the server's clock is set."""
    return at.astimezone(ZONE).strftime("%Y-%m-%d %H:%M:%S %Z")


def show_json(rows: Any) -> None:
    """Print rows as JSON."""
    click.echo(json.dumps(rows, default=_plain, ensure_ascii=False, indent=2))


def one_json(row: Any) -> str:
    """Return a row as JSON on one line, as show_json has it."""
    return json.dumps(row, default=_plain, ensure_ascii=False)


def show_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print rows as a table of these columns."""
    lines = [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max([len(column), *(len(line[i]) for line in lines)]) for i, column in enumerate(columns)]
    click.secho("  ".join(c.upper().ljust(w) for c, w in zip(columns, widths, strict=True)).rstrip(), bold=True)
    for line in lines:
        click.echo("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return clock_time(value)
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value) or "-"
    return str(value)[:60]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return list(value) if isinstance(value, tuple | set | frozenset) else str(value)
