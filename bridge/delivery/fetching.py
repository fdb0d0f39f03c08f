"""A file from an address a citizen wrote: through the guard, of a kind its first bytes tell, and not too large."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import BinaryIO

from bridge.delivery.errors import Fault, NotDelivered
from bridge.delivery.guarded import Guard, Incoming, Limits, Outgoing

MOST_BYTES = 20_000_000
LIMITS = Limits(connect_s=5, silent_s=10, total_s=30)
#: So many first bytes say what a file is.
_HEAD_BYTES = 512
#: Brands of the ISO base media format (ISO/IEC 14496-12) that are pictures; all others here are taken for video.
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_MP4 = (
    b"isom",
    b"iso2",
    b"iso4",
    b"iso5",
    b"iso6",
    b"mp41",
    b"mp42",
    b"avc1",
    b"M4V ",
    b"MSNV",
    b"dash",
    b"3gp4",
    b"3gp5",
)
#: media type -> ending of a file's name
ENDINGS = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "image/heic": "heic",
    "application/pdf": "pdf",
    "video/mp4": "mp4",
    "text/plain": "txt",
}


class Why(StrEnum):
    """Why there is no file."""

    FORBIDDEN = "forbidden"  # its address is inside, or no address at all
    AWAY = "away"  # no answer, not in time, cut off
    REFUSED = "refused"  # any status but 200, a redirect too
    KIND = "kind"
    SIZE = "size"


class NotFetched(Exception):
    """There is no file; `detail` is for the log."""

    def __init__(self, why: Why, detail: str) -> None:
        self.why, self.detail = why, detail
        super().__init__(detail)


@dataclass(frozen=True)
class Fetched:
    """What was fetched: what it is by its own bytes, and its hash in hex."""

    media_type: str
    size_bytes: int
    sha256: str


def fetch(url: str, guard: Guard, into: BinaryIO, *, limits: Limits = LIMITS, most_bytes: int = MOST_BYTES) -> Fetched:
    """Write what lies at a citizen's URL into a file; an address written out in it is not meant for us.

    Raises:
        NotFetched: for one of the reasons; what was written until then is worth nothing.
    """
    outgoing = Outgoing(url, guard, limits, ours=False)
    try:
        with outgoing.asked("GET", None, {"Accept": ", ".join(ENDINGS)}) as incoming:
            if incoming.status != 200:
                raise NotFetched(Why.REFUSED, f"HTTP {incoming.status}")
            return _written(incoming, into, most_bytes)
    except NotDelivered as error:
        raise NotFetched(Why.FORBIDDEN if error.fault is Fault.OURS else Why.AWAY, error.detail) from error
    finally:
        outgoing.close()


def _written(incoming: Incoming, into: BinaryIO, most_bytes: int) -> Fetched:
    pieces = _with_head(incoming.pieces())
    head = next(pieces, b"")
    media_type = kind_of(head, incoming.headers.get("content-type", ""))
    if media_type is None:
        raise NotFetched(Why.KIND, f"begins with {head[:16]!r}")
    digest, size_bytes, piece = sha256(), 0, head
    while piece:
        size_bytes += len(piece)
        if size_bytes > most_bytes:
            raise NotFetched(Why.SIZE, f"more than {most_bytes} bytes")
        digest.update(piece)
        into.write(piece)
        piece = next(pieces, b"")
    return Fetched(media_type, size_bytes, digest.hexdigest())


def _with_head(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the pieces, the first of them long enough to tell what it is."""
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= _HEAD_BYTES:
            break
    yield head
    yield from pieces


def kind_of(head: bytes, declared: str) -> str | None:
    """Return the media type of a file that begins so, or None for one we do not hand on.

    Args:
        declared: The Content-Type; believed for text alone, which has no first bytes of its own.
    """
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"%PDF-"):
        return "application/pdf"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp":
        return "image/heic" if head[8:12] in _HEIC else "video/mp4" if head[8:12] in _MP4 else None
    said = declared.partition(";")[0].strip().lower()
    return "text/plain" if said == "text/plain" and _is_text(head) else None


def _is_text(head: bytes) -> bool:
    # The last letter may be cut in two.
    text = head.decode("utf-8", "replace").removesuffix("\N{REPLACEMENT CHARACTER}")
    return bool(text) and all(letter.isprintable() or letter in "\t\r\n\ufeff" for letter in text)
