"""`bridge policies preview|apply`: today's policies for clocks that run already."""

from __future__ import annotations

import click

from bridge.cli.common import open_service
from bridge.cli.revising import apply, as_object, show_preview
from bridge.reports.recompute import PolicyChange
from bridge.service import Service


@click.group()
def policies() -> None:
    """Policies: what a changed one does to open reports."""


@policies.command("preview")
@click.argument("set_name", metavar="[SET]", default="")
@click.option("--most", default=50, show_default=True, type=click.IntRange(0), help="Moves to list.")
@as_object
def preview(set_name: str, most: int, as_json: bool) -> None:
    """Say which open reports move if today's policies are applied, from when to when, and which become overdue.

    SET is a set of policies.toml; without it, all of them. Nothing is changed.

    Example: bridge policies preview default
    """
    service = open_service(need_rules=True)
    show_preview(service, _change(service, set_name), as_json=as_json, most=most)


@policies.command("apply")
@click.argument("set_name", metavar="[SET]", default="")
@click.option("--reason", required=True, help="Why; kept in the history of every report.")
def apply_policies(set_name: str, reason: str) -> None:
    """Give open clocks today's policy of their set: steps that fired stay, no level is told again or falls.

    Stopped half-way, doing it again does the rest.

    Example: bridge policies apply default --reason "janji layanan baru: 2 jam kerja"
    """
    service = open_service(need_rules=True)
    apply(service, _change(service, set_name), reason)


def _change(service: Service, set_name: str) -> PolicyChange:
    book = service.rules.book
    if set_name and set_name not in book.policies:
        raise click.ClickException(f"no set {set_name!r}; policies.toml has {', '.join(sorted(book.policies))}")
    return PolicyChange(book, set_name)


COMMANDS = (policies,)
