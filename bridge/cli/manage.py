"""`bridge people …` and `bridge simulate`."""

from __future__ import annotations

import hashlib
import re
import secrets
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.common import as_json, moment, open_service, show_json, show_table
from bridge.reports.people import Person, Role
from bridge.words import when

if TYPE_CHECKING:
    from config.channels import Channels


@click.group()
def people() -> None:
    """Who works here: roles, absence, passwords."""


def _new_person_id(_: click.Context, __: click.Parameter, value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", value):
        raise click.BadParameter(f"{value!r}: small letters, digits, dot, dash and underscore, at most 64")
    return value


@people.command("add")
@click.argument("person_id", callback=_new_person_id)
@click.option("--name", required=True)
@click.option("--role", required=True, type=click.Choice([v.value for v in Role]))
@click.option("--office", required=True, help="An office of offices.toml.")
@click.option("--email", default="", help="Where notices go; without it only to the desk.")
@click.option("--element", type=click.Choice(["government", "consumer", "business", ""]), default="")
@click.option("--language", type=click.Choice(["id", "en"]), default="id", show_default=True)
def add(person_id: str, name: str, role: str, office: str, email: str, element: str, language: str) -> None:
    """Add a person, or change one; then set a password.

    Example: bridge people add ani --name "Ani" --role officer --office bpsk-dki --email ani@bpsk.example
    """
    from bridge.storage import people as stored

    service = open_service(need_rules=True)
    offices = service.configuration.rulebook.offices
    if office not in offices:
        raise click.ClickException(f"no office {office!r}; offices.toml has {', '.join(offices)}")
    if email and not (email.isascii() and email.count("@") == 1 and " " not in email):
        raise click.ClickException(f"{email!r} is not a mail address")
    person = Person(person_id, name, Role(role), office, email, element, language)
    with service.database.write() as connection:
        stored.save(connection, person)
    click.echo(f"{name} is here. Let them log in: bridge people password {person_id}")


@people.command("list")
@as_json
def list_people(as_json: bool) -> None:
    """List everybody, with how many open reports each has.

    Example: bridge people list
    """
    from bridge.storage import people as stored
    from bridge.storage.reports import open_by_assignee

    service = open_service(need_rules=True)
    with service.database.read() as connection:
        everybody, load = stored.active(connection), open_by_assignee(connection)
        now = service.database.now(connection)
    rows = [{**vars(p), "present": p.is_present(now), "open_reports": load.get(p.person_id, 0)} for p in everybody]
    if as_json:
        show_json(rows)
    else:
        show_table(rows, ("person_id", "name", "role", "office", "element", "email", "present", "open_reports"))


@people.command("absent")
@click.argument("person_id")
@click.option("--from", "since", default="", help="Date or time, Jakarta; default now.")
@click.option("--until", default="", help="Date or time, Jakarta; open without it.")
@click.option("--back", is_flag=True, help="Present again.")
def absent(person_id: str, since: str, until: str, back: bool) -> None:
    """Mark somebody absent: nothing is assigned to them, ladders pass them by.

    Example: bridge people absent ani --until 2026-12-28
    """
    from bridge.storage import people as stored

    service = open_service(need_rules=True)
    begin = None if back else (moment(since) if since else datetime.now(UTC))
    end = moment(until) if until and not back else None
    if begin and end and end <= begin:
        raise click.ClickException(
            f"absent until {when(end, 'en')} would be over before it begins, {when(begin, 'en')}"
        )
    with service.database.write() as connection:
        stored.set_absence(connection, person_id, begin, end)
    span = (
        f"absent from {when(begin, 'en')} until {when(end, 'en') if end else 'somebody says --back'}"
        if begin
        else "present again"
    )
    click.echo(f"{person_id} is {span}.")


@people.command("tell")
@click.argument("person_id")
@click.option("--channels", default=None, help='In order: "email telegram:8123456". See: bridge channels list')
@click.option("--quiet", default=None, help="No hurry, no notice: 20:00-06:00. Empty: never quiet.")
@click.option("--digest", default=None, help='What has no hurry comes together, at "07:30 13:00". Empty: at once.')
@click.option("--off", default=None, help='Not to be told: any of "warning amended withdrawn". Empty: all is.')
@click.option("--stand-in", default=None, help="Who is told while they are absent. Empty: nobody.")
def tell(person_id: str, **wishes: str | None) -> None:
    """Say how somebody is told. A report given to them and what climbed to them they always hear of, at once.

    Example: bridge people tell ani --channels "email telegram:8123456" --quiet 20:00-06:00 --stand-in budi
    """
    from bridge.storage import people as stored

    service = open_service(need_rules=True)
    with service.database.read() as connection:
        person = stored.one(connection, person_id)
        changed = wished(wishes, service.configuration.channels)
        if changed.get("stand_in"):
            stored.one(connection, changed["stand_in"])
    if changed.get("stand_in") == person.person_id:
        raise click.ClickException("nobody stands in for themselves")
    if changed:
        with service.database.write() as connection:
            stored.set_fields(connection, person_id, **changed)
    told = {name: getattr(person, name) for name in ("channels", "quiet", "digest", "turned_off", "stand_in")} | changed
    for name, value in told.items():
        click.echo(f"{name:12} {' '.join(value) if isinstance(value, list | tuple) else value or '-'}")


def wished(wishes: dict[str, str | None], channels: Channels) -> dict[str, Any]:
    """Return what of a person's wishes changes, checked.

    Raises:
        ClickException: one of them cannot be read.
    """
    from bridge.reports.channels import name_of
    from bridge.reports.preferences import MAY_TURN_OFF, BadTimes, digest_times, quiet_hours

    given = {name: text for name, text in wishes.items() if text is not None}
    entries, off = given.get("channels", "").split(), given.get("off", "").split()
    known = {**channels.sources, **channels.unset}
    for entry in entries:
        if name_of(entry) not in known:
            raise click.ClickException(f"no channel {name_of(entry)!r}; channels.toml has {', '.join(known)}")
    for event in off:
        if event not in MAY_TURN_OFF:
            raise click.ClickException(f"{event!r} cannot be turned off; only {', '.join(MAY_TURN_OFF)} can")
    try:
        quiet_hours(given.get("quiet", ""))
        digest_times(given.get("digest", ""))
    except BadTimes as error:
        raise click.ClickException(str(error)) from error
    columns = {"channels": entries, "turned_off": off, "stand_in": given.get("stand_in") or None}
    named = {"off": "turned_off"}
    return {named.get(name, name): columns.get(named.get(name, name), text) for name, text in given.items()}


@people.command("password")
@click.argument("person_id")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read it from standard input.")
def password(person_id: str, from_stdin: bool) -> None:
    """Set somebody's password.

    Example: bridge people password ani
    """
    from bridge.auth import hash_password
    from bridge.storage import people as stored

    text = sys.stdin.readline().strip() if from_stdin else _asked()
    if len(text) < 10:
        raise click.ClickException("a password needs at least 10 characters")
    service = open_service(need_rules=True)
    with service.database.write() as connection:
        stored.set_fields(connection, person_id, password_hash=hash_password(text))
    click.echo(f"{person_id} can log in at {service.settings.public_url}/desk/")


@people.command("token")
@click.argument("person_id")
def token(person_id: str) -> None:
    """Make a bearer token for the API in somebody's name; the old one ends. It is shown once.

    Example: bridge people token ani
    """
    from bridge.storage import people as stored

    service = open_service(need_rules=True)
    made = f"bridge_{secrets.token_urlsafe(32)}"
    with service.database.write() as connection:
        stored.set_fields(connection, person_id, token_hash=hashlib.sha256(made.encode()).hexdigest())
    click.echo(made)


@people.command("remove")
@click.argument("person_id")
def remove(person_id: str) -> None:
    """Let somebody go: no log-in, no assignment. Their name stays in the history.

    Example: bridge people remove ani
    """
    from bridge.storage import people as stored

    service = open_service(need_rules=True)
    with service.database.write() as connection:
        stored.set_fields(connection, person_id, active=0)
    click.echo(f"{person_id} is gone; reports on that desk go on up their ladders.")


@click.command()
@click.option("--reports", "count", default=10, show_default=True, type=click.IntRange(1, 1_000_000))
@click.option("--rate", default=0.0, show_default="as fast as it goes", help="Reports per second.")
@click.option("--source", default="qlue", show_default=True)
@click.option("--duplicates", default=0, show_default=True, type=click.IntRange(0, 100), help="Percent sent twice.")
@click.option(
    "--faults", default=0, show_default=True, type=click.IntRange(0, 100), help="Percent that are no valid report."
)
@click.option("--seed", default=1, show_default=True, help="The same seed tells the same stories.")
@click.option("--url", default="", help="Where to send; default the public URL.")
@click.option("--parallel", default=4, show_default=True, type=click.IntRange(1, 64))
@as_json
def simulate(
    count: int,
    rate: float,
    source: str,
    duplicates: int,
    faults: int,
    seed: int,
    url: str,
    parallel: int,
    as_json: bool,
) -> None:
    """Be a city app: send believable signed complaints and count what comes back.

    Example: bridge simulate --reports 100 --rate 20 --duplicates 5
    """
    from bridge.schemes import Headers
    from bridge.simulation.city import Plan, run

    service = open_service()
    found = service.configuration.sources.get(source)
    if found is not None and found.scheme == "open311":
        raise click.ClickException("Open311 clients post forms, not webhooks; docs/open311.md shows one with curl")
    if found is None or not found.keys:
        raise click.ClickException(f"source {source!r} has no key here; set the variable sources.toml names for it")
    plan = Plan(
        url=f"{url or service.settings.public_url}/webhooks/{source}",
        key=found.keys[0],
        reports=count,
        rate=rate,
        duplicates=duplicates,
        faults=faults,
        seed=seed,
        parallel=parallel,
        scheme=found.scheme,
        headers=Headers(found.header, found.id_header),
    )
    with click.progressbar(length=plan.total, label="Sending", file=sys.stderr) as bar:
        tally = run(plan, bar.update)
    if as_json:
        show_json(vars(tally))
    else:
        click.echo(tally.in_words())
    raise SystemExit(0 if tally.unanswered == 0 else 1)


def _asked() -> str:
    answer: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return answer


COMMANDS = (people, simulate)
