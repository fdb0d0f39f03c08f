"""`bridge escalations`: the log."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TextIO

import click
import structlog

from bridge import log_files
from bridge.chain import START, Broken, Head, follow
from bridge.cli.common import (
    Bar,
    as_json,
    clock_time,
    in_language,
    me,
    open_service,
    optional_ticket,
    show_json,
    show_table,
)
from bridge.kept_head import HeadFile, HeadLost, Kept
from bridge.reports.clocks import Kind
from bridge.step_words import rung, target
from bridge.words import length, say

if TYPE_CHECKING:
    from bridge.service import Service

logged = structlog.get_logger()

#: Seconds between two looks of `tail`.
_LOOK_EVERY_S = 0.5
#: How many rows are sealed in one transaction.
_SEALED_AT_ONCE = 10_000


@click.group()
def escalations() -> None:
    """The escalation log."""


@escalations.command("list")
@click.option("--ticket", default="", callback=optional_ticket, help="Only this report.")
@click.option("--person", default="", help="Only what this person was told.")
@click.option("--kind", type=click.Choice(["", *(v.value for v in Kind)]), default="", help="Only this clock.")
@click.option("--level", type=int, default=None, help="Only this level; 0 are the warnings before a deadline.")
@click.option("--warnings", is_flag=True, help="Warnings too.")
@click.option("--office", default="", help="Only reports of this office.")
@click.option("--open", "still_open", is_flag=True, help="Only what nobody has answered since.")
@click.option("--exhausted", is_flag=True, help="Only clocks whose whole ladder was told and which are still open.")
@click.option("--most", default=200, show_default=True, type=click.IntRange(1, 1_000_000))
@as_json
def list_escalations(
    ticket: str,
    person: str,
    kind: str,
    level: int | None,
    warnings: bool,
    office: str,
    still_open: bool,
    exhausted: bool,
    most: int,
    as_json: bool,
) -> None:
    """List what escalated, newest first.

    Example: bridge escalations list --level 3
    """
    from bridge.storage import escalations as log

    service = open_service(need_rules=True)
    wanted = log.Wanted(
        ticket=ticket,
        person=person,
        office=office,
        kind=kind,
        level=level,
        warnings=warnings,
        still_open=still_open,
        exhausted=exhausted,
    )
    with service.database.read() as connection:
        rows = [log_files.as_object(row) for row in log.listed(connection, wanted, most=most)]
    if as_json:
        show_json(rows)
    else:
        show_table(
            rows,
            ("seq", "fired_at", "ticket", "cycle", "kind", "level", "to", "did", "lateness_s", "delivered", "answered"),
        )


@escalations.command("tail")
@click.option("--after", "seen", type=click.IntRange(0), default=None, help="Begin after this number, not at the end.")
@click.option("--limit-s", type=float, default=None, help="Stop after so many seconds; 0 looks once.")
@in_language
def tail(seen: int | None, limit_s: float | None, lang: str) -> None:
    """Print escalations as they happen: when, what was due, from whom to whom, what was done, whether they heard.

    Example: bridge escalations tail --lang id
    """
    service = open_service(need_rules=True)
    until = None if limit_s is None else time.monotonic() + limit_s
    seen = _newest(service).seq if seen is None else seen
    while True:
        seen = _print_new(service, seen, lang)
        if until is not None and time.monotonic() >= until:
            return
        time.sleep(_LOOK_EVERY_S)


def _print_new(service: Service, seen: int, language: str) -> int:
    """Print what came after this number; returns the number seen now."""
    from bridge.storage import escalations as log
    from bridge.storage import people

    # Asked first: what is sealed after this is read too, and what is not printed (warnings) need not be read again.
    newest = _newest(service).seq
    for page in log.walk_chain(service.database, log.Wanted(after_seq=seen)):
        with service.database.read() as connection:
            names = people.names(connection)
        for row in page:
            click.echo(_line(row, names, language))
        newest = max(newest, page[-1]["seq"])
    return max(seen, newest)


def _newest(service: Service) -> Head:
    from bridge.storage import escalations as log

    with service.database.read() as connection:
        return log.head(connection)


def _line(row: Mapping[str, Any], names: Mapping[str, str], language: str) -> str:
    due, fired, later = ("due", "fired", "later") if language == "en" else ("tempo", "dijalankan", "kemudian")
    late = f"{due} {clock_time(row['due_at'])}, {fired} {length(row['lateness_s'], language)} {later}"
    people = ", ".join(names.get(person, person) for person in row["told"])
    role = target(row["target"], language, names)
    to = f"{people} ({role})" if people else role
    came = names.get(row["held_by"], row["held_by"]) or "–"
    did = ", ".join([say(row["did"], language), *([say(row["remark"], language)] if row["remark"] else [])])
    return (
        f"{clock_time(row['fired_at'])}  {row['ticket']}  {rung(row, language)}  {say(row['kind'], language)}, {late}  "
        f"{came} → {to}: {did}; {_heard(row, language)}"
    )


def _heard(row: Mapping[str, Any], language: str) -> str:
    if row["delivered"] is None:
        return "nobody to tell" if language == "en" else "tidak ada yang diberitahu"
    # Each once: three notices that wait are no news.
    return ", ".join(dict.fromkeys(say(state, language) for state in row["notices"]))


@escalations.command("export")
@click.option("--format", "form", type=click.Choice(["csv", "json"]), default="csv", show_default=True)
def export(form: str) -> None:
    """Write the whole log, warnings too, in the order of its chain, to standard output, and its head to the other.

    Example: bridge escalations export --format csv > log.csv
    """
    from bridge.storage import escalations as log

    service = open_service(need_rules=True)
    _seal(service)
    written = START
    with ExitStack() as stack:
        bar, total = Bar(stack, "Exporting"), _newest(service).seq

        def pages() -> Iterator[list[dict[str, Any]]]:
            nonlocal written
            for page in log.walk_chain(service.database, log.Wanted(warnings=True)):
                yield [log_files.as_object(row) for row in page]
                written = Head(page[-1]["seq"], page[-1]["hash"])
                bar(written.seq, max(total, written.seq))

        for text in log_files.as_csv(pages()) if form == "csv" else log_files.as_json(pages()):
            click.echo(text, nl=False)
    with service.database.read() as connection:
        unsealed = log.count_unsealed(connection)
    if unsealed:
        click.echo(f"{unsealed} rows are not sealed yet, and not in it.", err=True)
    click.echo(_head_said(written), err=True)


def _read_head(_: click.Context, __: click.Parameter, value: str) -> Head | None:
    found = re.fullmatch(r"(\d{1,18})[: ]([0-9a-f]{64})", value, re.ASCII)
    if value and not found:
        raise click.BadParameter(f"{value!r} is not a number and a hash, SEQ:HASH, as verify and export print them")
    return Head(int(found[1]), found[2]) if found else None


@escalations.command("verify")
@click.argument("file", type=click.File(encoding="utf-8-sig"), required=False)
@click.option("--expect", "kept", metavar="SEQ:HASH", default="", callback=_read_head, help="A head kept elsewhere.")
def verify(file: TextIO | None, kept: Head | None) -> None:
    """Recompute the chain of hashes; exit 1 where it breaks, or when a head kept elsewhere is not in it any more.

    FILE is an export, checked without the database; - reads standard input. Whoever cuts off the end of the log with
    its seals leaves a shorter chain that is whole: only a head kept elsewhere shows it.

    Example: bridge escalations verify --expect 5:0f3a…
    """
    head, unsealed, at_kept = _verified(kept) if file is None else _verified_file(file, kept)
    if kept is not None and at_kept != kept.hash:
        raise click.ClickException(_not_there(kept, head))
    click.echo(f"The chain is whole: {head.seq} rows" + ("." if unsealed is None else f", {unsealed} not yet sealed."))
    click.echo(_head_said(head))


@escalations.command("accept-head")
@click.option("--reason", required=True, help="Why; it goes into the log of the auditor.")
def accept_head(reason: str) -> None:
    """Take the log as it ends now for whole: after an older backup was restored on purpose.

    The auditor finds log_cut_off until then. To be run with the auditor's BRIDGE_DATA_DIR.

    Example: bridge escalations accept-head --reason "restored last night's backup, the disk was lost"
    """
    from bridge.storage import escalations as log

    service = open_service(need_rules=True)
    file = HeadFile(service.settings.kept_head)
    was = _kept_in(file)
    with service.database.read() as connection:
        head = log.head(connection)
        if was and log.hash_at(connection, was.seq) == was.hash:
            raise click.ClickException(f"number {was.seq}, the head kept, is in the log: nothing is cut off")
    by = me().name
    try:
        file.write(Kept(head, by, reason))
    except HeadLost as error:
        raise click.ClickException(str(error)) from error
    logged.warning("escalation_log_head_accepted", by=by, why=reason, was=was and f"{was.seq}:{was.hash}", seq=head.seq)
    click.echo(f"Accepted. {_head_said(head)}")


def _kept_in(file: HeadFile) -> Head | None:
    """Return the head the auditor kept; None when what it kept is damaged."""
    try:
        kept = file.read()
    except HeadLost as error:
        logged.warning("escalation_log_head_lost", error=str(error))
        return None
    if kept is None:
        raise click.ClickException(f"no head is kept in {file.path}; run this with the auditor's BRIDGE_DATA_DIR")
    return kept.head


def _verified(kept: Head | None) -> tuple[Head, int, str | None]:
    """Return the head of the log, how many rows are not sealed, and the hash at the number of the head kept."""
    from bridge.storage import escalations as log

    service = open_service(need_rules=True)
    _seal(service)
    with ExitStack() as stack, service.database.read() as connection:
        bar, total = Bar(stack, "Verifying"), log.head(connection).seq
        verdict = log.verify(connection, progress=lambda seq: bar(seq, max(total, seq)))
        at_kept = log.hash_at(connection, kept.seq) if kept else None
    if verdict.broken_at is not None:
        raise _broken(verdict.broken_at)
    return verdict.head, verdict.unsealed, at_kept


def _verified_file(file: TextIO, kept: Head | None) -> tuple[Head, None, str | None]:
    head, at_kept = START, START.hash if kept and kept.seq == START.seq else None
    try:
        for head in follow(log_files.links(file)):
            if kept and head.seq == kept.seq:
                at_kept = head.hash
    except Broken as broken:
        raise _broken(broken.seq) from broken
    except (log_files.BadExport, UnicodeDecodeError) as error:
        raise click.ClickException(f"{file.name} is no export of the log: {error}") from error
    return head, None, at_kept


def _broken(seq: int) -> click.ClickException:
    return click.ClickException(f"the chain is broken at number {seq}: a row was changed or is missing")


def _not_there(kept: Head, head: Head) -> str:
    if kept.seq > head.seq:
        return f"the log ends at number {head.seq}, before the head kept at {kept.seq}: its end was cut off"
    return f"number {kept.seq} has another hash than the head kept: the log was cut off before it and written anew"


def _head_said(head: Head) -> str:
    return f"Head: {head.seq} {head.hash}"


def _seal(service: Service) -> None:
    from bridge.storage import escalations as log

    sealed = _SEALED_AT_ONCE
    while sealed == _SEALED_AT_ONCE:
        with service.database.write() as connection:
            sealed = log.seal(service.database, connection, most=_SEALED_AT_ONCE)


COMMANDS = (escalations,)
