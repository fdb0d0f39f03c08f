"""Personal data at rest: sealed with keys that may change, opened with any that has not been taken away."""

import base64
import binascii
from collections.abc import Sequence
from hashlib import sha256
from hmac import digest

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class Unreadable(ValueError):
    """Sealed with a key that is not here any more, or damaged."""


class BadDataKey(ValueError):
    """A key that seals nothing."""


def data_key(text: str) -> Fernet:
    """Return the key written as the URL-safe base64 of 32 random bytes (the Fernet specification).

    Raises:
        BadDataKey: it is something else.
    """
    try:
        return Fernet(text.encode())
    except (ValueError, binascii.Error) as error:
        raise BadDataKey("not the URL-safe base64 of 32 random bytes; make one with: bridge data-key new") from error


class Vault:
    """Seals with the first key, opens with each of them; AES-128-CBC and HMAC-SHA256, as Fernet does it."""

    def __init__(self, keys: Sequence[str], *, pepper: bytes) -> None:
        self._fernet = MultiFernet([data_key(key) for key in keys])
        self._pepper = pepper

    @classmethod
    def under(cls, master: bytes, keys: Sequence[str] = ()) -> "Vault":
        """Return a vault of these keys, newest first, and behind them the one that comes of the master key.

        Raises:
            BadDataKey: one of them is not a key.
        """
        own = base64.urlsafe_b64encode(digest(master, b"jembatan data key", sha256)).decode("ascii")
        return cls([*keys, own], pepper=digest(master, b"jembatan marks", sha256))

    def seal(self, plain: bytes) -> bytes:
        """Return a token, ASCII, about 4/3 as long; never twice the same."""
        return self._fernet.encrypt(plain)

    def open(self, token: bytes) -> bytes:
        """Return what was sealed.

        Raises:
            Unreadable: no key of ours opens it.
        """
        try:
            return self._fernet.decrypt(token)
        except InvalidToken as error:
            raise Unreadable("no key in BRIDGE_DATA_KEY opens this; put the old one back behind the new") from error

    def resealed(self, token: bytes) -> bytes:
        """Return the same under the first key, its time kept.

        Raises:
            Unreadable: no key of ours opens it.
        """
        try:
            return self._fernet.rotate(token)
        except InvalidToken as error:
            raise Unreadable("no key in BRIDGE_DATA_KEY opens this; put the old one back behind the new") from error

    def mark(self, plain: str) -> str:
        """Return 32 characters that are the same for the same text and tell nothing of it: for looking things up."""
        return base64.b32encode(digest(self._pepper, plain.encode(), sha256))[:32].decode("ascii").lower()
