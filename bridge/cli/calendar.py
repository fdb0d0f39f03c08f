"""`bridge calendar preview|apply`: today's calendars for clocks that run already."""

from __future__ import annotations

import click

from bridge.cli.common import open_service
from bridge.cli.revising import apply, as_object, show_preview
from bridge.reports.recompute import CalendarChange
from bridge.service import Service


@click.group()
def calendar() -> None:
    """Calendars: what a changed one does to open reports."""


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


def _change(service: Service, name: str) -> CalendarChange:
    book = service.rules.book
    if name and name not in book.calendars:
        raise click.ClickException(f"no calendar {name!r}; there are {', '.join(sorted(book.calendars))}")
    return CalendarChange(book, name)


COMMANDS = (calendar,)
