"""The head of the escalation log as the auditor keeps it: in a file, because whoever cuts off the end of the log, or
restores an older backup, would cut off a row of the same database together with it.
"""

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from bridge.chain import Head

#: Who keeps it as the log grows; anybody else has accepted it.
AUDITOR = "audit"


class HeadLost(Exception):
    """The file cannot be read or written, or what it says is no head."""


@dataclass(frozen=True)
class Kept:
    """A head, who kept it (the auditor, or the person who accepted it), and that person's reason."""

    head: Head
    by: str = AUDITOR
    why: str = ""


class HeadFile:
    """One line of JSON; who reads it while it is written reads the old or the new one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Kept | None:
        """Return what is kept, or None as long as nothing is.

        Raises:
            HeadLost: what is kept cannot be read.
        """
        try:
            facts = json.loads(self.path.read_text(encoding="utf-8"))
            return Kept(Head(_number(facts["seq"]), str(facts["hash"])), str(facts["by"]), str(facts["why"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise HeadLost(f"{self.path} cannot be read: {error}") from error

    def write(self, kept: Kept) -> None:
        """Keep it; after a power cut the old one or the new one is there.

        Raises:
            HeadLost: it cannot be written; what was kept before stays.
        """
        draft = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        facts = {"seq": kept.head.seq, "hash": kept.head.hash, "by": kept.by, "why": kept.why}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with draft.open("w", encoding="utf-8") as file:
                    file.write(json.dumps(facts, ensure_ascii=False) + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                draft.replace(self.path)
            finally:
                draft.unlink(missing_ok=True)
        except OSError as error:
            raise HeadLost(f"{self.path} cannot be written: {error}") from error


def _number(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no number of the log")
    return value
