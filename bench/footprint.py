"""What `bridge up` takes: time to ready, resident memory before and after many reports, install size.

    python -m bench.footprint [--rounds 5] [--reports 10000] [--rate 200] [--no-install] [--quick]

Embedded queue and SQLite, one process. The first start makes the database; the others find it. The install
size is that of a fresh virtual environment made from requirements.txt, without the bytecode made later.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from bench.bridges import KEYS, TICKET_KEY, call, command, status, wait_ready
from bench.common import (
    ROOT,
    NotAsExpected,
    end_in_order,
    resident_mb,
    running,
    save,
    scratch_folder,
    table,
    wait_until,
)
from bench.load import paced
from bench.signed import body, new_ids, new_secret, requests
from bridge.reports.tickets import ticket_for
from tests.servers import free_port

CONNECTIONS = 16
#: How long the last report may take to be stored after it was sent, in seconds.
STORED_S = 300.0
#: Making an environment and installing into it, in seconds.
INSTALL_S = 600


def start_s(env: Mapping[str, str], log: Path) -> float:
    """Return the seconds from starting `bridge up` to its first 200 at /readyz."""
    began = time.monotonic()
    with running(command("up"), env, log) as process:
        wait_ready(process, env["BRIDGE_LISTEN"])
        return time.monotonic() - began


def memory_mb(env: Mapping[str, str], log: Path, reports: int, rate: float) -> tuple[float, float]:
    """Return the resident memory when idle, and after this many reports have been taken in."""
    address, secret = env["BRIDGE_LISTEN"], env["QLUE_WEBHOOK_SECRET"]
    ids = new_ids(reports)
    last = ticket_for(TICKET_KEY.encode(), "qlue", ids[-1])
    with running(command("up"), env, log) as process:
        wait_ready(process, address)
        idle_mb = resident_mb(process.pid)
        signed = requests(secret, [body(one) for one in ids], host=address)
        seconds = round(reports / rate)
        sent = paced(address, signed, connections=CONNECTIONS, seconds=seconds, rate=reports / seconds)
        if sent.accepted != reports:
            raise NotAsExpected(f"not all of {reports} were accepted: {sent}")
        # The queue keeps the order: when the citizen sees the last one, all are stored.
        wait_until(lambda: status(f"http://{address}/track/{last}") == 200, STORED_S, "the last report")
        after_mb = resident_mb(process.pid)
    _all_stored(env, reports)
    return idle_mb, after_mb


def _all_stored(env: Mapping[str, str], reports: int) -> None:
    stored = len(json.loads(call(env, "reports", "list", "--most", "100000", "--json")))
    if stored != reports:
        raise NotAsExpected(f"{reports} reports were accepted, {stored} are stored")


def install_mb(folder: Path) -> float:
    """Return the size of a fresh environment with requirements.txt, in MB, without bytecode."""
    place = folder / "venv"
    install = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes"]
    for words in (
        [sys.executable, "-m", "venv", str(place)],
        [*install, "-r", str(ROOT / "requirements.txt")],
    ):
        subprocess.run(words, check=True, timeout=INSTALL_S)
    files = (path for path in place.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files if path.suffix != ".pyc") / 2**20


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return all figures."""
    address = f"127.0.0.1:{free_port()}"
    env = {**KEYS, "BRIDGE_LISTEN": address, "BRIDGE_DATA_DIR": str(folder / "data")}
    env["QLUE_WEBHOOK_SECRET"] = new_secret()
    log = folder / "up.log"
    first_s = start_s(env, log)
    starts_s = [start_s(env, log) for _ in range(options.rounds)]
    idle_mb, after_mb = memory_mb(env, log, options.reports, options.rate)
    size_mb = None if options.no_install else install_mb(folder)
    return {
        "first_start_s": first_s,
        "starts_s": starts_s,
        "idle_mb": idle_mb,
        "after_mb": after_mb,
        "install_mb": size_mb,
    }


def as_table(found: Mapping[str, Any], reports: int) -> str:
    """Return a row per figure."""
    starts = found["starts_s"]
    size = found["install_mb"]
    rows = [
        ["first start to ready, database made", f"{found['first_start_s']:.2f} s", "", "≤ 2 s"],
        ["start to ready", f"{median(starts):.2f} s", f"{min(starts):.2f}-{max(starts):.2f}", "≤ 2 s"],
        ["resident memory, idle", f"{found['idle_mb']:.0f} MB", "", "≤ 150 MB"],
        [f"resident memory after {reports:,} reports", f"{found['after_mb']:.0f} MB", "", "≤ 150 MB, flat"],
        ["install size", "not measured" if size is None else f"{size:.0f} MB", "", ""],
    ]
    return table("footprint: `bridge up`, embedded", ("", "found", "spread", "to reach"), rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="starts")
    parser.add_argument("--reports", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=200, help="reports per second")
    parser.add_argument("--no-install", action="store_true", help="leave out the install size")
    parser.add_argument("--quick", action="store_true", help="one start, 200 reports, no install")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.reports, options.rate, options.no_install = 1, 200, 100, True
    return options


def main() -> None:
    """Measure, print the table, keep the figures."""
    options = _options()
    end_in_order()
    with scratch_folder("footprint") as folder:
        found = measure(folder, options)
    print(as_table(found, options.reports))
    print(save("footprint", {"options": vars(options), **found}).relative_to(ROOT))


if __name__ == "__main__":
    main()
