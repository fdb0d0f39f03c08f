"""`bridge notices preview`: what people read in the mail, before anybody does."""

from __future__ import annotations

import click

from bridge.cli.common import in_language, open_service, optional_ticket


@click.group()
def notices() -> None:
    """The mail people get."""


@notices.command("preview")
@click.argument("kind")
@in_language
@click.option("--ticket", default="", callback=optional_ticket, help="A real report, with its real deadlines.")
@click.option("--to", "person_id", default="", metavar="PERSON", help="Whom it greets; a sample person without it.")
@click.option("--html", "as_html", is_flag=True, help="The HTML instead of subject and text.")
def preview(kind: str, lang: str, ticket: str, person_id: str, *, as_html: bool) -> None:
    """Print a notice as it would be sent. Nothing is sent, and its one-click link does not work.

    Example: bridge notices preview escalation --lang id
    """
    from bridge.delivery.notices import KINDS
    from bridge.previewing import preview

    if kind not in KINDS:
        raise click.BadParameter(f"no kind {kind!r}; there are {', '.join(KINDS)}", param_hint="KIND")
    service = open_service(need_rules=bool(ticket or person_id))
    notice = preview(service, kind, lang, ticket=ticket, person_id=person_id)
    click.echo(notice.html if as_html else f"{notice.subject}\n\n{notice.text}", nl=False)


COMMANDS = (notices,)
