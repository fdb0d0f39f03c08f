"""`bridge up | receive | desk | work`: everything in one process, or the parts for several."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import click

from bridge import tracing
from bridge.cli.common import lost_offices, open_service
from bridge.running import CannotListen, Crew, serve
from bridge.service import Service


@click.command()
@click.option("--demo", is_flag=True, help="A pretend city app, people, and a ladder in seconds.")
def up(*, demo: bool) -> None:
    """Run everything in one process: way in, desk, citizens' pages, every step.

    Example: bridge up --demo
    """
    if demo:
        from bridge.demo import prepare_environment

        prepare_environment()
    service = open_service(quiet=demo)
    crew = Crew()
    crew.on_signals()
    _run_all(service, crew)
    _say_where(service)
    if demo:
        from bridge.demo import Demo

        Demo(service, crew).start()
    code = crew.wait()
    service.close()
    raise SystemExit(code)


@click.command()
def receive() -> None:
    """Run the way in only; it needs the queue, never the database.

    Example: BRIDGE_BROKER_URL=amqp://… bridge receive
    """
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces
    from granian.log import LogLevels

    service = open_service(quiet=False, with_texts=False)
    _warn(service)
    settings = service.settings
    click.echo(f"Receiving on http://{settings.listen_host}:{settings.listen_port}/webhooks/<source>")
    Granian(
        "bridge.receiver.wsgi:app",
        address=settings.listen_host,
        port=settings.listen_port,
        interface=Interfaces.WSGI,
        # HTTP/2 would let one connection hold all threads with stalled bodies; the front speaks HTTP/1.1.
        http=HTTPModes.http1,
        workers=settings.receiver_workers,
        blocking_threads=32,
        backlog=2048,
        respawn_failed_workers=True,
        log_level=LogLevels.warning,
    ).serve()


@click.command()
def desk() -> None:
    """Run the pages only: desk, citizens' page, API; they need the database, never the queue.

    Example: BRIDGE_DATABASE_URL=postgresql://… bridge desk
    """
    service = open_service(quiet=False)
    crew = Crew()
    crew.on_signals()
    _prepare(service, crew.stop)
    _serve(service, crew, ("desk",))
    click.echo(f"Desk on http://{service.settings.listen_host}:{service.settings.listen_port}/desk/")
    raise SystemExit(crew.wait())


@click.command()
@click.argument("steps", nargs=-1, required=True, metavar="STEP...")
def work(steps: tuple[str, ...]) -> None:
    """Run steps of the way, or `all`; see `ls consumers`.

    Example: bridge work take_in relay_outbox
    """
    from consumers.steps import STEPS, make_steps

    wanted = STEPS if steps == ("all",) else steps
    unknown = [step for step in wanted if step not in STEPS]
    if unknown:
        raise click.BadParameter(f"no such step: {', '.join(unknown)}; there are {', '.join(STEPS)}, or all")
    service = open_service(quiet=False)
    crew = Crew()
    crew.on_signals()
    _prepare(service, crew.stop)
    made = make_steps(service, crew.stop, wanted)
    for step in wanted:
        for number, run in enumerate(made[step]):
            crew.add(f"{step}-{number}", run)
    click.echo(f"Working: {', '.join(wanted)}")
    code = crew.wait()
    service.close()
    raise SystemExit(code)


def _run_all(service: Service, crew: Crew) -> None:
    from bridge.storage.migrate import HEAD, current, migrate
    from consumers.steps import STEPS, make_steps

    if current(service.database) != HEAD:  # looking costs nothing, alembic a third of a second
        migrate(service.database)
    _prepare(service, crew.stop)
    made = make_steps(service, crew.stop, STEPS)
    for step in STEPS:
        for number, run in enumerate(made[step]):
            crew.add(f"{step}-{number}", run)
    _serve(service, crew, ("receiver", "desk"))


def _prepare(service: Service, stop: threading.Event) -> None:
    from consumers.steps import prepare

    tracing.load()
    prepare(service, stop)
    if stop.is_set():
        raise SystemExit(1)
    _note(lost_offices(service.rules))


def _serve(service: Service, crew: Crew, parts: tuple[str, ...]) -> None:
    from bridge.app import create_app

    try:
        serve(create_app(service, parts), service.settings.listen_host, service.settings.listen_port, crew)
    except CannotListen as error:
        raise click.ClickException(str(error)) from error


def _say_where(service: Service) -> None:
    settings = service.settings
    _warn(service)
    mail = "sent" if settings.smtp_url else _short(settings.data_dir / "mail")
    # A command typed beside it must find the same data, those of the demo too.
    there = (
        ""
        if settings.data_dir.absolute() == Path("var").absolute()
        else f"BRIDGE_DATA_DIR={_short(settings.data_dir)} "
    )
    click.echo(
        f"""
Jembatan is up.
  Desk          {settings.public_url}/desk/
  Way in        {settings.public_url}/webhooks/<source>
  Health        {settings.public_url}/readyz
  Data          {_short(settings.data_dir)}   Mail: {mail}
  First person  {there}{_short(Path(sys.argv[0]))} people add ani --name "Ani" --role officer --office bpsk-dki
Stop with Ctrl-C; nothing is lost by it, nor by kill -9."""
    )


def _warn(service: Service) -> None:
    _note(service.configuration.notes)


def _note(lines: Iterable[str]) -> None:
    for line in lines:
        click.secho(f"Note: {line}", fg="yellow", err=True)


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


COMMANDS = (up, receive, desk, work)
