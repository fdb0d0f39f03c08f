"""A source's own payload in our words: every place, faults found when the file is read, misfits that repeat nothing."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.mapping import MOST_LEVELS, NEEDED, PLACES, BadMapping, PayloadMapping
from bridge.strict_json import NotJson
from schemas.city import NotAReport, load_event

#: What a payload must have so that LEAST finds a report in it.
SENT = {"nomor": 7, "judul": "Motor ditarik", "isi": "Tanpa surat.", "dibuat": "2026-11-24 09:30:00"}
LEAST = {
    "timestamp": "local_time(dibuat, 'Asia/Jakarta')",
    "data.id": "to_string(nomor)",
    "data.title": "judul",
    "data.description": "isi",
}


def event(mapping: dict[str, str], sent: object = SENT) -> Any:
    """Return the event a mapping finds in a payload."""
    return PayloadMapping(LEAST | mapping)(json.dumps(sent).encode(), "msg_1")


def problems(mapping: dict[str, str], sent: object = SENT) -> list[str]:
    """Return why a mapping finds none."""
    with pytest.raises(NotAReport) as refused:
        event(mapping, sent)
    return refused.value.problems


def faults(mapping: dict[str, str]) -> str:
    """Return what is wrong with a mapping itself."""
    with pytest.raises(BadMapping) as refused:
        PayloadMapping(mapping)
    return str(refused.value)


def test_least_mapping_makes_a_report_that_the_schema_takes() -> None:
    found = event({})
    assert found == {
        "type": "report.submitted",
        "timestamp": "2026-11-24T09:30:00+07:00",
        "data": {"id": "7", "title": "Motor ditarik", "description": "Tanpa surat."},
    }
    assert load_event(found)["data"]["id"] == "7"


@pytest.mark.parametrize("place", PLACES)
def test_every_place_can_be_filled(place: str) -> None:
    value = event({place: '`"found"`'})
    for name in place.split("."):
        value = value[name]
    assert value == "found"


def test_every_place_is_one_our_schema_knows_and_takes() -> None:
    given_ones = {
        "type": "'report.submitted'", "data.category": "'PANGAN'", "data.reported_at": "local_time(dibuat, 'Asia/Jakarta')",
        "data.language": "'id'", "data.amount_idr": "`125000`", "data.attachments": "[{url: 'https://a.example/1.jpg'}]",
        "data.reporter.name": "'Siti'", "data.reporter.phone": "'0812'", "data.reporter.email": "'s@a.example'",
        "data.reporter.domicile": "'31.74'", "data.reporter.anonymous": "`false`", "data.business.name": "'PT'",
        "data.business.address": "'Jl.'", "data.location.lat": "`-6.2`", "data.location.lon": "`106.8`", "data.location.area": "'31.74.05'",
    }  # fmt: skip
    assert {*given_ones, *NEEDED} == {*PLACES}
    sent = event(given_ones)
    loaded = load_event(sent)["data"]
    assert {name: [*part] if isinstance(part, dict) else None for name, part in loaded.items()} == {
        name: [*part] if isinstance(part, dict) else None for name, part in sent["data"].items()
    }, "what the schema does not know it leaves out"


def test_what_is_not_there_is_left_out() -> None:
    found = event(
        {"data.category": "jenis", "data.reporter.name": "pelapor.nama", "data.amount_idr": "nilai"},
        SENT | {"nilai": None},
    )
    assert set(found["data"]) == {"id", "title", "description"}


def test_type_can_be_read_from_the_payload() -> None:
    mapping = {"type": 'pick(`{"cabut": "report.withdrawn"}`, aksi) || \'report.submitted\''}
    assert event(mapping, SENT | {"aksi": "cabut"})["type"] == "report.withdrawn"
    assert event(mapping)["type"] == "report.submitted"


# --- the three functions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("local_time('2026-11-24 09:30:00', 'Asia/Jakarta')", "2026-11-24T09:30:00+07:00"),
        ("local_time('2026-11-24T09:30', 'Asia/Jayapura')", "2026-11-24T09:30:00+09:00"),
        ("local_time('2026-11-24T09:30:00Z', 'Asia/Jakarta')", "2026-11-24T09:30:00+00:00"),
        ("local_time('2026-11-24T09:30:00-05:00', 'Asia/Jakarta')", "2026-11-24T09:30:00-05:00"),
        ("epoch(`1790000000`)", "2026-09-21T14:13:20+00:00"),
        ("epoch(`1790000000.5`)", "2026-09-21T14:13:20.500000+00:00"),
        ("epoch(`-1`)", "1969-12-31T23:59:59+00:00"),
        ("pick(`{\"a\": 1}`, 'a')", 1),
        ("pick(`{\"a\": 1}`, 'b')", None),
        ('pick(`{"a": 1}`, nothing)', None),
    ],
)
def test_functions_of_ours(expression: str, value: object) -> None:
    assert event({"data.category": expression})["data"].get("category") == value


# --- faults of the file ---------------------------------------------------------------------------------------------


def test_every_fault_of_a_mapping_is_said_at_once() -> None:
    assert faults(
        {"timestamp": "a", "data.titel": "a", "data.id": "a[", "data.title": "", "data.category": "lower(a)"}
    ) == (
        "data.category: 'lower(a)' cannot be read: there is no function lower()\n"
        "data.description: missing; every report needs it\n"
        "data.id: 'a[' cannot be read: " + faults(LEAST | {"data.id": "a["}).partition("read: ")[2] + "\n"
        "data.titel: no such place; there are " + ", ".join(PLACES) + "\n"
        "data.title: '' cannot be read: Invalid JMESPath expression: cannot be empty."
    )


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("a b", "cannot be read"),
        ("'", "cannot be read"),
        ("@@", "cannot be read"),
        ("upper(a)", "there is no function upper()"),
        ("a[*].b.upper(@)", "there is no function upper()"),
        ("a[?upper(b) == 'X'].b | [0]", "there is no function upper()"),
        ("sort_by(a, &upper(b))", "there is no function upper()"),
        ("epoch()", "epoch() takes 1 arguments, not 0"),
        ("local_time(a)", "local_time() takes 2 arguments, not 1"),
        ("not_null()", "not_null() takes 1 or more arguments, not 0"),
        (f"a[{'9' * 5000}]", "cannot be read"),
    ],
)
def test_expression_that_can_never_work_is_a_fault_of_the_file(expression: str, said: str) -> None:
    assert said in faults(LEAST | {"data.category": expression})


DEEP = {
    "brackets": ("[", "a", "]"),
    "not": ("!", "a", ""),
    "functions": ("not_null(", "a", ")"),
    "filters": ("a[?", "a", "]"),
    "or": ("", "a", " || a"),
    "projections": ("", "a", "[*].a"),
}


@pytest.mark.parametrize("deep", [MOST_LEVELS + 1, 300, 3000, 100_000])
@pytest.mark.parametrize("shape", DEEP)
def test_expression_nested_too_deeply_is_a_fault_in_one_line_and_never_the_end_of_a_process(
    shape: str, deep: int
) -> None:
    before, middle, after = DEEP[shape]
    said = faults(LEAST | {"data.category": before * deep + middle + after * deep})
    assert said.startswith("data.category: ")
    assert said.endswith(f"cannot be read: nested more than {MOST_LEVELS} levels deep")
    assert len(said) < 400


def test_expression_as_deep_as_any_may_be_is_applied() -> None:
    found = event(LEAST | {"data.category": "!" * (MOST_LEVELS - 1) + "nomor"})
    assert found["data"]["category"] is False


@pytest.mark.parametrize("deep", [3000, 100_000])
def test_parentheses_nobody_can_read_are_a_fault_though_they_mean_nothing(deep: int) -> None:
    assert "nested more than" in faults(LEAST | {"data.category": "(" * deep + "a" + ")" * deep})


# --- misfits --------------------------------------------------------------------------------------------------------

CANARY = "Siti Kenari 0812-0000-7777"


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("local_time(x, 'Asia/Jakarta')", "the mapping does not fit what was sent (ValueError)"),
        ("local_time(dibuat, x)", "the mapping names a time zone nobody knows"),
        ("epoch(x)", "epoch() needs number, what was sent has string there"),
        ("epoch(to_number('1e300'))", "the mapping does not fit what was sent (OverflowError)"),
        ("pick(x, 'a')", "pick() needs object, what was sent has string there"),
        ("contains(x, `5`)", "the mapping does not fit what was sent (TypeError)"),
        ("join(x, `[1]`)", "join() needs array-string, what was sent has int there"),
        ("length(nothing)", "length() needs string or array or object, what was sent has null there"),
        ("sort([x, `1`])", "sort() needs array-string or array-number, what was sent has int there"),
    ],
)
def test_misfit_is_said_in_words_that_repeat_nothing_of_what_was_sent(expression: str, said: str) -> None:
    lines = problems({"data.category": expression}, SENT | {"x": CANARY})
    assert [line.partition(": ")[0] for line in lines] == ["data.category"]
    assert said in lines[0]
    assert not [word for word in CANARY.split() if word in lines[0]]


def test_every_misfit_is_said() -> None:
    assert [line.partition(":")[0] for line in problems({"data.category": "length(a)"}, {})] == [
        "timestamp",
        "data.category",
    ]


@pytest.mark.parametrize("body", [b"", b"\xff", b'{"a": 1, "a": 2}', b"[NaN]", b"[" * 50 + b"]" * 50])
def test_body_two_parsers_would_read_differently_is_not_mapped(body: bytes) -> None:
    with pytest.raises(NotJson):
        PayloadMapping(LEAST)(body, "msg_1")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc") | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=10,
)
USED = [
    "a", "a.b", "a[0]", "a[*].b", "a[]", "a[?b > `1`].c", "a[::-1]", "*.a", "[a, b]", "{a: a, b: b}", "a || b", "a && b", "!a",
    "a == b", "a < b", "a | b", "@", "abs(a)", "avg(a)", "ceil(a)", "contains(a, b)", "ends_with(a, b)", "floor(a)",
    "join(a, b)", "keys(a)", "length(a)", "map(&b, a)", "max(a)", "max_by(a, &b)", "merge(a, b)", "min(a)", "min_by(a, &b)",
    "not_null(a, b)", "reverse(a)", "sort(a)", "sort_by(a, &b)", "starts_with(a, b)", "sum(a)", "to_array(a)", "to_string(a)",
    "to_number(a)", "type(a)", "values(a)", "local_time(a, b)", "local_time(a, 'Asia/Jakarta')", "epoch(a)", "pick(a, b)",
    "epoch(to_number(a))", "to_number(to_string(a))",
]  # fmt: skip
EVERYTHING = [PayloadMapping(dict.fromkeys(NEEDED, "a") | {"data.category": expression}) for expression in USED]


@settings(deadline=None, max_examples=300)
@given(sent=json_values | st.fixed_dictionaries({"a": json_values, "b": json_values}))
def test_whatever_is_sent_is_an_event_or_refused_in_words(sent: object) -> None:
    body = json.dumps(sent).encode()
    for mapping in EVERYTHING:
        try:
            load_event(mapping(body, "msg_1"))
        except (NotJson, NotAReport):
            continue


@settings(deadline=None)
@given(body=st.binary(max_size=60))
def test_whatever_bytes_are_sent_too(body: bytes) -> None:
    for mapping in EVERYTHING:
        try:
            load_event(mapping(body, "msg_1"))
        except (NotJson, NotAReport):
            continue
