"""The bridge as an office runs it, on private servers: embedded in one process, or in parts."""

import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.common import COMMANDS, ROOT, NotAsExpected, last_lines, running, served, variables, wait_until
from tests.servers import PostgreSQL, RabbitMQ, free_port

#: From the start of a process to its /readyz, in seconds.
READY_S = 30.0
TICKET_KEY = "for-benchmarks-only-ticket-key"
KEYS = {"BRIDGE_TICKET_KEY": TICKET_KEY, "BRIDGE_SECRET_KEY": "for-benchmarks-only-secret-key"}
#: The steps of each worker process, as in docker-compose.yml.
WORKERS = (("take_in",), ("relay_outbox",), ("notify_office", "report_back"), ("watch_clocks",), ("set_aside",))
OFFICERS = ("ani", "budi", "citra")


@dataclass(frozen=True)
class Bridge:
    """A bridge that is up: where the city sends to, where officers click, and its variables."""

    kind: str
    way_in: str
    desk: str
    env: Mapping[str, str]


def command(*words: str) -> list[str]:
    """Return the `bridge` command of this environment with these words."""
    return [str(COMMANDS / "bridge"), *words]


def call(env: Mapping[str, str], *words: str) -> str:
    """Run one `bridge` command to its end and return what it printed.

    Raises:
        NotAsExpected: it failed.
    """
    done = subprocess.run(
        command(*words),
        cwd=ROOT,
        env=variables(env),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise NotAsExpected(f"bridge {' '.join(words)}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def embedded(stack: ExitStack, folder: Path, extra: Mapping[str, str]) -> Bridge:
    """Start `bridge up` on the embedded queue and SQLite."""
    address = f"127.0.0.1:{free_port()}"
    env = {"BRIDGE_DATA_DIR": str(folder / "data"), "BRIDGE_LISTEN": address, **unhurried(folder), **KEYS, **extra}
    _prepare(env)
    _start(stack, folder, env, "up")
    return Bridge("embedded", address, address, env)


def full(stack: ExitStack, folder: Path, extra: Mapping[str, str]) -> Bridge:
    """Start RabbitMQ and PostgreSQL, and on them `bridge receive`, `desk` and `work` as docker-compose.yml does."""
    way_in, desk = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    env = {
        "BRIDGE_BROKER_URL": served(stack, RabbitMQ(folder / "rabbitmq")).new_vhost(),
        "BRIDGE_DATABASE_URL": served(stack, PostgreSQL(folder / "postgresql")).new_database(),
        "BRIDGE_DATA_DIR": str(folder / "data"),
        "BRIDGE_PUBLIC_URL": f"http://{desk}",
        **unhurried(folder),
        **KEYS,
        **extra,
    }
    _prepare(env)
    for steps in WORKERS:
        _start(stack, folder, env, "work", *steps)
    _start(stack, folder, {**env, "BRIDGE_LISTEN": desk}, "desk")
    _start(stack, folder, {**env, "BRIDGE_LISTEN": way_in}, "receive")
    return Bridge("RabbitMQ + PostgreSQL", way_in, desk, env)


KINDS: dict[str, Callable[[ExitStack, Path, Mapping[str, str]], Bridge]] = {
    "full": full,
    "embedded": embedded,
}


def unhurried(folder: Path) -> dict[str, str]:
    """Return where the configuration is that tells three officers of each report by itself, however many come."""
    config = folder / "config"
    shutil.copytree(ROOT / "config", config, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    channels = config / "channels.toml"
    text = channels.read_text()
    if "most = 20" not in text:
        raise NotAsExpected(f"{channels} does not say how many notices are a flood")
    channels.write_text(text.replace("most = 20", "most = 0"))
    return {"BRIDGE_CONFIG_DIR": str(config)}


def _prepare(env: Mapping[str, str]) -> None:
    call(env, "migrate")
    for name in OFFICERS:
        words = ("--name", name.title(), "--role", "officer", "--office", "bpsk-dki")
        call(env, "people", "add", name, *words, "--email", f"{name}@bpsk.example.test")


def _start(stack: ExitStack, folder: Path, env: Mapping[str, str], *words: str) -> None:
    log = folder / f"bridge-{'-'.join(words)}.log"
    process = stack.enter_context(running(command(*words), env, log))
    if "BRIDGE_LISTEN" not in env:
        return
    try:
        wait_ready(process, env["BRIDGE_LISTEN"])
    except NotAsExpected as error:
        raise NotAsExpected(f"bridge {' '.join(words)}: {error}\n{last_lines(log)}") from error


def wait_ready(process: subprocess.Popen[bytes], address: str) -> None:
    """Wait until /readyz answers 200.

    Raises:
        NotAsExpected: the process ended, or was not ready in time.
    """

    def ready() -> bool:
        if process.poll() is not None:
            raise NotAsExpected(f"it ended with exit code {process.returncode}")
        return status(f"http://{address}/readyz") == 200

    wait_until(ready, READY_S, "ready")


def status(url: str) -> int | None:
    """Return the status a GET is answered with, or None when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None
