"""Names for a report that anyone can recompute: no look-up, no counter, nothing to guess."""

import hmac
import uuid
from hashlib import sha1, sha256

#: Namespace of report ids (UUIDv5, RFC 9562 section 5.5). Changing it renames every report: never do.
REPORTS = uuid.UUID("7d0f4f0c-6d5b-5a53-8f0e-6a656d626174")

#: Crockford's base 32: no I, L, O, U, so that a ticket survives the telephone.
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ_AS = str.maketrans({"I": "1", "L": "1", "O": "0", "-": None, " ": None})
_TICKET_CHARS = 12
#: Two characters for each ten bits, and what a doubled character adds to the check sum: looked up per webhook.
_TWO = [first + second for first in CROCKFORD for second in CROCKFORD]
_DOUBLED = {character: 2 * value // 32 + 2 * value % 32 for value, character in enumerate(CROCKFORD)}


def report_id_for(source: str, external_id: str) -> str:
    """Return the report's id: a UUIDv5 of (source, the city's own id), as 36 lower-case characters."""
    # A source name has no slash (config refuses it), so the pair cannot be read in two ways.
    name = f"{source}/{external_id}".encode()
    # As `uuid.uuid5` does it, without an object in between: two hundredths of what a webhook costs.
    digits = sha1(REPORTS.bytes + name, usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def ticket_for(key: bytes, source: str, external_id: str) -> str:
    """Return the citizen's ticket, like `K7Q2-9XWM-4T8K`.

    Eleven characters (55 bits) of HMAC-SHA256 under the ticket key, then a check character. Without the
    key nobody can compute or guess one; with it a retry gets the same ticket without a look-up.
    """
    # Not hmac.digest: that lets go of the interpreter, and of thirty busy threads it comes back last.
    digest = hmac.new(key, f"{source}/{external_id}".encode(), sha256).digest()
    number = int.from_bytes(digest[:8], "big") >> 9
    body = "".join([_TWO[(number >> shift) & 1023] for shift in (45, 35, 25, 15, 5)]) + CROCKFORD[number & 31]
    return _grouped(body + _check_character(body))


def read_ticket(text: str) -> str | None:
    """Return the ticket a person typed in its one written form, or None if it cannot be one.

    Small letters, missing dashes and Crockford's look-alikes (I and L for 1, O for 0) are forgiven; a slip in
    one character, or two neighbours swapped (but for 0 and Z), is noticed by the check character.
    """
    plain = text.upper().translate(_READ_AS)
    if len(plain) != _TICKET_CHARS or any(character not in CROCKFORD for character in plain):
        return None
    return _grouped(plain) if _check_character(plain[:-1]) == plain[-1] else None


def _grouped(plain: str) -> str:
    return f"{plain[:4]}-{plain[4:8]}-{plain[8:]}"


def _check_character(body: str) -> str:
    """Return the Luhn mod 32 check character (ISO/IEC 7812-1 annex B, generalised to 32 symbols)."""
    total = sum(map(_DOUBLED.__getitem__, body[::-2])) + sum(map(CROCKFORD.index, body[-2::-2]))
    return CROCKFORD[-total % 32]
