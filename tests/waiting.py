"""Waiting for a condition, and ports that stay ours while a server is down."""

import os
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")

_given: set[int] = set()


def eventually(condition: Callable[[], Found], limit_s: float = 10.0, what: str = "") -> Found:
    """Return the condition's first true answer; fail, saying what did not happen, when there is none in time."""
    end = time.monotonic() + limit_s
    pause_s = 0.005
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit_s:g} s: {what or condition}; last answer: {found!r}")
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 0.1)
    return found


def free_port() -> int:
    """Return a loopback port nobody listens on.

    It lies below the range the kernel takes outgoing ports from: a client that keeps trying to reach a stopped server
    inside that range is sooner or later given the server's own port, and connects to itself. Of the processes that
    share a run each has ports of its own, every third if they are three: none gets that of a server another stopped.
    """
    first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    mine = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    while True:
        port = random.randrange(10_000 + mine, max(first_outgoing, 20_000), processes)
        if port not in _given and _can_listen(port):
            _given.add(port)
            return port


def _can_listen(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
