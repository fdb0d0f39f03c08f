"""JSON read one way only: no duplicate keys, no NaN, no unbounded nesting, UTF-8."""

import json
from collections import Counter
from math import isinf
from typing import Any

#: Our own payload is three levels deep; a city's own may be deeper.
MOST_LEVELS = 32


class NotJson(ValueError):
    """The bytes are not JSON that two parsers would read alike; the text says why."""


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
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise NotJson(f"the key {twice[:100]!r} appears twice in one object")
    return found


def _finite(digits: str) -> float:
    number = float(digits)
    if isinf(number):
        raise NotJson(f"{digits[:100]} is too large for a number")
    return number


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
