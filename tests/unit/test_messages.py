"""Our own queue messages: one schema per type, and a surprise is refused."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from bridge.arrivals import Arrivals
from bridge.worklist import letter_problems
from schemas.messages import SCHEMAS, load_message

ARRIVALS = Arrivals.under(b"t" * 32)
DELIVERY = "0d9c1f3e-0000-5000-8000-000000000001"
WEBHOOK = {
    "source": "qlue",
    "webhook_id": "msg_1",
    "received_at": "2026-11-23T03:00:00+00:00",
    "sha256": "0" * 64,
    "key_id": "k1",
    "released": None,
    "body": ARRIVALS.vault.seal(b'{"id": 1}\xff').decode(),
}
DATA: dict[str, dict[str, Any]] = {
    "webhook.received": WEBHOOK,
    "webhook.batch": {"items": [WEBHOOK, {**WEBHOOK, "webhook_id": "msg_2"}]},
    "notice.due": {"delivery_id": DELIVERY},
    "callback.due": {"delivery_id": DELIVERY},
}


def a_message(kind: str = "webhook.received", **data: object) -> dict[str, Any]:
    return {"id": "1", "type": kind, "timestamp": "2026-11-23T03:00:00+00:00", "data": {**DATA[kind], **data}}


def test_every_type_of_message_is_tried_here() -> None:
    assert set(DATA) == set(SCHEMAS)


@pytest.mark.parametrize("kind", DATA)
def test_message_of_ours_is_read_with_its_data(kind: str) -> None:
    message = load_message(a_message(kind))
    assert message["timestamp"] == datetime(2026, 11, 23, 3, tzinfo=UTC)
    assert set(message["data"]) == set(DATA[kind])


@pytest.mark.parametrize("kind", [kind for kind in DATA if kind != "webhook.batch"])
def test_message_released_from_the_list_of_dead_letters_says_which_one_it_was(kind: str) -> None:
    assert load_message(a_message(kind, letter=7))["data"]["letter"] == 7


@pytest.mark.parametrize("kind", DATA)
def test_field_nobody_knows_is_refused_wherever_it_stands(kind: str) -> None:
    with pytest.raises(ValidationError, match="Unknown field"):
        load_message(a_message(kind, new=1))
    with pytest.raises(ValidationError, match="Unknown field"):
        load_message({**a_message(kind), "new": 1})


@pytest.mark.parametrize("kind", DATA)
def test_name_of_such_a_field_is_not_repeated_since_it_may_be_anybodys(kind: str) -> None:
    secret = "Budi Santoso 0812-3456"
    for message in (a_message(kind, **{secret: {secret: 1}}), {**a_message(kind), secret: secret}):
        with pytest.raises(ValidationError) as refused:
            load_message(message)
        assert "Budi" not in str(refused.value.messages)
        assert "Budi" not in "".join(letter_problems("bridge.intake.dead", json.dumps(message).encode()))


@pytest.mark.parametrize(
    ("kind", "field"), [(kind, field) for kind, data in DATA.items() for field in data if field != "released"]
)
def test_message_without_one_of_its_fields_is_refused(kind: str, field: str) -> None:
    message = a_message(kind)
    del message["data"][field]
    with pytest.raises(ValidationError, match="Missing data"):
        load_message(message)


WRONG = [
    ({"type": "webhook.deleted"}, "Must be one of"),
    ({"timestamp": "2026-11-23T03:00:00"}, "aware datetime"),
    ({"data": None}, "null"),
    ({"data": []}, "mapping"),
    ({"data": {"items": []}, "type": "webhook.batch"}, "Length must be between 1 and 1000"),
    ({"data": {**WEBHOOK, "received_at": "2026-11-23T03:00:00"}}, "aware datetime"),
    ({"data": {**WEBHOOK, "sha256": "0"}}, "Length must be 64"),
    ({"data": {**WEBHOOK, "source": ""}}, "Length must be between 1 and 64"),
    ({"data": {"delivery_id": "1"}, "type": "notice.due"}, "UUID"),
]


@pytest.mark.parametrize(("change", "why"), WRONG)
def test_message_that_is_not_ours_is_refused_with_the_reason(change: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        load_message({**a_message(), **change})


@given(st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_anything_at_all_is_refused_in_the_one_known_way(payload: object) -> None:
    with pytest.raises(ValidationError):
        load_message(payload)


@given(st.binary())
def test_body_comes_out_byte_for_byte_as_it_went_in(body: bytes) -> None:
    item = load_message(a_message(body=ARRIVALS.vault.seal(body).decode()))["data"]
    assert ARRIVALS.opened(item) == body


@pytest.mark.parametrize("text", ["", "é", "ab c", "====", "YWJj\n", "a+b/"])
def test_body_that_cannot_be_a_token_is_refused_not_guessed(text: str) -> None:
    with pytest.raises(ValidationError):
        load_message(a_message(body=text))
