"""What may be kept of an answer from outside: printable, short, and without anything that looks like a secret."""

import html
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

#: Characters of an answer that are kept.
MOST_CHARS = 1000
_GONE = "[…]"
_SECRET = re.compile(
    r"""
    \bwh(?:sec|sk|pk)_[\w+/=-]+                             # keys of Standard Webhooks
    | \bv1a?,[\w+/=-]+                                      # signatures
    | \b(?:bearer|basic)\s+[\w.~+/=-]{4,}                   # an Authorization header
    | [\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,4}       # e-mail addresses
    | (?:\+\d|\b0)\d?(?:[\s.()-]{0,2}\d){7,14}              # telephone numbers: +62 812-0000-7777, 0812 0000 7777
    | \b\d{9,}\b                                            # a telephone without its 0, an identity card
    | [A-Za-z0-9+/_-]{32,}={0,2}                            # base64 and hex
    """,
    re.VERBOSE | re.IGNORECASE,
)
#: Shorter ones would take half a text with them.
_LEAST_KNOWN_CHARS = 4


def redacted(text: str, known: Iterable[str] = ()) -> str:
    """Return at most 1,000 characters of a text from outside, fit for a database, a log and a page.

    Args:
        known: Secrets of ours that the other side may have echoed, also as a form or a page writes them.
    """
    for secret in known:
        if len(secret) >= _LEAST_KNOWN_CHARS:
            for written in sorted({secret, quote(secret), quote_plus(secret), html.escape(secret)}, key=len)[::-1]:
                text = text.replace(written, _GONE)
    return _SECRET.sub(_GONE, _printable(text))[:MOST_CHARS]


def _printable(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
