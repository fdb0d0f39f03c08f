"""The escalation log as CSV and JSON: written page by page, and read back to follow the chain without a database."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any, TextIO

from bridge.chain import Link

Pages = Iterable[Sequence[Mapping[str, Any]]]

#: What only other names say: our column -> what exports and `--json` lists call it.
_CALLED = {"target": "to"}


def _whole(value: Any) -> int:
    number = int(value)
    if str(number) != str(value):
        raise ValueError(f"{value!r} is no whole number")
    return number


def _instant(text: Any) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return at.astimezone(UTC)


#: Every column that is hashed, and how its text is read. Empty text is no value.
_HASHED: Mapping[str, Any] = {
    "id": _whole,
    "report_id": str,
    "ticket": str,
    "kind": str,
    "cycle": _whole,
    "step": _whole,
    "level": _whole,
    "due_at": _instant,
    "fired_at": _instant,
    "lateness_s": float,
    "held_by": str,
    "target": str,
    "told": lambda text: json.loads(text) if isinstance(text, str) else text,
    "did": str,
    "policy_version": str,
    "calendar_version": str,
    "remark": str,
}
#: The keys of a row, in the order of the columns. What scripts read by place stays in front.
KEYS = (
    *("seq", "ticket", "cycle", "kind", "level", "due_at", "fired_at", "lateness_s", "to", "told", "did", "remark"),
    *("delivered", "answered", "hash", "id", "report_id", "step", "held_by", "policy_version", "calendar_version"),
)


class BadExport(ValueError):
    """It is no export of the log; says where and why."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"line {line}: {what}")


def as_object(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a listed row of the log under its promised keys."""
    named = {_CALLED.get(name, name): value for name, value in row.items()}
    answered = None if named["answered"] is None else bool(named["answered"])
    return {key: named[key] for key in KEYS} | {"answered": answered}


def as_csv(pages: Pages, keys: Sequence[str] = KEYS) -> Iterator[str]:
    """Yield the head line, then the lines of each page."""
    yield _lines(keys, [dict(zip(keys, keys, strict=True))])
    for page in pages:
        yield _lines(keys, page)


def as_json(pages: Pages, keys: Sequence[str] = KEYS) -> Iterator[str]:
    """Yield an array, one object a line, in a piece per page."""
    between = "["
    for page in pages:
        objects = [json.dumps({key: row[key] for key in keys}, default=_plain, ensure_ascii=False) for row in page]
        yield between + "\n" + ",\n".join(objects)
        between = ","
    yield ("[" if between == "[" else "") + "\n]\n"


def links(file: TextIO) -> Iterator[Link]:
    """Yield the rows of an export that have a number, as links of the chain.

    Raises:
        BadExport: at the first fault.
    """
    first = file.readline()
    rows = _from_json(file) if first.strip() == "[" else _from_csv(first, file)
    for line, row in rows:
        if row.get("seq") not in (None, ""):
            yield _link(line, row)


def _link(line: int, row: Mapping[str, Any]) -> Link:
    missing = [key for key in (*map(_key, _HASHED), "hash") if key not in row]
    if missing:
        raise BadExport(line, f"it has no {', '.join(missing)}: write it with bridge escalations export")
    try:
        facts = {name: _read(read, row[_key(name)]) for name, read in _HASHED.items()}
        return Link(_whole(row["seq"]), str(row["hash"]), facts)
    except (ValueError, TypeError) as error:
        raise BadExport(line, f"this is not as it was written: {error}") from error


def _key(name: str) -> str:
    return _CALLED.get(name, name)


def _read(read: Any, value: Any) -> Any:
    return None if value in (None, "") else read(value)


def _from_json(file: TextIO) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(file, start=2):
        text = line.strip().removesuffix(",")
        if text in ("", "]"):
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadExport(number, f"no object: {error}") from error
        if not isinstance(row, dict):
            raise BadExport(number, "no object")
        yield number, row


def _from_csv(first: str, file: TextIO) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.reader(chain([first], file), strict=True)
    try:
        keys = next(reader, [])
        if "seq" not in keys:
            raise BadExport(1, "neither a line with the names of the columns nor the beginning of an array")
        for row in reader:
            if len(row) != len(keys):
                raise BadExport(reader.line_num, f"{len(row)} columns instead of {len(keys)}")
            yield reader.line_num, dict(zip(keys, row, strict=True))
    except csv.Error as error:
        raise BadExport(reader.line_num, str(error)) from error


def _lines(keys: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([_cell(row[key]) for key in keys] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
