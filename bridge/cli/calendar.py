"""`bridge calendar preview|apply|propose`: today's calendars for clocks that run already, and whose days they hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from bridge.cli.common import as_json, open_service, show_json
from bridge.cli.revising import apply, as_object, show_preview
from bridge.reports.recompute import CalendarChange
from bridge.reports.rulebook import Rulebook
from bridge.service import Service
from config.calendars import HolidayYear
from config.proposals import CalendarFile, days_of, read_calendar


@click.group()
def calendar() -> None:
    """Calendars: which days off are confirmed, and what a changed one does to open reports."""


@calendar.command("preview")
@click.argument("name", default="")
@click.option("--most", default=50, show_default=True, type=click.IntRange(0), help="Moves to list.")
@as_object
def preview(name: str, most: int, as_json: bool) -> None:
    """Say which open reports move if today's calendars are applied, from when to when, and which become overdue.

    NAME is a file of calendars/ without its ending; without it, all of them. Nothing is changed.

    Example: bridge calendar preview jakarta
    """
    service = open_service(need_rules=True)
    show_preview(service, _change(service, name), as_json=as_json, most=most)


@calendar.command("apply")
@click.argument("name", default="")
@click.option("--reason", required=True, help="Why, such as the decree; kept in the history of every report.")
def apply_calendar(name: str, reason: str) -> None:
    """Give open clocks today's calendar of their office. Stopped half-way, doing it again does the rest.

    Example: bridge calendar apply jakarta --reason "SKB 3 Menteri: cuti bersama 28 Desember"
    """
    service = open_service(need_rules=True)
    apply(service, _change(service, name), reason)


@calendar.command("propose")
@click.argument("name", default="")
@click.option("--write", "year", type=int, default=None, help="Confirm this year as it is listed, in the file.")
@click.option("--source", default="", help="The decree you compared it with; for --write.")
@as_json
def propose(name: str, year: int | None, source: str, as_json: bool) -> None:
    """List for each year which days off the library proposes, and which a person has confirmed.

    NAME is a file of calendars/ without its ending; without it, all of them. With --write the year is confirmed: the
    days are then read from the file, and an upgrade of the library does not change them.

    Example: bridge calendar propose jakarta --write 2027 --source "SKB 3 Menteri"
    """
    service = open_service(with_texts=False)
    names = _names(service.configuration.rulebook, name)
    files = {one: read_calendar(service.settings.config_dir, one) for one in names}
    if year is not None:
        _confirm(files, year, source)
    elif as_json:
        show_json([row for one, file in files.items() for found in file.years for row in _rows(one, found)])
    else:
        for one, file in files.items():
            for found in file.years:
                _print_year(one, found)


def _confirm(files: Mapping[str, CalendarFile], year: int, source: str) -> None:
    if len(files) != 1:
        raise click.UsageError(f"name the calendar to write: {', '.join(files)}")
    if not source.strip():
        raise click.UsageError("--write needs --source, the decree you compared the days with")
    ((name, file),) = files.items()
    found = next((one for one in file.years if one.year == year), None)
    if found is None or not found.proposed:
        raise click.ClickException(f"the library proposes nothing for {year} in {name}; see its `years`")
    if found.source:
        raise click.ClickException(f"{year} is confirmed already ({found.source}); edit {file.path}")
    try:
        file.confirm(found, source.strip())
    except OSError as error:
        raise click.ClickException(f"{file.path} cannot be written: {error.strerror}") from error
    click.echo(f"{len(found.proposed)} days off of {year} are confirmed in {file.path}. Then: bridge config check")


def _print_year(name: str, year: HolidayYear) -> None:
    state = f"confirmed: {year.source}" if year.source else "a proposal of the library; nobody has confirmed it"
    click.secho(f"{name} {year.year}  {state}", bold=True)
    for day in days_of(year):
        remark = "  (estimated)" if day.estimated else ""
        if year.source and day.here != "both":
            remark += f"  ← only {'confirmed' if day.here == 'confirmed' else 'in the library'}"
        click.echo(f"  {day.on:%a %Y-%m-%d}  {day.name}{remark}")


def _rows(name: str, year: HolidayYear) -> Iterator[dict[str, Any]]:
    for day in days_of(year):
        yield {"calendar": name, "year": year.year, "source": year.source or None, **vars(day)}


def _names(book: Rulebook, name: str) -> list[str]:
    if name and name not in book.calendars:
        raise click.ClickException(f"no calendar {name!r}; there are {', '.join(sorted(book.calendars))}")
    return [name] if name else sorted(book.calendars)


def _change(service: Service, name: str) -> CalendarChange:
    book = service.rules.book
    _names(book, name)
    return CalendarChange(book, name)


COMMANDS = (calendar,)
