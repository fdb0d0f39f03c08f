"""A door per source: who may come in, by which key, and how many a second."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from bridge.keyring import Key, Keyring
from bridge.schemes import Environ, Headers, Scheme, Shown, first_equal
from bridge.signing import NotAuthentic, Work, pretend
from bridge.throttle import Throttle


class Verified(NamedTuple):
    """An authentic webhook: its id, and the id of the key that matched."""

    webhook_id: str
    key_id: str


class TooMany(Exception):
    """Over the source's rate; `wait_s` says for how many whole seconds."""

    def __init__(self, wait_s: float) -> None:
        self.wait_s = max(1, math.ceil(wait_s))
        super().__init__(f"wait {self.wait_s} s")


@dataclass(frozen=True)
class Door:
    """What one source has to show. `keyring` None: nobody is let in, at the same cost."""

    scheme: Scheme
    headers: Headers
    keyring: Keyring | None = None
    throttle: Throttle | None = None

    def authentic(self, environ: Environ, body: bytes) -> Verified:
        """Return who came, checked over the raw bytes.

        Raises:
            NotAuthentic: for any reason.
        """
        now_s = time.time()
        live = self._live(now_s)
        # Without a key something is compared all the same: an unknown source costs what a bad key costs.
        found = self.scheme.check(self._compared(live), Shown(environ, self.headers, body, now_s))
        if not live:
            raise NotAuthentic("no_key")
        return Verified(found.webhook_id, live[found.key_number][0].id)

    def api_key(self, text: str) -> str:
        """Return the id of the key that `text` is.

        Raises:
            NotAuthentic: none of them.
        """
        live = self._live(time.time())
        number = first_equal(self._compared(live), text.encode("utf-8", "replace"))
        if not live:
            raise NotAuthentic("no_key")
        return live[number][0].id

    def work(self) -> Work:
        """Return what it does to a body before it refuses it."""
        return self.scheme.work(self._compared(self._live(time.time())))

    def _live(self, now_s: float) -> list[tuple[Key, Any]]:
        return self.keyring.live(now_s) if self.keyring else []

    def _compared(self, live: list[tuple[Key, Any]]) -> list[Any]:
        return [ready for _, ready in live] or [self.scheme.decoy]

    def let_through(self) -> None:
        """Count one more.

        Raises:
            TooMany: the source sends faster than it may.
        """
        if self.throttle and (wait_s := self.throttle.wait_s("")):
            raise TooMany(wait_s)


Doors = Mapping[str, Door]

#: What an unknown source is refused by: one key of Standard Webhooks that nobody has.
_LEAST_WORK = Work(copies=1, macs=1)


def even_out(doors: Doors, refused_by: Door, environ: Environ, body: bytes) -> None:
    """Make a refusal as much work as the hardest door makes of it, or time would tell which sources there are.

    By how it proves itself and how many keys it has, a source goes over the body never, once or several times.
    """
    each = [door.work() for door in doors.values()]
    most = [max(times) for times in zip(_LEAST_WORK, *each, strict=True)]
    missing = Work(*(all_of_it - done for all_of_it, done in zip(most, refused_by.work(), strict=True)))
    pretend(missing, environ.get("HTTP_WEBHOOK_SIGNATURE", ""), body)
