"""`bridge channels`: the ways to tell people, and whether each works."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from bridge.cli.common import as_json, open_service, show_json, show_table
from bridge.service import Service


@click.group()
def channels() -> None:
    """The ways to tell people: mail, an office's own system, messengers."""


@channels.command("list")
@as_json
def list_channels(as_json: bool) -> None:
    """List the channels of channels.toml: set or not, how many people use each, in trouble or not.

    Example: bridge channels list
    """
    from bridge.reports.channels import name_of
    from bridge.storage import destinations, people

    service = open_service(need_rules=True)
    configured = service.configuration.channels
    with service.database.read() as connection:
        used = [name_of(entry) for person in people.active(connection) for entry in person.channels]
        trouble = {one.destination: one for one in destinations.troubled(connection)}
        now = service.database.now(connection)
    kinds = {name: source.kind for name, source in configured.sources.items()}
    rows: list[dict[str, Any]] = []
    for name in [*kinds, *configured.unset]:
        breaker = trouble.get(name)
        variable = configured.unset.get(name)
        rows.append(
            {
                "channel": name,
                "kind": kinds.get(name, "-"),
                "people": used.count(name),
                "state": f"{variable} is not set" if variable else breaker.state(now) if breaker else "closed",
                "failures": breaker.failures if breaker else 0,
                "last_error": breaker.last_error if breaker else None,
            }
        )
    if as_json:
        show_json(rows)
    else:
        show_table(rows, ("channel", "kind", "people", "state", "failures", "last_error"))


@channels.command("test")
@click.argument("channel")
@click.option("--to", "person_id", required=True, help="A person; their address on this channel is taken.")
def test(channel: str, person_id: str) -> None:
    """Send somebody a test notice by one channel, now, and say what was answered.

    Example: bridge channels test email --to ani
    """
    from bridge.reports.channels import name_of
    from bridge.storage import people
    from bridge.trying_channels import try_channels

    service = open_service(need_rules=True)
    with service.database.read() as connection:
        person = people.one(connection, person_id)
    _known(service, channel)
    entries = tuple(entry for entry in person.channels if name_of(entry) == channel) or (channel,)
    tried = try_channels(replace(person, channels=entries), service.ways, service.new_outlets(), service.links)
    if not tried:
        raise click.ClickException(f"{person_id} has no address on {channel}")
    (one,) = tried
    answer = " ".join(str(part) for part in (one.status, one.answer) if part)
    if not one.taken:
        raise click.ClickException(f"not taken: {answer}")
    click.echo(f"Taken by {channel} in {one.duration_ms} ms{': ' + answer if answer else ''}.")


def _known(service: Service, channel: str) -> None:
    configured = service.configuration.channels
    if channel in configured.unset:
        raise click.ClickException(f"{channel}: {configured.unset[channel]} is not set")
    if channel not in configured.sources:
        known = ", ".join(configured.sources)
        raise click.ClickException(f"no channel {channel!r} in channels.toml; usable here: {known}")


COMMANDS = (channels,)
