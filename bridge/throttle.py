"""Slowing down those who ask too often, per process: guessing tickets and passwords must not be cheap."""

import threading
import time
from collections import OrderedDict


class Throttle:
    """A token bucket per key: `burst` at once, then one every `every_s` seconds. Holds the last 10,000 keys."""

    _MOST_KEYS = 10_000

    def __init__(self, *, burst: int, every_s: float) -> None:
        self._burst, self._every_s = burst, every_s
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, key: str, *, take: bool = True) -> float:
        """Take one token and return 0, or return how many seconds are left until there is one.

        With `take` False only look: 0 if there is a token.
        """
        now = time.monotonic()
        with self._lock:
            tokens, at = self._buckets.pop(key, (float(self._burst), now))
            tokens = min(float(self._burst), tokens + (now - at) / self._every_s)
            allowed = tokens >= 1
            self._buckets[key] = (tokens - 1 if allowed and take else tokens, now)
            if len(self._buckets) > self._MOST_KEYS:
                self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - tokens) * self._every_s
