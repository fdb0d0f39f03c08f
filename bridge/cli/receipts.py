"""`bridge receipts`: what was accepted from a source, and a city's own list held against it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

import click

from bridge.cli.common import as_json, clock_time, moment, one_json, open_service, show_json
from bridge.cli.progress import LateBar

if TYPE_CHECKING:
    from bridge.receipts.comparing import Comparison, Difference
    from bridge.receipts.proof import Proofs
    from bridge.receipts.watermark import Complete
    from bridge.storage.listed import Listed

_GROUPED = 1000
_WORDS = {
    "missing_here": "missing here",
    "missing_there": "missing there",
    "different_body": "different body",
    "not_accepted": "not accepted",
    "may_be_on_its_way": "may still be on its way",
    "lost": "LOST: we answered 202 and do not have it",
}


@click.group()
def receipts() -> None:
    """Proof of what was accepted from a source, and what is missing on either side."""


def _moment(_: click.Context, __: click.Parameter, value: str) -> datetime | None:
    return moment(value) if value else None


def _spanned(*, needed: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add --since and --until."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        given: dict[str, Any] = {"required": True} if needed else {"default": ""}
        until = click.option("--until", callback=_moment, help="Only what we received before.", **given)
        since = click.option("--since", callback=_moment, help="Only what we received then or later.", **given)
        return since(until(function))

    return add


@contextmanager
def _open(source: str) -> Iterator[Proofs]:
    from bridge.receipts.proof import proofs
    from bridge.storage.migrate import check

    service = open_service()
    if source not in service.configuration.sources:
        known = ", ".join(service.configuration.sources)
        raise click.ClickException(f"no source {source!r}; sources.toml has {known}")
    check(service.database)
    with proofs(service, source) as found:
        yield found


@receipts.command("show")
@click.argument("source")
@click.argument("webhook_id")
@click.option("--json", "as_json", is_flag=True, help="An object.")
def show_receipt(source: str, webhook_id: str, as_json: bool) -> None:
    """Show the receipt of one webhook.

    Example: bridge receipts show qlue msg_2KWPBgLlAfxdpx2AI54pPJ85f4W
    """
    with _open(source) as found:
        receipt = found.one(webhook_id)
    if receipt is None:
        raise click.ClickException(f"{source} has no receipt for {webhook_id}. {_completeness(found.complete)}")
    if as_json:
        show_json(receipt)
        return
    for name, value in receipt.items():
        shown = "; ".join(f"{one['sha256']} ({one['aside']})" for one in value) if isinstance(value, list) else value
        click.echo(f"{name:<13} {shown if shown not in (None, '') else '-'}")


@receipts.command("list")
@click.argument("source")
@_spanned(needed=True)
@as_json
def list_receipts(source: str, since: datetime, until: datetime, as_json: bool) -> None:
    """List what was accepted in a span, in order of arrival.

    Example: bridge receipts list qlue --since 2026-11-24 --until 2026-11-25
    """
    from bridge.storage.receipts import Span

    with _open(source) as found:
        rows = found.in_order(Span(since, until))
        if as_json:
            _stream("[", rows, "]")
            return
        for row in rows:
            at = clock_time(row["received_at"])
            click.echo(f"{at}  {row['sha256']}  {row['ticket'] or '-':<14}  {row['effect']:<10}  {row['webhook_id']}")


@receipts.command()
@click.argument("source")
@click.argument("file", type=click.File(encoding="utf-8-sig", errors="surrogateescape"))
@_spanned(needed=False)
@click.option(
    "--complete-until",
    callback=_moment,
    default="",
    help="You have seen that nothing received before waits in RabbitMQ or in a spool (docs/receipts.md).",
)
@click.option("--json", "as_json", is_flag=True, help="An object: differences, counts, complete_until.")
def compare(
    source: str,
    file: TextIO,
    since: datetime | None,
    until: datetime | None,
    complete_until: datetime | None,
    as_json: bool,
) -> None:
    """Hold a city's own list against our receipts; exit code 1 when they do not agree.

    FILE is CSV with the columns webhook_id and sha256 (commas, semicolons or tabs between), JSON objects with these
    keys (an array, or one after the other), or our own manifests, all in UTF-8; - reads standard input. Where it has
    sent_at, or received_at from our answers, it can be told what is only young, and what was lost. --since and --until
    say which of our receipts have to be in the list.

    Example: bridge receipts compare qlue sent-in-november.csv --since 2026-11-01 --until 2026-12-01
    """
    from bridge.receipts.comparing import Comparison
    from bridge.receipts.watermark import Complete
    from bridge.storage.listed import Listed
    from bridge.storage.receipts import Span

    span = Span(since, until)
    with ExitStack() as stack:
        listed = stack.enter_context(closing(Listed()))
        _read(file, listed)
        found = stack.enter_context(_open(source))
        bar = LateBar(stack, "Comparing", len(listed) + found.count(span))
        complete = Complete(complete_until) if complete_until else found.complete
        comparison = Comparison(found, listed, span, complete, bar)
        (_show_json if as_json else _show_text)(comparison)
    raise SystemExit(0 if comparison.agrees else 1)


def _read(file: TextIO, listed: Listed) -> None:
    from bridge.receipts.lists import BadList, entries

    with ExitStack() as stack:
        bar = LateBar(stack, "Reading")
        try:
            listed.add(_counted(entries(file), bar))
        except BadList as error:
            raise click.ClickException(f"{file.name}: {error}") from error


def _counted(rows: Iterable[Any], bar: LateBar) -> Iterator[Any]:
    for number, row in enumerate(rows, start=1):
        yield row
        if number % _GROUPED == 0:
            bar(_GROUPED)


def _show_json(comparison: Comparison) -> None:
    rows = ({name: value for name, value in vars(one).items() if value is not None} for one in comparison.differences())
    _stream('{"differences": [', rows, "],")
    rest = {"counts": comparison.counted(), "complete_until": comparison.complete.until}
    click.echo(one_json(rest)[1:])


def _show_text(comparison: Comparison) -> None:
    for one in comparison.differences():
        click.echo(_line(one))
    counts = comparison.counted()
    said = ", ".join(f"{counts[name]:,} {_WORDS[name]}" for name in ("missing_here", "missing_there", "different_body"))
    click.echo(f"{counts['same']:,} the same, {said}.")
    click.echo(_completeness(comparison.complete))


def _line(one: Difference) -> str:
    parts = [f"{_WORDS[one.what]:<14}  {one.webhook_id}"]
    parts += [f"there {one.sha256_there}"] if one.sha256_there else []
    parts += [f"here {one.sha256_here}"] if one.sha256_here else []
    parts += [clock_time(one.at)] if one.at else []
    parts += [one.ticket] if one.ticket else []
    parts += [_WORDS[one.hint]] if one.hint else []
    parts += [f"the other body lies aside: {one.aside}"] if one.aside else []
    return "  ".join(parts)


def _completeness(complete: Complete) -> str:
    if complete.until is None:
        return f"Nobody can tell from here until when this is complete: {complete.why}."
    at = clock_time(complete.until)
    return f"Complete until {at}: what is missing here was not accepted before then; later ones may be on their way."


def _stream(begin: str, rows: Iterable[Any], end: str) -> None:
    """Print an array piece by piece."""
    click.echo(begin, nl=False)
    for number, row in enumerate(rows):
        click.echo(("," if number else "") + "\n" + one_json(row), nl=False)
    click.echo("\n" + end)


COMMANDS = (receipts,)
