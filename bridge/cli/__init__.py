"""The `bridge` command: a file per group of commands. Exit codes: 0 done, 1 refused or failed, 2 wrong usage."""

import sys

import click

from bridge.casework import NothingOwed
from bridge.cli import (
    calendar,
    channels,
    check,
    clock,
    deliveries,
    engine,
    inspect,
    manage,
    notices,
    policies,
    privacy,
    receipts,
    reports,
    run,
    set_aside,
    sources,
)
from bridge.keyring import BrokenKeyFile
from bridge.reports.escalation import NothingToHurry
from bridge.reports.merging import NotPossible
from bridge.reports.setting_aside import DecidedBefore, ReasonMissing
from bridge.reports.states import MoveRefused
from bridge.signing import BadKey
from bridge.storage.database import DatabaseAway
from bridge.storage.migrate import NotMigrated
from bridge.storage.people import NoSuchPerson
from bridge.storage.reports import NoSuchReport
from bridge.storage.set_aside import NothingAside
from bridge.vault import Unreadable
from config.settings import BadSettings


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="jembatan", prog_name="bridge")
def cli() -> None:
    """Jembatan: a city's reports to the dispute body, acknowledged in time or escalated.

    Try: bridge up --demo
    """


_MODULES = (
    run,
    check,
    clock,
    reports,
    calendar,
    policies,
    inspect,
    deliveries,
    channels,
    set_aside,
    privacy,
    engine,
    manage,
    sources,
    receipts,
    notices,
)

for module in _MODULES:
    for command in module.COMMANDS:
        cli.add_command(command)

_SAID: dict[type[Exception], str] = {
    BadSettings: "The configuration cannot be used:\n{}",
    NoSuchReport: "No report has the ticket {}.",
    NoSuchPerson: "No person has the id {}; see: bridge people list",
    NothingAside: "Nothing set aside has the number {}; see: bridge set-aside list --state all",
    DecidedBefore: "Not possible: {}.",
    ReasonMissing: "Not possible: {}.",
    Unreadable: "{}",
    MoveRefused: "{}.",
    NothingOwed: "{}.",
    NothingToHurry: "Not possible: {}.",
    NotPossible: "Not possible: {}.",
    NotMigrated: "{}",
    BadKey: "This key cannot be used: {}.",
    BrokenKeyFile: "{}",
    DatabaseAway: "The database cannot be reached: {}",
}


def main() -> None:
    """Run the command; a known error is one message on stderr and exit code 1."""
    try:
        cli(standalone_mode=True)
    except tuple(_SAID) as error:
        text = next(text for kind, text in _SAID.items() if isinstance(error, kind))
        click.echo(text.format(error), err=True)
        sys.exit(1)
