"""JSON read one way only: no duplicate keys, no NaN, no unbounded nesting, UTF-8."""

import json
import re
from collections.abc import Callable, Iterator
from math import isinf
from typing import Any

#: Our own payload is three levels deep; a city's own may be deeper.
MOST_LEVELS = 32


class NotJson(ValueError):
    """The bytes are not JSON that two parsers would read alike; the text says why and where, and quotes nothing.

    It is kept in clear and read by more people than a report is, and a key or a number may name somebody.
    """


class _Faulty(ValueError):
    """What Python's parser would have taken; `places` finds where it is."""

    def __init__(self, why: str, places: Callable[[str], Iterator[int]]) -> None:
        self.why, self.places = why, places
        super().__init__(why)


def loads(body: bytes) -> Any:
    """Return the value `body` holds.

    Raises:
        NotJson: not UTF-8, not JSON (RFC 8259), duplicate keys, NaN or Infinity, or nested too deeply.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotJson(f"the body is not UTF-8: byte {error.start} cannot be read") from error
    if text.startswith("\ufeff"):
        raise NotJson("the body begins with a byte order mark; send UTF-8 without one (RFC 8259, 8.1)")
    try:
        value = _DECODER.decode(text)
    except NotJson:
        raise
    except _Faulty as fault:
        raise NotJson(f"{fault.why}: {_where(text, next(fault.places(text), 0))}") from fault
    except RecursionError as error:
        raise NotJson(f"nested more than {MOST_LEVELS} levels deep") from error
    except ValueError as error:
        raise NotJson(f"the body is not JSON: {error}") from error
    if _too_deep(text, value):
        raise NotJson(f"nested more than {MOST_LEVELS} levels deep")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Faulty("a key appears twice in one object", _keys_again)
    return found


def _finite(digits: str) -> float:
    number = float(digits)
    if isinf(number):
        raise _Faulty("a number is too large", _infinite_numbers)
    return number


#: Texts, brackets and numbers: all one needs of a document that was read up to its fault.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?')
_KEY_ENDS = re.compile(r"[ \t\r\n]*:")


def _keys_again(text: str) -> Iterator[int]:
    """Yield where keys stand that their object has already."""
    objects: list[set[str]] = []
    for token in _TOKEN.finditer(text):
        match token[0][0]:
            case "{" | "[":
                objects.append(set())
            case "}" | "]":
                objects.pop()
            case '"' if _KEY_ENDS.match(text, token.end()):
                key = json.loads(token[0])
                if key in objects[-1]:
                    yield token.start()
                objects[-1].add(key)


def _infinite_numbers(text: str) -> Iterator[int]:
    """Yield where numbers stand that no machine holds."""
    for token in _TOKEN.finditer(text):
        if token[0][0] in "-0123456789" and not token[0].isdigit() and isinf(float(token[0])):
            yield token.start()


def _where(text: str, position: int) -> str:
    """Return a place as Python's own parser says it."""
    start = text.rfind("\n", 0, position) + 1
    line = text.count("\n", 0, position) + 1
    return f"line {line} column {position - start + 1} (char {position})"


def _refuse_constant(name: str) -> None:
    raise NotJson(f"{name} is not JSON; send a number or null")


#: Made once: `json.loads` makes one for every text that is to be read in another way than usual.
_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite)


def _too_deep(text: str, value: Any) -> bool:
    # Fewer opening brackets than levels allowed: nothing to measure, as for every normal report.
    if text.count("{") + text.count("[") <= MOST_LEVELS:
        return False
    level, values = 0, [value]
    while values:
        level += 1
        values = [child for parent in values for child in _children(parent)]
        if level > MOST_LEVELS:
            return True
    return False


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return []
    return [child for child in value if isinstance(child, dict | list)]
