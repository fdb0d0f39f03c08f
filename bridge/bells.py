"""Threads of one process that wait for what another one writes are woken at once, and need not look all the time."""

import threading
from collections.abc import Collection, Iterable

#: How often what other processes wrote to a file of SQLite is looked for, in seconds: a data_version pragma.
ELSEWHERE_S = 0.05


class Bells:
    """Bells by name. For threads of this process only: what other processes write has to be looked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listening: dict[threading.Event, frozenset[str]] = {}

    def listen(self, names: Iterable[str]) -> threading.Event:
        """Return an event that is set whenever one of these bells rings, until `leave`.

        Who clears it before looking misses nothing: what is written after that look sets it again.
        """
        woken = threading.Event()
        with self._lock:
            self._listening[woken] = frozenset(names)
        return woken

    def leave(self, woken: threading.Event) -> None:
        """Listen no more."""
        with self._lock:
            self._listening.pop(woken, None)

    def ring(self, names: Collection[str] | None = None) -> None:
        """Wake who listens to one of these bells, or to any."""
        with self._lock:
            for woken, listened_to in self._listening.items():
                if names is None or not listened_to.isdisjoint(names):
                    woken.set()
