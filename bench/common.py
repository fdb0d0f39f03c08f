"""What the benchmarks share: processes stopped by id, one wait helper, medians, tables, results."""

import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, TypeVar

BENCH = Path(__file__).parent
ROOT = BENCH.parent
RESULTS = BENCH / "results"
#: Where pip puts the commands of this environment.
COMMANDS = Path(sys.executable).parent

#: Whose versions the figures depend on.
PACKAGES = (
    *("granian", "flask", "marshmallow", "pika", "kombu", "sqlalchemy", "psycopg"),
    *("celery", "gunicorn", "fastapi", "aio-pika", "uvicorn"),
)

#: Well above 0.5, somebody else was busy on this machine.
LOAD_AT_START = os.getloadavg()[0]

#: Between two looks at a condition, in seconds.
LOOK_EVERY_S = 0.02
#: What a process may take to end by itself after SIGTERM, in seconds.
STOP_S = 15.0

T = TypeVar("T")


class NotAsExpected(Exception):
    """Something did not happen, or not in time; the text says what."""


def wait_until(look: Callable[[], T], limit_s: float, what: str) -> T:
    """Return the first true value of `look`; the only place that sleeps.

    Raises:
        NotAsExpected: not within `limit_s` seconds.
    """
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        if value := look():
            return value
        time.sleep(LOOK_EVERY_S)
    raise NotAsExpected(f"{what}: not within {limit_s:g} s")


def variables(env: Mapping[str, str]) -> dict[str, str]:
    """Return ours with these added, but without any setting of a bridge that really serves somebody."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("BRIDGE_", "QLUE_"))}
    return {**ours, **env}


@contextmanager
def running(command: Sequence[str], env: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in its own process group, output into `log`; stop the whole group at the end."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, cwd=ROOT, env=variables(env), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        stop(process)


class Startable(Protocol):
    """A server of tests/servers.py."""

    def start(self) -> None:
        """Start it and wait until it serves."""


Server = TypeVar("Server", bound=Startable)


def served(stack: ExitStack, server: Server) -> Server:
    """Start one of the private servers of tests/servers.py, and end it with the stack."""
    stack.callback(getattr(server, "close", None) or server.stop)  # type: ignore[attr-defined]
    server.start()
    return server


def end_in_order() -> None:
    """From now on let SIGTERM end this program as Ctrl-C does: everything it started is stopped first."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


@contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """Make a folder that other users may enter (PostgreSQL refuses to be root), and remove it at the end."""
    with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as path:
        Path(path).chmod(0o755)
        yield Path(path)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that `running` started: SIGTERM, then SIGKILL for whatever is left of its group."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            print(f"  pid {process.pid} did not end within {STOP_S:g} s of SIGTERM: killed", file=sys.stderr)
    with suppress(ProcessLookupError):  # as it should be: nothing left of it
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(STOP_S)


def tree(pid: int) -> list[int]:
    """Return the ids of a process and of all its descendants."""
    try:
        lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    return [pid, *(one for text in lists for child in text.split() for one in tree(int(child)))]


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process and its descendants, in MB; shared pages count in each."""
    return sum(_resident_kb(one) for one in tree(pid)) / 1024


def cpu_s(pid: int) -> float:
    """Return the seconds a process and its living descendants have spent on any core."""
    return sum(_ticks(one) for one in tree(pid)) / os.sysconf("SC_CLK_TCK")


def _ticks(pid: int) -> int:
    try:
        # The name, in brackets, may hold blanks. After it come the state and, 12th and 13th, user and system time.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def _resident_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)


def last_lines(log: Path, count: int = 15) -> str:
    """Return the end of a log, for the message of a failure."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:]) if log.exists() else ""


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` (0 to 1) of the values lie; NaN for none."""
    if not values:
        return float("nan")
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the median, the least and the most."""
    return statistics.median(values), min(values), max(values)


def paired_ratio(ours: Sequence[float], reference: Sequence[float]) -> tuple[float, float, float]:
    """Return median, least and most of the ratios round by round, so that the machine's mood cancels out."""
    return spread([one / other for one, other in zip(ours, reference, strict=True)])


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with its columns lined up, the first to the left, the others to the right."""
    widths = [max(len(row[place]) for row in (heads, *rows)) for place in range(len(heads))]
    rule = "|" + "|".join("-" * (width + 1) + ("-" if not place else ":") for place, width in enumerate(widths))
    first, *others = (_line(row, widths) for row in (heads, *rows))
    return "\n".join([title, "", first, f"{rule}|", *others, ""])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    others = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
    return "| " + " | ".join([row[0].ljust(widths[0]), *others]) + " |"


def save(name: str, data: Mapping[str, Any]) -> Path:
    """Write a benchmark's figures and what they were measured on into results/, and return the file."""
    RESULTS.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    path = RESULTS / f"{name}-{now:%Y%m%dT%H%M%SZ}.json"
    facts = {"name": name, "at": now.isoformat(timespec="seconds"), "machine": machine(), **data}
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return path


def machine() -> dict[str, Any]:
    """Return what the figures depend on, and nothing that names this machine."""
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "load_average_at_start": LOAD_AT_START,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }
