"""The city's own list of what it sent, as CSV, JSON or JSON Lines, read piece by piece; every fault with its line."""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import chain
from typing import Any, TextIO

from bridge.storage.listed import Entry

_ID = re.compile(r"[!-~]{1,256}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
#: What is read of a line; all else is left alone.
_COLUMNS = {"webhook_id", "sha256"}
_NAMES = ("webhook_id", "sha256", "sent_at", "received_at")
#: Where a comma stands in numbers, spreadsheets write a semicolon between columns; what is copied from them has tabs.
_DELIMITERS = (",", ";", "\t")
#: No line, and no value in a JSON file, is longer than this.
_AHEAD = 64 * 1024
#: No object at the top of a JSON file has more.
_MOST_NAMES = 1000


class BadList(ValueError):
    """It is no list of webhooks; says where and why."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"line {line}: {what}")


def entries(stream: TextIO) -> Iterator[Entry]:
    """Yield what a list says: CSV with a header, JSON objects in arrays or one after the other, or our manifests.

    Raises:
        BadList: at the first fault.
    """
    first, blank = stream.readline(_AHEAD), 0
    while first and not first.strip():
        first, blank = stream.readline(_AHEAD), blank + 1
    # Opened as UTF-8, every second character of UTF-16 is a NUL, and its mark is no character at all.
    if "\0" in first or first.startswith(("\udcff\udcfe", "\udcfe\udcff")):
        raise BadList(blank + 1, "this looks like UTF-16: save the list as UTF-8")
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
    header = _header(first, stream)
    # A line without an end is cut, so that no file can fill the memory.
    lines = chain(header, iter(lambda: stream.readline(_AHEAD), ""))
    delimiter = next((each for each in _DELIMITERS if set(_named(header, each)) >= _COLUMNS), ",")
    reader = _reader(lines, delimiter)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        _check(names, blank + 1)
        for row in reader:
            if not any(value.strip() for value in row):
                continue
            if len(row) != len(names):
                raise BadList(blank + reader.line_num, f"{len(row)} columns instead of {len(names)}")
            yield blank + reader.line_num, dict(zip(names, map(str.strip, row), strict=True))
    except csv.Error as error:
        raise BadList(blank + reader.line_num, str(error)) from error


def _header(first: str, stream: TextIO) -> list[str]:
    """Return the lines of the header: a name between quotation marks may go over several."""
    lines, quotes, chars = [first], first.count('"'), len(first)
    while quotes % 2 and chars < _AHEAD and (line := stream.readline(_AHEAD)):
        lines.append(line)
        quotes, chars = quotes + line.count('"'), chars + len(line)
    return lines


def _reader(lines: Iterable[str], delimiter: str) -> Any:
    return csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)


def _named(header: list[str], delimiter: str) -> list[str]:
    try:
        return [name.strip().lower() for name in next(_reader(header, delimiter), [])]
    except csv.Error:
        return []


def _check(names: list[str], line: int) -> None:
    if not set(names) >= _COLUMNS:
        raise BadList(line, "the first line has to name the columns: webhook_id,sha256[,sent_at]")
    if twice := [name for name in _NAMES if names.count(name) > 1]:
        raise BadList(line, f"the column {twice[0]} is there twice")


# --- JSON -----------------------------------------------------------------------------------------------------------


def _from_json(first: str, stream: TextIO, blank: int) -> Iterator[tuple[int, dict[str, Any]]]:
    text = _Json(first, stream, blank + 1)
    while (begins := text.next()) != "":
        if begins not in "[{":
            raise text.fault("expected an array of objects, an object a line, or a manifest with its items")
        yield from _array(text) if begins == "[" else _object(text)


def _array(text: "_Json") -> Iterator[tuple[int, dict[str, Any]]]:
    for _ in text.parts("[", "]"):
        line, value = text.line, text.value()
        if not isinstance(value, dict):
            raise BadList(line, "expected an object with webhook_id and sha256")
        yield line, value


def _object(text: "_Json") -> Iterator[tuple[int, dict[str, Any]]]:
    """Read a manifest, whose items may be many, or one webhook."""
    line, found = text.line, False
    said: dict[str, Any] = {}
    for _ in text.parts("{", "}"):
        name = _name(text, said)
        said[name] = None
        if name == "items" and text.next() == "[":
            found = True
            yield from _array(text)
        else:
            value = text.value()
            said[name] = value if name in _NAMES else None
    if not found and "webhook_id" not in said:
        raise text.fault("an object without items or webhook_id: expected a webhook, or a manifest")
    if not found:
        yield line, said


def _name(text: "_Json", said: Mapping[str, Any]) -> str:
    name = text.value()
    if not isinstance(name, str):
        raise text.fault("this is no JSON: a name has to be a text")
    if name in said:
        raise text.fault(_twice(name))
    if len(said) >= _MOST_NAMES:
        raise text.fault(f"more than {_MOST_NAMES} names in one object")
    text.take(":")
    return name


def _twice(name: str) -> str:
    return f"the key {name[:64]!r} is there twice in one object"


class _Twice(ValueError):
    """Two parsers would read such an object differently."""


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Twice(_twice(name))
        found[name] = value
    return found


class _Json:
    """JSON read value by value: only the value at hand is in memory."""

    def __init__(self, first: str, stream: TextIO, line: int) -> None:
        self._text, self._at, self._stream, self.line = first, 0, stream, line
        self._decoder = json.JSONDecoder(object_pairs_hook=_once_each)

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

    def parts(self, opening: str, closing: str) -> Iterator[None]:
        """Come to each part of an array or an object, to be taken by the caller; commas stand only between them."""
        self.take(opening)
        more = self.next() != closing
        while more:
            yield
            if more := self.next() != closing:
                self.take(",")
                if self.next() == closing:
                    raise self.fault(f"a comma before {closing!r}")
        self.take(closing)

    def value(self) -> Any:
        """Take the next value."""
        self.next()
        begins = self._at
        try:
            found, self._at = self._decoder.raw_decode(self._text, begins)
        except _Twice as error:
            raise self.fault(str(error)) from error
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
