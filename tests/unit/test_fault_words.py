"""What is wrong with a body is said in Indonesian and in English, whatever the check was."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from bridge.arrivals import MAX_BODY_BYTES, size_problems
from bridge.fault_words import fault_in_words
from bridge.strict_json import MOST_LEVELS, NotJson, loads
from schemas.city import NotAReport, load_event, problems_of
from schemas.messages import load_message

REPORT: dict[str, Any] = {
    "type": "report.submitted",
    "timestamp": "2026-11-23T10:00:00+07:00",
    "data": {"id": "Q-1", "title": "Klaim", "description": "Ditolak."},
}
WRONG = {
    "id": 7, "title": "", "description": None, "language": "jw", "reported_at": "kemarin", "amount_idr": -1,
    "reporter": {"anonymous": "mungkin", "domicile": "3174", "name": "\x00"}, "business": [],
    "location": {"lat": "utara", "lon": 200}, "attachments": [{"url": "ftp://x"}, {}],
}  # fmt: skip
NOT_JSON = [b"\xff", b'{"id": ', b"[" * (MOST_LEVELS + 1) + b"]" * (MOST_LEVELS + 1), b'{"a": 1, "a": 2}', b"", b"[1e999]", b"[NaN]",
            b"\xef\xbb\xbf{}"]  # fmt: skip
SIDING = (
    "this webhook-id came before with another body",
    "it was released, and failed again",
    "take_in could not read this message of bridge.intake.dead",
    "take_in could not handle this message of bridge.intake.dead",
    "take_in could not handle this message of bridge.intake.dead: it failed, or ended its process, 20 times",
    "its log says why, at message_failed and message_id 7",
)


def problems(data: Any) -> list[str]:
    with pytest.raises(NotAReport) as said:
        load_event({**REPORT, "data": data})
    return said.value.problems


def letter_problems(**changed: Any) -> list[str]:
    message = {
        "id": "1",
        "type": "notice.due",
        "timestamp": REPORT["timestamp"],
        "data": {"delivery_id": "x", "new": 1},
    }
    with pytest.raises(ValidationError) as said:
        load_message(message | changed)
    return problems_of(said.value.messages)


def not_json(body: bytes) -> str:
    with pytest.raises(NotJson) as said:
        loads(body)
    return str(said.value)


LINES = [
    *problems(WRONG),
    *problems({}),
    *problems({**WRONG, "attachments": [{"url": "https://x.example"}] * 21}),
    *problems({"id": "Q-1", "title": 7, "description": "y" * 20_001}),
    *letter_problems(),
    *letter_problems(timestamp="2026-11-23T10:00:00"),
    *letter_problems(data={"items": []}, type="webhook.batch"),
    *map(not_json, NOT_JSON),
    *size_problems(b"x" * (MAX_BODY_BYTES + 1)),
    *SIDING,
]


@pytest.mark.parametrize("line", sorted(set(LINES)))
def test_every_fault_we_find_has_indonesian_words_and_keeps_its_place(line: str) -> None:
    said = fault_in_words(line, "id")
    assert said != line
    assert fault_in_words(line, "en") == line
    place, colon, _ = line.partition(": ")
    if colon and "." in place and " " not in place:
        assert said.startswith(f"{place}: ")


@given(st.text())
def test_what_nobody_has_words_for_is_said_as_it_is(line: str) -> None:
    assert isinstance(fault_in_words(line), str)
    assert fault_in_words(json.dumps(["?", line])) == json.dumps(["?", line])
