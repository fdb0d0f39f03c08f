"""A keyboard at the server: `bridge …` typed in an installation that has reports in it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from bridge.cli import cli
from tests.web.office import Office
from tests.web.processes import ROOT, SECRET


class Desk:
    """A keyboard at the server: an installation with reports in it, and `bridge …` in its environment."""

    def __init__(self, folder: Path) -> None:
        self.office = Office(folder)
        self.environment = {"BRIDGE_DATA_DIR": str(folder), "QLUE_WEBHOOK_SECRET": SECRET}
        self.ticket = self.office.canary_report()
        self.office.let_pass(self.ticket, steps=5)

    def run(self, *words: str, typed: str = "", **variables: str) -> Result:
        """Run a command in this process."""
        return CliRunner().invoke(cli, words, input=typed, env=self.environment | variables)

    def rows(self, *words: str) -> Any:
        """Return what a command prints with --json."""
        result = self.run(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.output)

    def really_run(self, *words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Run a command as the shell would, with nothing around it."""
        command = [str(Path(sys.executable).with_name("bridge")), *words]
        environment = {"PATH": "/usr/bin", "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT), **self.environment, **variables}
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=60, cwd="/"
        )


def assert_refused(done: "subprocess.CompletedProcess[str]", said: str) -> None:
    """Check for exit code 1, one message on stderr, and nothing that frightens."""
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
