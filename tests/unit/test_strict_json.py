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
    (b'{"id": 1, "id": 2}', "a key appears twice in one object: line 1 column 11 (char 10)"),
    (b'{"a": {"b":\n[{"c": 1, "c": 1}]}}', "a key appears twice in one object: line 2 column 11 (char 22)"),
    (b'{"id": 1, "\\u0069d": 2}', "a key appears twice in one object: line 1 column 11"),
    (b'{"a": "a", "b": ["a", "a", {"a": 1}], "c": "\\":", "c": 1} and more', "twice in one object: line 1 column 51"),
    (b'{"x": NaN}', "NaN is not JSON"),
    (b'{"x": Infinity}', "Infinity is not JSON"),
    (b'{"x": -Infinity}', "-Infinity is not JSON"),
    (b'{"1e999": "1e999", "x": 1e999}', "a number is too large: line 1 column 25"),
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


SECRET = "Budi 0812-3456"
QUOTED = [
    f'{{"type": 1, "{SECRET}": 1, "{SECRET}": 2}}',
    f'{{"{SECRET}": {{"{SECRET}": 1}}, "{SECRET}": 2',
    f'{{"{SECRET}": 1 2}}',
    f'{{"{SECRET}"}}',
    f'["{SECRET}\\x"]',
    f'["{SECRET}\n"]',
    f'["{SECRET}',
    SECRET,
    '{"x": 08123456}',
    '{"x": 8123456e999}',
    '{"x": 8123456e999-3}',
    '{"y": -7, "x": -8123456e+999.1}',
    '{"x": 8123456' + "0" * 5000 + "}",
    '{"x": -8123456' + "0" * 5000 + ".1}",
]


@pytest.mark.parametrize("body", QUOTED)
def test_what_is_wrong_is_said_without_a_word_of_what_was_sent(body: str) -> None:
    with pytest.raises(NotJson) as refused:
        loads(body.encode())
    said = str(refused.value)
    assert [word for word in (*SECRET.split(), "8123") if word in said] == []
    assert len(said) < 200


@given(documents, st.data())
def test_key_again_is_found_wherever_it_is(document: Any, data: st.DataObject) -> None:
    twice = '{"k": 1, "k": 2}'
    text = json.dumps({"before": document, "here": "@here@", "after": document}, ensure_ascii=data.draw(st.booleans()))
    place = text.index('"@here@"') + twice.rindex('"k"')
    with pytest.raises(NotJson, match=rf"twice in one object: line 1 column {place + 1} \(char {place}\)"):
        loads(text.replace('"@here@"', twice, 1).encode())
