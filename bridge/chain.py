"""The chain of hashes over the escalation log: each row's hash covers the row, its number and the hash before it.

Without a database, so that it can be computed again from an export alone, elsewhere.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple


class Head(NamedTuple):
    """A number of the log with its hash: it stands for every row up to there."""

    seq: int
    hash: str


class Link(NamedTuple):
    """A number, the hash written down for it, and its row: every column of it; None when it is not there any more."""

    seq: int
    hash: str
    row: Mapping[str, Any] | None


class Broken(Exception):
    """At this number the chain does not hold: a row was changed or is missing."""

    def __init__(self, seq: int) -> None:
        super().__init__(f"the chain is broken at number {seq}")
        self.seq = seq


#: What comes before the first row.
START = Head(0, "0" * 64)


def after(head: Head, row: Mapping[str, Any]) -> Head:
    """Return the head once this row has been added; its instants are aware, in UTC."""
    # A remark that is not there counts as no column: rows from before it existed keep their hash.
    known = {name: value for name, value in row.items() if name != "remark" or value is not None}
    seq = head.seq + 1
    fact = json.dumps(known | {"seq": seq}, sort_keys=True, default=_plain, separators=(",", ":"))
    return Head(seq, hashlib.sha256((head.hash + fact).encode()).hexdigest())


def follow(links: Iterable[Link], start: Head = START) -> Iterator[Head]:
    """Yield the head after each link, as long as the chain holds.

    Raises:
        Broken: it does not.
    """
    head = start
    for seq, written, row in links:
        if row is None or (seq, written) != (following := after(head, row)):
            raise Broken(head.seq + 1)
        head = following
        yield head


def _plain(value: Any) -> str:
    return value.isoformat(timespec="microseconds") if hasattr(value, "isoformat") else str(value)
