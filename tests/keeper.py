"""Runs one server and makes sure that it, and whatever it started, ends no later than the test process.

Called by tests/servers.py as a program of its own: `keeper.py FOLDER USER COMMAND…` (an empty USER stays who we are).
The owner holds the other end of our standard input and never writes to it. When the owner goes, in whatever way, the
kernel closes that pipe; then everything is killed and FOLDER removed. The first line of output is the server's pid.

Not done in the test process itself, because there a death signal would belong to the *thread* that started the server,
and code between fork and exec (`preexec_fn`) is unsafe beside other threads. This program has one thread only.
"""

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


def main(folder: str, user: str, *command: str) -> int:
    """Run the command until it ends or the owner goes; leave none of its descendants behind."""
    # Orphans below us become our children: a daemon that detached itself (epmd), the workers of a killed nginx.
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    server = _start(command, user)
    print(server.pid, flush=True)
    owner_gone = _wait(os.pidfd_open(server.pid))
    _kill_all_below()
    if owner_gone:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _start(command: tuple[str, ...], user: str) -> subprocess.Popen[bytes]:
    # Output goes where our errors go, the server's log file: our own output is only the pid.
    who = {"user": user, "group": user, "extra_groups": []} if user else {}
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        command, stdin=subprocess.DEVNULL, stdout=sys.stderr, preexec_fn=_die_with_keeper, **who
    )


def _die_with_keeper() -> None:
    """Ask the kernel to kill the server when the keeper itself is killed."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _wait(server: int) -> bool:
    """Return whether the owner went (True) or the server ended by itself (False)."""
    owner = sys.stdin.fileno()
    ready, _, _ = select.select([owner, server], [], [])
    return server not in ready


def _kill_all_below() -> None:
    # Killing a child gives us its children, so this repeats until the tree is gone.
    while True:
        for pid in _children():
            os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children() -> Iterator[int]:
    me = os.getpid()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in brackets, may hold blanks; the state and then the parent follow it.
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == me:
            yield int(stat.parent.name)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
