"""Strict JSON: what two parsers could read in two ways is refused, and nothing else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.strict_json import MOST_LEVELS, NotJson, loads

scalars = st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False, allow_infinity=False)
documents = st.recursive(
    scalars | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(documents, st.booleans())
def test_every_document_is_read_as_any_parser_reads_it(document: Any, ascii_only: bool) -> None:
    assert loads(json.dumps(document, ensure_ascii=ascii_only).encode()) == document


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_value_or_not_json_nothing_else(body: bytes) -> None:
    try:
        loads(body)
    except NotJson:
        return


TWO_WAYS = [
    (b'{"id": 1, "id": 2}', "'id' appears twice"),
    (b'{"a": {"b": [{"c": 1, "c": 1}]}}', "'c' appears twice"),
    (b'{"id": 1, "\\u0069d": 2}', "'id' appears twice"),
    (b'{"x": NaN}', "NaN is not JSON"),
    (b'{"x": Infinity}', "Infinity is not JSON"),
    (b'{"x": -Infinity}', "-Infinity is not JSON"),
    (b'{"x": 1e999}', "1e999 is too large"),
    (b'{"x": -1E+400}', "too large"),
    (b"[" + b"9" * 5000 + b"]", "not JSON"),
    (b"\xff\xfe{\x00}\x00", "not UTF-8: byte 0"),
    (b'{"x": "\xc3("}', "not UTF-8: byte 7"),
    (b"\xef\xbb\xbf{}", "begins with a byte order mark; send UTF-8 without one"),
    ('{"x": "\ud800"}'.encode("utf-8", "surrogatepass"), "not UTF-8"),
    (b"", "not JSON"),
    (b"{} {}", "not JSON"),
    (b"{'x': 1}", "not JSON"),
    (b'{"x": 01}', "not JSON"),
    (b'{"x": 1,}', "not JSON"),
    (b'{"x": "\x00"}', "not JSON"),
    (b'{"x": 1} // so', "not JSON"),
]


@pytest.mark.parametrize(("body", "why"), TWO_WAYS, ids=[str(body[:16]) for body, _ in TWO_WAYS])
def test_body_two_parsers_could_read_differently_is_refused_in_words(body: bytes, why: str) -> None:
    with pytest.raises(NotJson) as refused:
        loads(body)
    assert why in str(refused.value)


@pytest.mark.parametrize("opened", ["[", '{"x":', '[{"x":'], ids=["lists", "objects", "both"])
def test_nesting_is_read_to_the_limit_and_no_level_further(opened: str) -> None:
    levels = opened.count("[") + opened.count("{")
    closed = opened.replace('"x":', "").replace("[", "]").replace("{", "}")[::-1]

    def nested(deep: int) -> bytes:
        return (opened * (deep // levels) + "1" + closed * (deep // levels)).encode()

    assert loads(nested(MOST_LEVELS))
    with pytest.raises(NotJson, match="more than 32 levels"):
        loads(nested(MOST_LEVELS + levels))


def test_nesting_beside_other_nesting_is_measured_not_counted() -> None:
    inner = "[" * (MOST_LEVELS - 1) + "]" * (MOST_LEVELS - 1)
    assert loads(f"[{inner}, {inner}]".encode())
    with pytest.raises(NotJson, match="more than 32 levels"):
        loads(f"[[{inner}], {inner}]".encode())


@pytest.mark.parametrize("deep", [1000, 100_000])
def test_nesting_that_would_exhaust_the_stack_is_refused_likewise(deep: int) -> None:
    with pytest.raises(NotJson, match="more than 32 levels"):
        loads(b"[" * deep + b"]" * deep)


def test_brackets_within_text_are_no_nesting() -> None:
    assert loads(json.dumps(["[{" * 100]).encode()) == ["[{" * 100]
    assert loads(json.dumps([[], {}] * 100).encode()) == [[], {}] * 100


def test_key_that_appears_twice_is_quoted_in_one_line() -> None:
    key = "k" * 10_000
    with pytest.raises(NotJson) as refused:
        loads(f'{{"{key}": 1, "{key}": 2}}'.encode())
    assert len(str(refused.value)) < 200
