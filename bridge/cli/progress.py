"""A progress bar that comes when the work takes longer than one likes to wait without one."""

import itertools
import sys
import time
from contextlib import ExitStack
from typing import Any

import click

#: Seconds.
PATIENCE_S = 2.0


class LateBar:
    """Counts what is done of `total`, or of an unknown number when it is None; shows itself on stderr when late."""

    def __init__(
        self, stack: ExitStack, label: str, total: int | None = None, *, patience_s: float = PATIENCE_S
    ) -> None:
        self._stack, self._label, self._total, self._patience_s = stack, label, total, patience_s
        self._began, self._done = time.monotonic(), 0
        self._bar: Any = None

    def __call__(self, more: int) -> None:
        """Count `more`."""
        self._done += more
        if self._bar is not None:
            self._bar.update(more)
        elif time.monotonic() - self._began > self._patience_s:
            # Without an end click wants something to count along.
            along = itertools.count() if self._total is None else None
            shown: Any = click.progressbar(along, self._total, self._label, file=sys.stderr)
            self._bar = self._stack.enter_context(shown)
            self._bar.update(self._done)
