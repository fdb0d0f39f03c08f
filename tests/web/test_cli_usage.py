"""The `bridge` command: help with an example everywhere; exit code 2 for wrong usage, 1 and one message for what fails."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bridge.cli import cli
from bridge.storage.people import NoSuchPerson
from consumers.steps import STEPS
from tests.servers import free_port
from tests.web.keyboard import Desk, assert_refused


def commands(
    group: click.Command = cli, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command with the words that lead to it."""
    if isinstance(group, click.Group):
        for name, command in group.commands.items():
            yield from commands(command, (*words, name))
    else:
        yield words, group


COMMANDS = dict(commands())


# --- help and wrong usage -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example_that_is_that_command(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, [*words, "--help"], terminal_width=200)
    assert result.exit_code == 0
    found = re.search(r"Example: (?:[A-Z_]+=\S+ )*bridge (.+)", result.output)
    assert found, "no example"
    assert tuple(shlex.split(found[1])[: len(words)]) == words


@pytest.mark.parametrize("words", [words for words, command in COMMANDS.items() if words[-1] == "list"], ids=" ".join)
def test_every_list_can_be_json(words: tuple[str, ...]) -> None:
    assert any("--json" in parameter.opts for parameter in COMMANDS[words].params)


@pytest.mark.parametrize(
    "words",
    ["explode", "reports explode", "reports list --explode", "reports list --status exploded", "reports show", "reports show x",
     "reports show K7Q2-9XWM-4T8S", "reports move 0000-0000-0000 explode", "work", "work explode", "escalations list --kind x",
     "escalations list --ticket x", "deliveries list --state x", "people add", "set-aside show one", "routes test /nothing",
     "people add A --name A --role officer --office bpsk-dki"],
)  # fmt: skip
def test_wrong_usage_is_exit_code_2_and_says_what_is_right(desk: Desk, words: str) -> None:
    result = desk.run(*words.split())
    assert result.exit_code == 2
    assert "Error: " in result.output
    assert "Traceback" not in result.output


def test_unknown_step_is_answered_with_the_steps_there_are(desk: Desk) -> None:
    output = desk.run("work", "take_out").output
    assert all(step in output for step in STEPS)


# --- refused or failed ----------------------------------------------------------------------------------------------


def test_missing_report_is_exit_code_1_and_one_message(desk: Desk) -> None:
    assert_refused(desk.really_run("reports", "show", "0000-0000-0000"), "No report has the ticket 0000-0000-0000.")


def test_database_that_is_away_or_empty_is_exit_code_1_and_one_message(desk: Desk, tmp_path: Path) -> None:
    away = f"postgresql://bridge:a-secret-password@127.0.0.1:{free_port()}/bridge"
    done = desk.really_run("reports", "list", BRIDGE_DATABASE_URL=away)
    assert_refused(done, "The database cannot be reached")
    assert "a-secret-password" not in done.stderr
    assert_refused(desk.really_run("reports", "list", BRIDGE_DATA_DIR=str(tmp_path)), "run: bridge migrate")


def test_bad_settings_are_told_all_at_once(desk: Desk) -> None:
    bad = {"BRIDGE_LISTEN": "here", "BRIDGE_LOG": "xml", "BRIDGE_SMTP_URL": "http://x", "BRIDGE_TICKET_KEY": "short"}
    done = desk.really_run("config", "check", **bad, BRIDGE_RECEIVER_WORKERS="0", BRIDGE_SECRET_KEY_FILE="/nothing")
    assert_refused(done, "The configuration cannot be used")
    for name in (*bad, "BRIDGE_RECEIVER_WORKERS", "BRIDGE_SECRET_KEY_FILE"):
        assert name in done.stderr


def test_move_that_is_not_allowed_is_exit_code_1_and_says_what_is(desk: Desk) -> None:
    ticket = desk.office.new_report()
    assert_refused(
        desk.really_run("reports", "move", ticket, "register"), "a report that is received can only: acknowledge"
    )


@pytest.mark.parametrize(
    "words", ["reports ack {} --person nobody", "people absent nobody", "people remove nobody", "people token nobody"]
)
def test_unknown_person_is_refused(desk: Desk, words: str) -> None:
    result = desk.run(*words.format(desk.office.new_report()).split())
    assert result.exit_code == 1
    assert isinstance(result.exception, NoSuchPerson)
