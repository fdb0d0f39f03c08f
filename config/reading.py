"""Reading the files people edit: faults gather, each with file, place and remedy, and are told at once."""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from marshmallow import Schema, ValidationError

from bridge.reports.calendars import NoWorkingTime
from config.calendars import BadHours
from config.forms import NAME


@dataclass
class Reading:
    """One pass over the folder; faults gather here."""

    folder: Path
    faults: list[str] = field(default_factory=list)
    #: What each file speaks of, right or wrong: who only names a thing is not blamed for the thing's own faults.
    named: dict[str, set[str]] = field(default_factory=dict)

    def toml(self, name: str) -> dict[str, Any] | None:
        path = self.folder / name
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
            self.named[name] = set(content)
            return content
        except FileNotFoundError:
            self.faults.append(f"{name}: missing from {self.folder}; copy the shipped one and edit it")
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            self.faults.append(f"{name}: cannot be read as TOML: {error}")
        return None

    def checked(self, file: str, place: str, content: Any, schema: Schema) -> dict[str, Any] | None:
        try:
            loaded: dict[str, Any] = schema.load(content)
        except ValidationError as error:
            self.faults += [f"{file}: {line}" for line in _lines(error.messages, place)]
            return None
        return loaded

    def tables(self, file: str, schema: Schema) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, content in (self.toml(file) or {}).items():
            if not re.fullmatch(NAME, name):
                self.faults.append(f"{file}: {name}: a name is small letters, digits and dashes")
            loaded = self.checked(file, name, content, schema)
            if loaded is not None:
                yield name, loaded

    def unknown(self, file: str, name: str) -> bool:
        """Tell whether a file that could be read says nothing of that name."""
        return file in self.named and name not in self.named[file]

    def guarded(self, where: str, build: Callable[[], Any]) -> Any:
        try:
            return build()
        except (BadHours, NoWorkingTime, ValueError, NotImplementedError) as error:  # the last: no such country
            self.faults.append(f"{where}: {error}")
            return None


def _lines(messages: Any, place: str) -> Iterator[str]:
    if isinstance(messages, Mapping):
        for key, value in messages.items():
            inner = f"[{key + 1}]" if isinstance(key, int) else f".{key}"
            yield from _lines(value, place if key == "_schema" else (place + inner).lstrip("."))
    else:
        for text in messages if isinstance(messages, list) else [messages]:
            yield f"{place}: {text}"
