"""A source's keys: those of its variable, and those made by `bridge sources key new`, each with its time.

The file of made keys is looked at again and again, so that a key counts, or ends, without a restart.
"""

import fcntl
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from bridge.signing import BadKey

log = structlog.get_logger()

#: How long the file is believed, in seconds.
LOOK_S = 1.0
_NOT_YET = object()


@dataclass(frozen=True)
class Key:
    """One key: its id (no secret), its text, from when and until when it counts (UTC; None: always)."""

    id: str
    text: str
    not_before: datetime | None = None
    not_after: datetime | None = None
    made: bool = False  # by us, and kept in the file; others are in the source's variable

    def counts(self, now_s: float) -> bool:
        """Tell whether it opens the door now, seconds since 1970."""
        return (self.not_before is None or self.not_before.timestamp() <= now_s) and (
            self.not_after is None or now_s < self.not_after.timestamp()
        )


class BrokenKeyFile(Exception):
    """A file of made keys cannot be read; it says which and why."""


class EndedBefore(ValueError):
    """A key that has ended would count again; nothing was changed. `at` is when it ended."""

    def __init__(self, at: datetime) -> None:
        self.at = at
        super().__init__(f"it ended at {at.isoformat()}")


class KeyFile:
    """The keys made for one source, and the ends set for others: a file in the data folder, readable by us alone."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self) -> list[dict[str, Any]]:
        """Return what it holds, oldest first: `id`, and `text`, `not_before`, `not_after` where they are said.

        Raises:
            BrokenKeyFile: it is damaged.
        """
        try:
            return [_readable_line(line) for line in json.loads(self.path.read_text(encoding="utf-8"))]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise BrokenKeyFile(f"{self.path} cannot be read: {error}") from error

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep others from changing it meanwhile."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_name(f".{self.path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def write(self, lines: Sequence[dict[str, Any]]) -> None:
        """Replace it as a whole: whoever reads meanwhile sees the old or the new one."""
        draft = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(lines, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)
        # Else a power cut could bring back a key that was ended at once.
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _readable_line(line: dict[str, Any]) -> dict[str, Any]:
    name = str(line["id"])
    said = {part: line.get(part) for part in ("text", "not_before", "not_after")}
    if not isinstance(said["text"], str | None):
        raise TypeError(f"the text of key {name} is no text")
    for part in ("not_before", "not_after"):
        _instant(said[part])
    return {"id": name, **said}


class Keyring:
    """All keys of one source, ready to be compared with; broken ones count for nothing and are in `faults`."""

    def __init__(
        self,
        texts: Sequence[str],
        path: Path,
        *,
        id_of: Callable[[str], str],
        read_key: Callable[[str], Any],
    ) -> None:
        self._own = [Key(id_of(text), text) for text in texts]
        self._id_of = id_of
        self.file = KeyFile(path)
        self._read_key = read_key
        self._lock = threading.Lock()
        self._looked_at = -LOOK_S
        self._seen: object = _NOT_YET
        self._ready: list[tuple[Key, Any]] = []

    def known(self) -> list[Key]:
        """Return every key there is, whether it counts now or not.

        Raises:
            BrokenKeyFile: the file is damaged.
        """
        lines = {line["id"]: line for line in self.file.lines()}
        own = [_said(key, lines.pop(key.id, {})) for key in self._own]
        return own + [_said(Key(name, line["text"], made=True), line) for name, line in lines.items() if line["text"]]

    def add(self, text: str, *, not_before: datetime | None, not_after: datetime | None) -> str:
        """Keep one more key; returns its id. One that is there already gets these times.

        Raises:
            BadKey: the source's scheme cannot use it.
            BrokenKeyFile: the file is damaged.
        """
        self._read_key(text)
        name = self._id_of(text)
        own = any(key.id == name for key in self._own)
        with self.file.alone():
            self._write(_line(name, None if own else text, not_before, not_after))
        return name

    def retire(self, key_id: str, at: datetime, *, now: datetime) -> None:
        """Let a key end then; whoever else ends one meanwhile waits.

        Raises:
            KeyError: no key has this id.
            EndedBefore: it has ended by now, and would end later.
            BrokenKeyFile: the file is damaged.
        """
        with self.file.alone():
            found = next((key for key in self.known() if key.id == key_id), None)
            if found is None:
                raise KeyError(key_id)
            if found.not_after is not None and found.not_after <= now and at > found.not_after:
                raise EndedBefore(found.not_after)
            text = found.text if found.made else None
            self._write(_line(key_id, text, found.not_before, at))

    def _write(self, line: dict[str, Any]) -> None:
        """Replace the line of a key; the caller keeps others away."""
        self.file.write([other for other in self.file.lines() if other["id"] != line["id"]] + [line])

    def live(self, now_s: float) -> list[tuple[Key, Any]]:
        """Return the keys that count now, each with what it is compared by."""
        if time.monotonic() - self._looked_at >= LOOK_S:
            self._look()
        return [(key, ready) for key, ready in self._ready if key.counts(now_s)]

    def _look(self) -> None:
        with self._lock:
            seen = _mark_of(self.file.path)
            if seen != self._seen:
                try:
                    self._ready = list(self._readable(self.known()))
                    self._seen = seen
                except BrokenKeyFile as error:
                    # What was good stays good: a slip of an editor must not shut the city out.
                    log.error("key_file_broken", error=str(error))
                    self._ready = self._ready or list(self._readable(self._own))
            self._looked_at = time.monotonic()

    def _readable(self, keys: Iterable[Key]) -> Iterable[tuple[Key, Any]]:
        for key in keys:
            try:
                yield key, self._read_key(key.text)
            except BadKey as error:
                log.error("key_not_used", key=key.id, error=str(error))


def _line(name: str, text: str | None, not_before: datetime | None, not_after: datetime | None) -> dict[str, Any]:
    times = {"not_before": not_before, "not_after": not_after}
    return {"id": name, "text": text, **{part: at.isoformat() if at else None for part, at in times.items()}}


def _said(key: Key, line: dict[str, Any]) -> Key:
    return replace(key, not_before=_instant(line.get("not_before")), not_after=_instant(line.get("not_after")))


def _instant(text: str | None) -> datetime | None:
    at = datetime.fromisoformat(text) if text else None
    if at and not at.tzinfo:
        raise ValueError(f"{text} has no time zone")
    return at


def _mark_of(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
