"""`bridge sources …`: trying a payload's mapping, and the keys of a source."""

from __future__ import annotations

import base64
import json
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.arrivals import as_sent, size_problems
from bridge.cli.common import as_json, moment, open_service, show_json, show_table
from bridge.words import when

if TYPE_CHECKING:
    from bridge.service import Service
    from bridge.storage.receipts import Activity
    from config.sources import Source

#: How long an old key goes on beside its successor, unless said otherwise.
OVERLAP = timedelta(hours=24)


@click.group()
def sources() -> None:
    """The city apps that send reports: their keys and payloads."""


def _source(service: Service, name: str) -> Source:
    found = service.configuration.sources.get(name)
    if found is None:
        known = ", ".join(service.configuration.sources)
        raise click.ClickException(f"no source {name!r}; sources.toml has {known}")
    return found


@sources.command("list")
@as_json
def list_sources(as_json: bool) -> None:
    """List the sources: how each proves itself, how many keys count, when it was last seen, what came in 24 hours.

    Example: bridge sources list
    """
    service = open_service()
    now = datetime.now(UTC)
    seen = _seen(service, now - timedelta(days=1))
    rows = [
        {
            "source": source.name,
            "name": source.title,
            "path": f"/webhooks/{source.name}",
            "scheme": source.scheme,
            "live_keys": len(service.keyring(source).live(now.timestamp())),
            "mapped": source.payload is not as_sent,
            "rate": source.rate or None,
            "callback_url": source.callback_url or None,
            "last_seen": seen[source.name].last_seen,
            "webhooks_24h": seen[source.name].webhooks,
            "set_aside_24h": sum(seen[source.name].set_aside.values()),
            "last_key": seen[source.name].last_key or None,
        }
        for source in service.configuration.sources.values()
    ]
    if as_json:
        show_json(rows)
    else:
        shown = ("source", "path", "scheme", "live_keys", "last_seen", "webhooks_24h", "set_aside_24h", "last_key")
        show_table(rows, shown)


def _seen(service: Service, since: datetime) -> dict[str, Activity]:
    """Return what came from each source; nothing where the database is not: a receiver has none."""
    from bridge.storage.database import DatabaseAway
    from bridge.storage.migrate import NotMigrated, check
    from bridge.storage.receipts import Activity, activity

    names = service.configuration.sources
    try:
        check(service.database)
        with service.database.read() as connection:
            return {name: activity(connection, name, since) for name in names}
    except (DatabaseAway, NotMigrated) as error:
        click.secho(f"Without what came in, which the database knows: {error}", fg="yellow", err=True)
        return dict.fromkeys(names, Activity(None, "", 0, {}, {}))


@sources.command("test")
@click.argument("source")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def test_source(source: str, file: Path) -> None:
    """Show the report a source's payload becomes, or each fault in words; nothing is sent or stored.

    Example: bridge sources test jaki payload.json
    """
    from bridge.strict_json import NotJson
    from schemas.city import NotAReport, load_event

    service = open_service()
    name = _source(service, source).name
    if _source(service, source).scheme == "open311":
        raise click.ClickException("Open311 clients post forms; docs/open311.md shows how to try one")
    body = file.read_bytes()
    if too_large := size_problems(body):
        raise click.ClickException(f"{file} is not a report of {name}: {too_large[0]} and answers 413 to this one")
    try:
        event = service.arrivals.payload(name, "test", body)
        click.echo(json.dumps(event, indent=2, ensure_ascii=False))
        load_event(event)
    except (NotJson, NotAReport) as error:
        problems = error.problems if isinstance(error, NotAReport) else [str(error)]
        for problem in problems:
            click.secho(f"  - {problem}", fg="yellow", err=True)
        raise click.ClickException(f"{file} is not a report of {name}; it would be set aside") from error
    click.secho(f"This would be accepted as a report of {name}.", fg="green", err=True)


@sources.group()
def key() -> None:
    """The keys a source may sign with: several count at a time, so that one is changed without a gap."""


@key.command("list")
@click.argument("source")
@as_json
def list_keys(source: str, as_json: bool) -> None:
    """List a source's keys by id, and from when to when each counts; never their texts.

    Example: bridge sources key list qlue
    """
    service = open_service()
    now_s = datetime.now(UTC).timestamp()
    rows = [
        {
            "id": one.id,
            "counts_now": one.counts(now_s),
            "not_before": one.not_before,
            "not_after": one.not_after,
            "kept_in": "data folder" if one.made else _source(service, source).secret_names,
        }
        for one in service.keyring(_source(service, source)).known()
    ]
    if as_json:
        show_json(rows)
    else:
        show_table(rows, ("id", "counts_now", "not_before", "not_after", "kept_in"))


@key.command("new")
@click.argument("source")
@click.option("--from", "since", default="", help="Date or time, Jakarta; default now.")
@click.option("--until", default="", help="Date or time, Jakarta; default for good.")
@click.option("--key", "text", default="", help="A key the source made itself; `-` asks for it. Default: a new one.")
def new_key(source: str, since: str, until: str, text: str) -> None:
    """Make a key for a source and show it, once; it counts within a second, without a restart, on this machine.

    Example: bridge sources key new qlue
    """
    service = open_service()
    ring, scheme = service.keyring(_source(service, source)), _source(service, source).scheme
    if text == "-":
        text = click.prompt("Key", hide_input=True)
    begin, end = moment(since) if since else None, moment(until) if until else None
    if end and end <= (begin or datetime.now(UTC)):
        raise click.ClickException("it would end before it begins")
    made = text or _made(scheme, source)
    name = ring.add(made, not_before=begin, not_after=end)
    click.echo(
        f"Key {name} of {source} counts from {when(begin, 'en') if begin else 'now'}"
        f"{' until ' + when(end, 'en') if end else ''}."
    )
    if not text:
        click.echo("Give it to the city over a safe way; it is not shown again:")
        click.echo(f"  {made}")
    others = [one.id for one in ring.known() if one.id != name and one.not_after is None]
    if others:
        click.echo(f"When the city has changed over: bridge sources key retire {source} {others[0]}")


@key.command("retire")
@click.argument("source")
@click.argument("key_id")
@click.option("--at", default="", help="Date or time, Jakarta; default in 24 hours.")
@click.option("--now", "at_once", is_flag=True, help="At once: the key is in wrong hands.")
def retire_key(source: str, key_id: str, at: str, at_once: bool) -> None:
    """End a key; until then the old and the new one both count. What has ended stays ended.

    Example: bridge sources key retire qlue 3fk2m7qa
    """
    from bridge.keyring import EndedBefore

    service = open_service()
    ring = service.keyring(_source(service, source))
    found = next((one for one in ring.known() if one.id == key_id), None)
    if found is None:
        raise click.ClickException(f"{source} has no key {key_id!r}; see: bridge sources key list {source}")
    now = datetime.now(UTC)
    end = now if at_once else moment(at) if at else now + OVERLAP
    try:
        ring.retire(key_id, end, now=now)
    except EndedBefore as error:
        raise click.ClickException(
            f"key {key_id} of {source} has not counted since {when(error.at, 'en')}, and an end never brings it back. "
            f"A new one: bridge sources key new {source}"
        ) from error
    click.echo(f"Key {key_id} of {source} counts until {when(end, 'en')}.")
    left = [one for one in ring.known() if one.id != key_id and (one.not_after is None or one.not_after > end)]
    if not left:
        click.secho(
            f"Then {source} has no key and answers 401 to everybody. First: bridge sources key new {source}",
            fg="yellow",
            err=True,
        )


def _made(scheme: str, source: str) -> str:
    if scheme == "standard-webhooks":
        return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode("ascii")
    random = secrets.token_urlsafe(32)
    return f"{source}:{random}" if scheme == "basic" else random


COMMANDS = (sources,)
