"""A door per source: who may come in, by which key, and how many a second."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from bridge.keyring import Keyring
from bridge.schemes import Environ, Headers, Scheme, Shown, first_equal
from bridge.signing import NotAuthentic
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
        live = self.keyring.live(now_s) if self.keyring else []
        # Without a key something is compared all the same: an unknown source costs what a bad key costs.
        keys = [ready for _, ready in live] or [self.scheme.decoy]
        found = self.scheme.check(keys, Shown(environ, self.headers, body, now_s))
        if not live:
            raise NotAuthentic("no_key")
        return Verified(found.webhook_id, live[found.key_number][0].id)

    def api_key(self, text: str) -> str:
        """Return the id of the key that `text` is.

        Raises:
            NotAuthentic: none of them.
        """
        live = self.keyring.live(time.time()) if self.keyring else []
        number = first_equal([ready for _, ready in live] or [self.scheme.decoy], text.encode("utf-8", "replace"))
        if not live:
            raise NotAuthentic("no_key")
        return live[number][0].id

    def let_through(self) -> None:
        """Count one more.

        Raises:
            TooMany: the source sends faster than it may.
        """
        if self.throttle and (wait_s := self.throttle.wait_s("")):
            raise TooMany(wait_s)


Doors = Mapping[str, Door]
