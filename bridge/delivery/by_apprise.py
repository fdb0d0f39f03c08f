"""Messengers, text messages, push: whatever apprise speaks, by a URL the operator wrote (https://github.com/caronc/apprise).

apprise opens its connections itself, so the guard of our own does not watch them: the host comes from the operator's
variable alone, and a person's address is written into it so that it can never become another host.
"""

import logging
import re
from urllib.parse import quote

from bridge.delivery.errors import Fault, NotDelivered, Taken
from bridge.delivery.outlets import Envelope

#: A person's address on a channel: a number, a name, an id. Nothing that could end a part of a URL.
_ADDRESS = re.compile(r"[\w@+.\-]{1,64}", re.ASCII)


class ByApprise:
    """One channel of apprise; `{to}` in its URL is the person's address."""

    def __init__(self, name: str, url: str) -> None:
        self._name, self._url = name, url

    def send(self, envelope: Envelope) -> Taken:
        """See Outlet.send. apprise tells only that it failed, in a log line; so every failure may pass."""
        # A second and 20 MB, and most offices do not use it.
        import apprise
        from apprise.logger import LogCapture

        sender = apprise.Apprise()
        if not sender.add(self._filled(envelope.address)):
            raise NotDelivered(f"{self._name}: apprise does not know such a URL", fault=Fault.OURS)
        with LogCapture(level=logging.WARNING) as said:  # type: ignore[no-untyped-call]
            taken = sender.notify(body=envelope.notice.text, title=envelope.notice.subject, body_format="text")
            words = said.getvalue()
        if not taken:
            raise NotDelivered(f"{self._name}: {self._without_secrets(words) or 'not taken, without a word'}")
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
