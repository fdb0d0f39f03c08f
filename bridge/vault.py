"""Personal data at rest: sealed with keys that may change, opened with any that has not been taken away."""

import base64
import binascii
import re
from collections.abc import Sequence
from hashlib import sha256
from hmac import digest

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

#: Version 128, eight bytes of time whose first are zero, then IV, whole blocks and a digest (the Fernet specification).
_TOKEN = re.compile(rb"gAAAA[A-Za-z0-9_-]+={0,2}")
_FRAME_BYTES, _BLOCK_BYTES = 1 + 8 + 16 + 32, 16
_NO_KEY = "no key in BRIDGE_DATA_KEY opens this; put the old one back behind the new"


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


def new_data_key() -> str:
    """Return a key nobody has yet, as BRIDGE_DATA_KEY takes it."""
    return Fernet.generate_key().decode("ascii")


def is_token(kept: bytes) -> bool:
    """Tell whether this is something sealed, whether or not a key of ours opens it; JSON never is."""
    if not _TOKEN.fullmatch(kept) or len(kept) % 4:
        return False
    blocks_bytes = len(base64.urlsafe_b64decode(kept)) - _FRAME_BYTES
    return blocks_bytes > 0 and blocks_bytes % _BLOCK_BYTES == 0


class Vault:
    """Seals with the first key, opens with each of them; AES-128-CBC and HMAC-SHA256, as Fernet does it."""

    def __init__(self, keys: Sequence[str], *, pepper: bytes) -> None:
        fernets = [data_key(key) for key in keys]
        self._first, self._fernet = fernets[0], MultiFernet(fernets)
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
            raise Unreadable(_NO_KEY) from error

    def renewed(self, kept: bytes) -> bytes:
        """Return the same under the first key, its time kept; what lies in clear is sealed, nothing stays nothing.

        Raises:
            Unreadable: no key of ours opens it.
        """
        if not kept or self._is_first(kept):
            return kept
        if not is_token(kept):
            return self.seal(kept)
        try:
            return self._fernet.rotate(kept)
        except InvalidToken as error:
            raise Unreadable(_NO_KEY) from error

    def _is_first(self, kept: bytes) -> bool:
        try:
            self._first.decrypt(kept)
        except InvalidToken:
            return False
        return True

    def mark(self, plain: str) -> str:
        """Return 32 characters that are the same for the same text and tell nothing of it: for looking things up."""
        return base64.b32encode(digest(self._pepper, plain.encode(), sha256))[:32].decode("ascii").lower()
