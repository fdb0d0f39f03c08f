"""`bridge set-aside list|show|fix|release|discard`: the worklist of what no step could take."""

from __future__ import annotations

from typing import BinaryIO

import click

from bridge.cli.common import as_json, clock_time, me, open_service, show_json, show_table

why = click.option("--reason", required=True, help="Why; kept with the decision.")


@click.group("set-aside")
def set_aside() -> None:
    """Webhooks that are authentic but no valid report, and messages nobody could handle."""


@set_aside.command("list")
@click.option("--state", type=click.Choice(["waiting", "released", "discarded", "all"]), default="waiting")
@click.option("--most", default=500, show_default=True, type=click.IntRange(1, 1_000_000))
@as_json
def list_aside(state: str, most: int, as_json: bool) -> None:
    """List what waits for a person, oldest first.

    Example: bridge set-aside list
    """
    from bridge.storage import set_aside as stored

    service = open_service(need_rules=True)
    with service.database.read() as connection:
        found = stored.listed(connection, "" if state == "all" else state, most=most)
    names = ("id", "source", "webhook_id", "reasons", "received_at", "state", "why", "sha256")
    rows = [{name: row[name] for name in names} for row in found]
    if as_json:
        show_json(rows)
    else:
        show_table(rows, ("id", "received_at", "source", "webhook_id", "why", "reasons"))


@set_aside.command("show")
@click.argument("number", type=click.IntRange(1, 2**63 - 1))
@click.option("--raw", is_flag=True, help="Only the body that would be released, byte for byte.")
def show_aside(number: int, raw: bool) -> None:
    """Show one: what is wrong, what was decided, and its body, byte for byte where it is text.

    Example: bridge set-aside show 3
    """
    service = open_service(need_rules=True)
    looked = service.worklist.look(number, me().name)
    if raw:
        click.echo(looked.body, nl=False)
        return
    for name in ("id", "source", "webhook_id", "why", "state", "received_at", "sha256"):
        click.echo(f"{name:12} {looked.row[name]}")
    for reason in looked.row["reasons"]:
        click.secho(f"  - {reason}", fg="yellow")
    for line in looked.decisions:
        click.echo(f"  {clock_time(line['at'])}  {line['did']:10} {line['actor']}  {line['reason']}")
    if not looked.row["body"]:
        click.echo("Its content was erased: the report was forgotten.")
    click.echo(looked.original.decode("utf-8", "backslashreplace"))
    if looked.row["mended"]:
        click.secho("mended:", bold=True)
        click.echo(looked.body.decode("utf-8", "backslashreplace"))


@set_aside.command("fix")
@click.argument("number", type=click.IntRange(1, 2**63 - 1))
@click.argument("file", type=click.File("rb"))
@why
def fix(number: int, file: BinaryIO, reason: str) -> None:
    """Keep a mended body, from FILE or - for standard input; what is still wrong is printed, and nothing is kept then.

    Example: bridge set-aside fix 3 mended.json --reason "area menurut kode Kemendagri"
    """
    from bridge.worklist import StillWrong

    service = open_service(need_rules=True)
    try:
        service.worklist.fix(number, file.read(), me().name, reason)
    except StillWrong as wrong:
        raise click.ClickException(_still_wrong(wrong.problems)) from wrong
    click.echo(f"Number {number} is mended; send it on its way: bridge set-aside release {number} --reason …")


@set_aside.command("release")
@click.argument("number", type=click.IntRange(1, 2**63 - 1))
@why
def release(number: int, reason: str) -> None:
    """Send one on its normal way, mended or as it came; a report keeps the time of its first arrival.

    Example: bridge set-aside release 3 --reason "diperbaiki bersama aplikasi kota"
    """
    from bridge.worklist import StillWrong

    service = open_service(need_rules=True)
    try:
        service.worklist.release(number, me().name, reason)
    except StillWrong as wrong:
        advice = f"\nMend it first: bridge set-aside show {number} --raw > FILE; bridge set-aside fix {number} FILE"
        raise click.ClickException(_still_wrong(wrong.problems) + advice) from wrong
    click.echo(f"Number {number} is on its way.")


@set_aside.command("discard")
@click.argument("number", type=click.IntRange(1, 2**63 - 1))
@click.option("--erase", is_flag=True, help="And its bytes go for good, also of one that was decided about before.")
@why
def discard(number: int, erase: bool, reason: str) -> None:
    """Decide that nothing comes of one; its bytes are kept, unless they are to be erased.

    Example: bridge set-aside discard 3 --reason "kiriman uji dari aplikasi kota"
    """
    service = open_service(need_rules=True)
    if erase:
        service.worklist.erase(number, me().name, reason)
        click.echo(f"The bytes of number {number} are gone for good.")
        return
    service.worklist.discard(number, me().name, reason)
    click.echo(f"Number {number} is discarded; its bytes stay: bridge set-aside show {number}")


def _still_wrong(problems: list[str]) -> str:
    return "still wrong:" + "".join(f"\n  - {problem}" for problem in problems)


COMMANDS = (set_aside,)
