"""A server process for tests: how it is started, hung, killed and brought back, and that it is always ended."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from tests.waiting import eventually

KEEPER = Path(__file__).with_name("keeper.py")
START_LIMIT_S = 60.0
STOP_LIMIT_S = 30.0


class NotInstalled(Exception):
    """A server the tests need is missing; `script/test` installs it or says how."""


class Server:
    """A server process with its keeper; subclasses say how to start it, and when it is ready."""

    #: What asks this server for an orderly end.
    stop_signal = signal.SIGTERM
    #: Who runs it; empty for whoever runs the tests.
    user = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "server.log"
        self.pid = 0
        self._keeper: subprocess.Popen[str] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def command(self) -> list[str]:
        """Return the command line; it must stay in the foreground."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Return all variables it gets: nothing of ours reaches it by accident."""
        return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(self.folder)}

    def ready(self) -> bool:
        """Return whether it serves clients now."""
        raise NotImplementedError

    @property
    def running(self) -> bool:
        """Whether the process exists; a frozen one does."""
        return self._keeper is not None and self._keeper.poll() is None

    def start(self) -> None:
        """Start it and wait until it serves clients."""
        command = [sys.executable, "-I", "-S", str(KEEPER), str(self.folder), self.user, *self.command()]
        with self.log.open("ab") as log:
            self._keeper = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self.environment(),
                # Where a crash dump would go.
                cwd=self.folder,
                # Away from the terminal's group: Ctrl-C is for the tests, which then end us in order.
                start_new_session=True,
            )
        self.pid = int(self._pipe().readline() or 0)
        eventually(self._ready_or_dead, START_LIMIT_S, f"{type(self).__name__} serves clients\n{self.log_end()}")

    def stop(self) -> None:
        """End it in order, and the hard way if it takes too long."""
        if self.running:
            self.thaw()
            self._signal(self.stop_signal)
        self._gone()

    def kill(self) -> None:
        """End it as a power cut would: SIGKILL."""
        if self.running:
            self._signal(signal.SIGKILL)
        self._gone()

    def restart(self) -> None:
        """Stop and start on the same port and data."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Let it hang with all its processes: connections stay open, nothing is answered."""
        # Parents first: a stopped one starts no more. A stop takes effect a little after the signal.
        for pid in self._tree():
            # A child that has ended since it was listed (PostgreSQL's come and go) needs no stopping.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                eventually(lambda pid=pid: _stopped(pid), what=f"process {pid} stops")  # type: ignore[misc]

    def thaw(self) -> None:
        """Let it go on."""
        for pid in self._tree():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def ensure_running(self) -> None:
        """Bring it back if an earlier test stopped, killed or froze it."""
        if self.running:
            self.thaw()
        else:
            self.start()

    def close(self) -> None:
        """End it for good and remove its data."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log_end(self, lines: int = 20) -> str:
        """Return the last lines it wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _tree(self) -> Iterator[int]:
        yield self.pid
        yield from processes_below(self.pid)

    def _ready_or_dead(self) -> bool:
        if not self.running:
            raise AssertionError(f"{type(self).__name__} ended while starting\n{self.log_end()}")
        return self.ready()

    def _signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def _gone(self) -> None:
        """Wait for the keeper, which leaves only after everything below it."""
        if self._keeper is None:
            return
        try:
            self._keeper.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._keeper.wait(STOP_LIMIT_S)
        self._keeper.communicate()
        self._keeper = None

    def _pipe(self) -> IO[str]:
        assert self._keeper is not None
        assert self._keeper.stdout is not None
        return self._keeper.stdout


def processes_below(pid: int) -> list[int]:
    """Return all descendants of a process, parents before children."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            children.setdefault(int(_after_name(stat)[1]), []).append(int(stat.parent.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found[1:]


def process_name(pid: int) -> str:
    """Return a process's name; nothing if it has gone, even if nobody has taken notice yet (a zombie)."""
    stat = Path(f"/proc/{pid}/stat")
    with suppress(OSError):
        if _after_name(stat)[0] != "Z":
            text = stat.read_text()
            return text[text.index("(") + 1 : text.rindex(")")]
    return ""


def _stopped(pid: int) -> bool:
    """Return whether every thread of a process has stopped, or the process has gone.

    One that was ending when the signal came is a zombie for as long as its stopped parent does not take notice.
    """
    threads = Path(f"/proc/{pid}/task").glob("*/stat")
    with suppress(OSError):
        return all(_after_name(thread)[0] in "TZX" for thread in threads)
    return not process_name(pid)


def _after_name(stat: Path) -> list[str]:
    """Return the fields of a /proc stat file after the name, which may hold blanks: the state, the parent, …"""
    return stat.read_text().rpartition(")")[2].split()


def new_folder(name: str) -> Path:
    """Return a new folder for a server.

    Not below pytest's temporary folder: that is closed to other users, and PostgreSQL refuses to be root.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"jembatan-{name}-"))
    folder.chmod(0o755)
    return folder


def program(name: str, package: str) -> str:
    """Return where a program is, or say which Debian package has it."""
    # Debian keeps servers in sbin, which is not on everybody's path.
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/usr/local/sbin"])
    if found := shutil.which(name, path=path):
        return found
    raise NotInstalled(f"{name} (Debian: {package})")
