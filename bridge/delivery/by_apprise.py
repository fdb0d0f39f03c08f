"""Messengers, text messages, push: whatever apprise speaks, by a URL the operator wrote (https://github.com/caronc/apprise).

What it asks with `requests` goes through our guard (guarded_requests.py); what opens connections in another way is not
used. A person's address is written into the URL so that it can never become another host.
"""

import logging
import re
import sys
from urllib.parse import quote

from bridge.delivery.errors import Fault, NotDelivered, Taken
from bridge.delivery.guarded import Guard
from bridge.delivery.outlets import Envelope

_UNGUARDED = (
    "such a URL opens connections nobody guards (docs/operations.md); mail has a channel of its own, and most others "
    "of apprise speak HTTP"
)
#: A person's address on a channel: a number, a name, an id. Nothing that could end a part of a URL.
_ADDRESS = re.compile(r"[\w@+.\-]{1,64}", re.ASCII)


class ByApprise:
    """One channel of apprise; `{to}` in its URL is the person's address."""

    def __init__(self, name: str, url: str, guard: Guard) -> None:
        self._name, self._url, self._guard = name, url, guard

    def send(self, envelope: Envelope) -> Taken:
        """See Outlet.send. apprise tells only that it failed, in a log line; so every failure may pass, but our own."""
        # A second and 20 MB, and most offices do not use it.
        import apprise
        from apprise.logger import LogCapture

        from bridge.delivery.guarded_requests import guard_requests, what_failed

        guard_requests(self._guard)
        sender = apprise.Apprise()
        if not sender.add(self._filled(envelope.address)):
            raise NotDelivered(f"{self._name}: apprise does not know such a URL", fault=Fault.OURS)
        if any(not hasattr(sys.modules[type(one).__module__], "requests") for one in sender):
            raise NotDelivered(f"{self._name}: {_UNGUARDED}", permanent=True, fault=Fault.OURS)
        with LogCapture(level=logging.WARNING) as said:  # type: ignore[no-untyped-call]
            taken = sender.notify(body=envelope.notice.text, title=envelope.notice.subject, body_format="text")
            words = said.getvalue()
        if not taken:
            failed = what_failed()
            words = self._without_secrets(words) or "not taken, without a word"
            words = f"{words} {failed.detail}" if failed else words
            raise NotDelivered(f"{self._name}: {words}", fault=failed.fault if failed else Fault.AWAY)
        return Taken()

    def close(self) -> None:
        """See Outlet.close: apprise keeps nothing open."""

    def _filled(self, address: str) -> str:
        if "{to}" not in self._url:
            return self._url
        if not _ADDRESS.fullmatch(address):
            raise NotDelivered(
                f"{self._name}: {address!r} is no address there; bridge people tell … --channels {self._name}:ADDRESS",
                permanent=True,
                fault=Fault.OURS,
            )
        return self._url.replace("{to}", quote(address, safe=""))

    def _without_secrets(self, words: str) -> str:
        for part in re.split(r"[/:@?&=]+", self._url):
            if len(part) > 5:
                words = words.replace(part, "…")
        return " ".join(words.split())[:500]
