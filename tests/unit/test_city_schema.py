"""What a city sends: every fault with its place in words, and nothing refused that could be taken."""

import json
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.city import MAX_DESCRIPTION_CHARS, NotAReport, StatusChangedSchema, checked_id, load_event

WHOLE: dict[str, Any] = {
    "type": "report.submitted",
    "timestamp": "2026-11-23T10:00:00+07:00",
    "data": {
        "id": "QL-88121",
        "title": "Motor ditarik leasing",
        "description": "Ditarik di jalan tanpa surat.",
        "category": "PEMBIAYAAN",
        "reported_at": "2026-11-23T09:58:10+07:00",
        "language": "id",
        "reporter": {
            "name": "Siti Aminah",
            "phone": "0812-0000-1111",
            "email": "siti@example.id",
            "domicile": "31.74",
            "anonymous": False,
        },
        "business": {"name": "PT Maju Leasing", "address": "Jl. Rahasia 7"},
        "amount_idr": 12500000,
        "location": {"lat": -6.26, "lon": 106.81, "area": "31.74.05"},
        "attachments": [{"url": "https://foto.example/1.jpg", "media_type": "image/jpeg"}],
    },
}


def event(place: str = "", value: object = None, *, kind: str = "report.submitted") -> dict[str, Any]:
    """The whole event, with one value put somewhere else instead."""
    changed = deepcopy(WHOLE)
    changed["type"] = kind
    inner: Any = changed
    *path, last = place.split(".") if place else ["type"]
    for step in path:
        inner = inner[int(step) if step.isdigit() else step]
    inner[int(last) if last.isdigit() else last] = value if place else kind
    return changed


def problems(payload: object) -> list[str]:
    """What is wrong, by the whole check and by the one that only wants the id."""
    with pytest.raises(NotAReport) as refused:
        load_event(payload)
    with pytest.raises(NotAReport) as quickly_refused:
        checked_id(payload)
    assert str(refused.value) == "; ".join(refused.value.problems)
    assert quickly_refused.value.problems == refused.value.problems
    return refused.value.problems


def test_whole_report_of_the_contract_is_taken_as_it_is() -> None:
    loaded = load_event(WHOLE)
    assert loaded["timestamp"] == datetime(2026, 11, 23, 3, tzinfo=UTC)
    assert loaded["data"] == {**WHOLE["data"], "reported_at": datetime(2026, 11, 23, 2, 58, 10, tzinfo=UTC)}


@pytest.mark.parametrize("kind", ["report.amended", "report.withdrawn"])
def test_amendment_and_withdrawal_need_nothing_but_the_id(kind: str) -> None:
    loaded = load_event({"type": kind, "timestamp": "2026-11-23T10:00:00Z", "data": {"id": "QL-88121"}})
    assert loaded["data"] == {"id": "QL-88121"}


def test_only_what_the_city_sent_is_in_the_data() -> None:
    sent = {"id": "QL-88121", "title": "T", "description": "D"}
    assert load_event(event("data", sent))["data"] == sent


UNKNOWN = ["new", "data.new", "data.reporter.new", "data.business.new", "data.location.new", "data.attachments.0.new"]


@pytest.mark.parametrize("place", UNKNOWN)
def test_field_the_city_added_without_notice_costs_no_report(place: str) -> None:
    assert load_event(event(place, {"anything": [1]})) == load_event(WHOLE)


NULLS = ["reported_at", "reporter", "business", "amount_idr", "location", "attachments"]
INNER_NULLS = ["reporter.name", "reporter.domicile", "business.address", "location.lat", "attachments.0.media_type"]


@pytest.mark.parametrize("place", NULLS + INNER_NULLS)
def test_null_stands_for_a_fact_the_city_does_not_have(place: str) -> None:
    assert load_event(event(f"data.{place}", None))


FAULTS = [
    ("type", "report.deleted", "type: Must be one of"),
    ("type", 7, "type: Not a valid string"),
    ("timestamp", "2026-11-23T10:00:00", "timestamp: Not a valid aware datetime"),
    ("timestamp", 1614265330, "timestamp: Not a valid datetime"),
    ("timestamp", "yesterday", "timestamp: Not a valid datetime"),
    ("timestamp", "0001-01-01T00:00:00+14:00", "timestamp: must lie within"),
    ("timestamp", "9999-12-31T23:59:59-12:00", "timestamp: must lie within"),
    ("data", [], "data: Not a valid mapping"),
    ("data", None, "data: Field may not be null"),
    ("data.id", "", "data.id: must have 1 to 128 characters"),
    ("data.id", "  ", "data.id: must have 1 to 128 characters"),
    ("data.id", "x" * 129, "data.id: must have 1 to 128 characters"),
    ("data.id", 88121, "data.id: Not a valid string"),
    ("data.title", "", "data.title: must have 1 to 300 characters"),
    ("data.title", None, "data.title: Field may not be null"),
    ("data.description", "x" * (MAX_DESCRIPTION_CHARS + 1), "data.description: must have 1 to 20000 characters"),
    ("data.reported_at", "9999-12-31T23:59:59-12:00", "data.reported_at: must lie within"),
    ("data.language", "jv", "data.language: Must be one of"),
    ("data.reporter", "Siti", "data.reporter: Invalid input type"),
    ("data.reporter.email", 7, "data.reporter.email: Not a valid string"),
    ("data.reporter.anonymous", "perhaps", "data.reporter.anonymous: Not a valid boolean"),
    ("data.reporter.domicile", "3171", "data.reporter.domicile: String does not match"),
    ("data.reporter.domicile", "31.74\n", "data.reporter.domicile: String does not match"),
    ("data.reporter.domicile", "31.1001", "data.reporter.domicile: String does not match"),
    ("data.location.area", "３１.７４", "data.location.area: String does not match"),
    ("data.location.lat", 91, "data.location.lat: Must be greater than or equal to -90"),
    ("data.location.lat", "NaN", "data.location.lat: Special numeric values"),
    ("data.location.lon", float("inf"), "data.location.lon: Special numeric values"),
    ("data.location.lon", 10**400, "data.location.lon: Number too large"),
    ("data.amount_idr", -1, "data.amount_idr: Must be greater than or equal to 0"),
    ("data.amount_idr", 10**15 + 1, "data.amount_idr: Must be greater than or equal to 0 and less than"),
    ("data.amount_idr", 10**400, "data.amount_idr: Must be greater than or equal to 0 and less than"),
    ("data.amount_idr", 12.5, "data.amount_idr: Not a valid integer"),
    ("data.amount_idr", "12500000", "data.amount_idr: Not a valid integer"),
    ("data.amount_idr", True, "data.amount_idr: Not a valid integer"),
    ("data.attachments", WHOLE["data"]["attachments"] * 21, "data.attachments: Longer than maximum length 20"),
    ("data.attachments.0.url", "file:///etc/passwd", "data.attachments.0.url: Not a valid URL"),
    ("data.attachments.0.url", None, "data.attachments.0.url: Field may not be null"),
    ("data.attachments.0", "x", "data.attachments.0: Invalid input type"),
]


@pytest.mark.parametrize(("place", "value", "line"), FAULTS, ids=[f"{p}={str(v)[:20]}" for p, v, _ in FAULTS])
def test_fault_is_told_in_one_line_with_its_place(place: str, value: object, line: str) -> None:
    told = problems(event(place, value))
    assert [problem for problem in told if problem.startswith(line)], told


TEXTS = ["id", "title", "description", "category", "reporter.name", "reporter.phone", "reporter.email", "business.name",
         "business.address", "attachments.0.media_type"]  # fmt: skip


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b", "\udfff"], ids=["NUL", "half a pair", "the other half"])
@pytest.mark.parametrize("place", TEXTS)
def test_characters_no_database_holds_are_told_as_such(place: str, text: str) -> None:
    assert problems(event(f"data.{place}", text)) == [
        f"data.{place}: must not contain a NUL character or half a surrogate pair"
    ]


@pytest.mark.parametrize("character", ["\x00", "\ud800"])
def test_link_with_such_a_character_is_refused_too(character: str) -> None:
    told = problems(event("data.attachments.0.url", f"https://foto.example/{character}"))
    assert [line.split(":")[0] for line in told] == ["data.attachments.0.url"] * len(told)


def test_every_fault_is_told_at_once_not_only_the_first() -> None:
    told = problems(event("data", {"id": "", "title": "T", "reporter": {"domicile": "x"}, "amount_idr": -1}))
    places = {line.split(":")[0] for line in told}
    assert places == {"data.id", "data.reporter.domicile", "data.amount_idr", "data.description"}
    assert {line.split(":")[0] for line in problems({})} == {"type", "timestamp", "data"}


AROUND = [
    ("report.submitted", {"data.id", "data.title", "data.description", "data.amount_idr"}),
    ("report.amended", {"data.id", "data.amount_idr"}),
    ("report.withdrawn", {"data.id"}),
]


@pytest.mark.parametrize(("kind", "within"), AROUND)
@pytest.mark.parametrize("timestamp", ["bad", None, 7])
def test_fault_around_the_data_hides_none_within(kind: str, within: set[str], timestamp: object) -> None:
    told = problems({"type": kind, "timestamp": timestamp, "data": {"id": "", "title": "", "amount_idr": "x"}})
    assert {line.split(":")[0] for line in told} == {"timestamp", *within}


def test_data_of_a_type_nobody_knows_is_not_judged() -> None:
    told = problems({"type": "report.deleted", "timestamp": "bad", "data": {"id": ""}})
    assert {line.split(":")[0] for line in told} == {"type", "timestamp"}


@pytest.mark.parametrize("payload", [None, [], "text", 7, [WHOLE]])
def test_body_that_is_no_object_is_told_what_is_expected(payload: object) -> None:
    assert problems(payload) == ["the body must be a JSON object with type, timestamp and data"]


def test_faults_never_repeat_what_somebody_wrote() -> None:
    secret = "Siti-0812-0000"
    payload = event("data", {name: {secret: secret} for name in WHOLE["data"]})
    payload["timestamp"] = payload["type"] = secret
    assert secret not in " ".join(problems(payload))
    payload = event("data", {name: secret * 500 for name in WHOLE["data"]})
    assert secret not in " ".join(problems(payload))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
PLACES = [*UNKNOWN, *TEXTS, *NULLS, *INNER_NULLS, "location.lon", "attachments.0", "attachments.0.url"]


@given(st.sampled_from(["type", "timestamp", "data", *[f"data.{place}" for place in PLACES[6:]]]), values)
def test_any_value_anywhere_is_taken_or_told_and_nothing_else(place: str, value: object) -> None:
    payload = event(place, value)
    try:
        loaded = load_event(payload)
    except NotAReport:
        assert problems(payload)
    else:
        assert checked_id(payload) == loaded["data"]["id"]
        json.dumps(loaded, default=str, ensure_ascii=False).encode()


@given(values)
def test_any_body_at_all_is_taken_or_told(payload: object) -> None:
    assert problems(payload)


def test_callback_with_a_colour_nobody_knows_keeps_no_contract() -> None:
    data = {
        "id": "QL-1",
        "ticket": "T",
        "sequence": 1,
        "status": "received",
        "label": {},
        "message": "m",
        "next_step": "n",
    }
    data |= {"due_at": None, "escalated_to": None, "occurred_at": "2026-11-23T10:00:00Z", "track_url": "http://x/t"}
    whole = {"type": "report.status_changed", "timestamp": "2026-11-23T10:00:00Z"}
    assert StatusChangedSchema().validate({**whole, "data": {**data, "colour": "merah"}}) == {}
    assert "colour" in StatusChangedSchema().validate({**whole, "data": {**data, "colour": "biru"}})["data"]
