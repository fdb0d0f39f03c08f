"""A progress bar that comes when the work takes longer than one likes to wait without one."""

import sys
import time
from contextlib import ExitStack
from typing import Any

import click

#: Seconds.
PATIENCE_S = 2.0


class LateBar:
    """Counts what is done of `total`, or of an unknown number when it is None; shows itself on stderr when late."""

    def __init__(self, stack: ExitStack, label: str, total: int | None = None) -> None:
        self._stack, self._label, self._total = stack, label, total
        self._began, self._done = time.monotonic(), 0
        self._bar: Any = None

    def __call__(self, more: int) -> None:
        """Count `more`."""
        self._done += more
        if self._bar is not None:
            self._bar.update(more)
        elif time.monotonic() - self._began > PATIENCE_S:
            shown: Any = click.progressbar(length=self._total, label=self._label, file=sys.stderr)
            self._bar = self._stack.enter_context(shown)
            self._bar.update(self._done)
