"""A time zone database of our own in front of the machine's: what a government does to a zone, without one."""

import struct
import zoneinfo
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

_BEFORE_ALL = -(2**59)


class ZoneDatabase:
    """Files as RFC 9636 has them, which every ZoneInfo read from now on finds first."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="zones-")
        self._path = zoneinfo.TZPATH
        self._changed: set[str] = set()
        zoneinfo.reset_tzpath([self._folder.name, *self._path])

    def change(self, zone: str, first_s: int, *later: tuple[datetime, int]) -> None:
        """Let a zone be so many seconds ahead of UTC, and later others; who has read it before keeps what it was."""
        file = Path(self._folder.name, zone)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_tzif([(_BEFORE_ALL, first_s), *((round(at.timestamp()), ahead) for at, ahead in later)]))
        self._changed.add(zone)
        ZoneInfo.clear_cache(only_keys=[zone])

    def close(self) -> None:
        """Let the machine have its own again."""
        zoneinfo.reset_tzpath(self._path)
        ZoneInfo.clear_cache(only_keys=self._changed)
        self._folder.cleanup()


@contextmanager
def changed_zone(zone: str, first_s: int, *later: tuple[datetime, int]) -> Iterator[None]:
    """Let one zone have other rules for a while."""
    database = ZoneDatabase()
    try:
        database.change(zone, first_s, *later)
        yield
    finally:
        database.close()


def _tzif(settings: Sequence[tuple[int, int]]) -> bytes:
    header = struct.Struct(">4sc15x6L").pack
    kinds = b"".join(struct.pack(">lBB", ahead_s, 0, 0) for _, ahead_s in settings)
    moments = struct.pack(f">{len(settings)}q", *(at for at, _ in settings)) + bytes(range(len(settings)))
    older = header(b"TZif", b"2", 0, 0, 0, 0, 1, 4) + bytes(6) + b"XXX\0"
    return older + header(b"TZif", b"2", 0, 0, 0, len(settings), len(settings), 4) + moments + kinds + b"XXX\0\n\n"
