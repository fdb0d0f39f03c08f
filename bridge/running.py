"""Running steps as threads of one process, until told to stop; every thread is watched."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from types import FrameType

    from flask import Flask

log = structlog.get_logger()

#: Seconds a thread has to end after it was told to.
GRACE_S = 15


class CannotListen(Exception):
    """The address is taken or not ours."""


class MustStop(Exception):
    """This process may not go on, for a reason outside its code: the message says which, a stack trace would not."""


class Crew:
    """Threads that live and die together: if one ends with an error, the process ends, and is started anew."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._failed = False
        self._closers: list[Callable[[], None]] = []

    def on_stop(self, close: Callable[[], None]) -> None:
        """Call this once when told to stop, for threads that cannot watch the event."""
        self._closers.append(close)

    def add(self, name: str, work: Callable[[], None]) -> None:
        """Start a thread."""
        thread = threading.Thread(target=self._guarded, args=(name, work), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def wait(self) -> int:
        """Wait until told to stop, then for the threads; returns the exit code."""
        while not self.stop.wait(0.5):
            pass
        for close in self._closers:
            close()
        for thread in self._threads:
            thread.join(GRACE_S)
        return 1 if self._failed else 0

    def on_signals(self) -> None:
        """Stop at SIGTERM and SIGINT; a second one ends the process at once (nothing is lost by it)."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._told)

    def _told(self, _: int, __: FrameType | None) -> None:
        if self.stop.is_set():
            os._exit(1)
        self.stop.set()

    def _guarded(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except MustStop as error:
            log.error("stopped", thread=name, why=str(error))
            self._failed = True
            self.stop.set()
        except Exception:
            log.exception("thread_failed", thread=name)
            self._failed = True
            self.stop.set()


#: Connections waitress holds at once (of 1,024 files a process usually may open); a stalled one costs a socket and what
#: it has sent, never a thread.
CONNECTIONS = 500
#: Seconds without a byte after which one is closed.
IDLE_S = 30


def serve(app: Flask, host: str, port: int, crew: Crew) -> None:
    """Serve an app in a thread of the crew. Waitress buffers bodies itself: slow senders hold no thread.

    Raises:
        CannotListen: the address is taken or not ours.
    """
    from waitress import create_server
    from waitress.server import BaseWSGIServer

    from bridge.strict_http import StrictChannel

    sockets: dict[int, object] = {}
    try:
        server = create_server(
            app,
            map=sockets,
            host=host,
            port=port,
            threads=16,
            ident=None,
            connection_limit=CONNECTIONS,
            channel_timeout=IDLE_S,
            asyncore_use_poll=True,  # select() knows no more than 1024 files
            max_request_body_size=1024 * 1024,
            # What a front says about addresses is judged in one place: create_app believes as many as are configured.
            clear_untrusted_proxy_headers=False,
        )
    except OSError as error:
        raise CannotListen(f"cannot listen on {host}:{port}: {error}; set BRIDGE_LISTEN") from error
    for listening in sockets.values():
        if isinstance(listening, BaseWSGIServer):
            listening.channel_class = StrictChannel
    crew.add(f"web-{port}", server.run)
    crew.on_stop(server.close)
