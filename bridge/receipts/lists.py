"""The city's own list of what it sent, as CSV or JSON, read piece by piece; every fault with its line."""

import csv
import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import chain
from typing import Any, TextIO

from bridge.storage.listed import Entry

_ID = re.compile(r"[!-~]{1,256}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
#: No line, and no value in a JSON file, is longer than this.
_AHEAD = 64 * 1024


class BadList(ValueError):
    """It is no list of webhooks; says where and why."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"line {line}: {what}")


def entries(stream: TextIO) -> Iterator[Entry]:
    """Yield what a list says: CSV with a header, JSON arrays of objects, or manifests as we answer them.

    Raises:
        BadList: at the first fault.
    """
    first, blank = stream.readline(_AHEAD), 0
    while first and not first.strip():
        first, blank = stream.readline(_AHEAD), blank + 1
    rows = _from_json if first.lstrip()[:1] in ("[", "{") else _from_csv
    for line, row in rows(first, stream, blank):
        yield _entry(row, line)


def _entry(row: Mapping[str, Any], line: int) -> Entry:
    webhook_id, sha256 = row.get("webhook_id"), row.get("sha256")
    if not isinstance(webhook_id, str) or not _ID.fullmatch(webhook_id):
        raise BadList(line, "webhook_id is missing, or more than 256 visible ASCII characters, or has others in it")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise BadList(line, f"sha256 of {webhook_id} is not 64 hexadecimal digits")
    received_at, sent_at = (_instant(row.get(name), name, line) for name in ("received_at", "sent_at"))
    return Entry(webhook_id, sha256.lower(), received_at or sent_at, received_at is not None)


def _instant(text: Any, name: str, line: int) -> datetime | None:
    if text in (None, ""):
        return None
    try:
        at = datetime.fromisoformat(text)
    except (ValueError, TypeError):
        at = None
    if at is None or at.tzinfo is None:
        raise BadList(line, f"{name} is not an instant with its zone, like 2026-11-24T10:00:00+07:00")
    return at


# --- CSV ------------------------------------------------------------------------------------------------------------


def _from_csv(first: str, stream: TextIO, blank: int) -> Iterator[tuple[int, dict[str, str]]]:
    # Where a comma stands in numbers, spreadsheets write a semicolon between the columns.
    delimiter = ";" if ";" in first and "," not in first else ","
    # A line without an end is cut, so that no file can fill the memory.
    lines = chain([first], iter(lambda: stream.readline(_AHEAD), ""))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        if not {"webhook_id", "sha256"} <= set(names):
            raise BadList(blank + 1, "the first line has to name the columns: webhook_id,sha256[,sent_at]")
        for row in reader:
            if row and len(row) != len(names):
                raise BadList(blank + reader.line_num, f"{len(row)} columns instead of {len(names)}")
            if row:
                yield blank + reader.line_num, dict(zip(names, row, strict=True))
    except csv.Error as error:
        raise BadList(blank + reader.line_num, str(error)) from error


# --- JSON -----------------------------------------------------------------------------------------------------------


def _from_json(first: str, stream: TextIO, blank: int) -> Iterator[tuple[int, dict[str, Any]]]:
    text = _Json(first, stream, blank + 1)
    while (begins := text.next()) != "":
        if begins not in "[{":
            raise text.fault("expected an array of objects, or a manifest with its items")
        yield from _array(text) if begins == "[" else _manifest(text)


def _array(text: "_Json") -> Iterator[tuple[int, dict[str, Any]]]:
    text.take("[")
    while text.next() != "]":
        line, value = text.line, text.value()
        if not isinstance(value, dict):
            raise BadList(line, "expected an object with webhook_id and sha256")
        yield line, value
        if text.next() != "]":
            text.take(",")
    text.take("]")


def _manifest(text: "_Json") -> Iterator[tuple[int, dict[str, Any]]]:
    text.take("{")
    found = False
    while text.next() != "}":
        name = text.value()
        text.take(":")
        if name == "items" and text.next() == "[":
            found = True
            yield from _array(text)
        else:
            text.value()
        if text.next() != "}":
            text.take(",")
    if not found:
        raise text.fault("an object without items: expected an array of objects, or a manifest")
    text.take("}")


class _Json:
    """JSON read value by value: only the value at hand is in memory."""

    def __init__(self, first: str, stream: TextIO, line: int) -> None:
        self._text, self._at, self._stream, self.line = first, 0, stream, line
        self._decoder = json.JSONDecoder()

    def next(self) -> str:
        """Return the next character that is no space, without taking it; "" at the end."""
        while True:
            self._fill()
            begins = self._at
            while self._text[self._at : self._at + 1] in (" ", "\t", "\r", "\n"):
                self._at += 1
            self.line += self._text.count("\n", begins, self._at)
            if self._at < len(self._text) or begins == self._at:
                return self._text[self._at : self._at + 1]

    def take(self, character: str) -> None:
        """Take a character that has to be next."""
        if self.next() != character:
            raise self.fault(f"expected {character!r}")
        self._at += 1

    def value(self) -> Any:
        """Take the next value."""
        self.next()
        begins = self._at
        try:
            found, self._at = self._decoder.raw_decode(self._text, begins)
        except (ValueError, RecursionError) as error:
            raise self.fault("this is no JSON, or longer than 64 KB") from error
        self.line += self._text.count("\n", begins, self._at)
        return found

    def fault(self, what: str) -> BadList:
        """Return the error that something is wrong here."""
        return BadList(self.line, what)

    def _fill(self) -> None:
        if len(self._text) - self._at < _AHEAD and (more := self._stream.read(4 * _AHEAD)):
            self._text, self._at = self._text[self._at :] + more, 0
