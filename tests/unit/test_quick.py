"""The quick yes: whatever it accepts, marshmallow accepts; and it does say yes to believable reports."""

import random
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError, fields

from bridge.simulation.complaints import complaint
from schemas.city import AmendmentSchema, EnvelopeSchema, SubmissionSchema, WithdrawalSchema, checked_id, load_event
from schemas.quick import quick_check

SCHEMAS = (SubmissionSchema(), AmendmentSchema(), WithdrawalSchema(), EnvelopeSchema())

#: Values near the edges of every kind of field.
_odd = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**16), 10**16), st.floats(), st.text(max_size=8), st.just("\ud800"),
    st.sampled_from(["", " ", "31.74", "31.74.05", "3174", "id", "en", "a\x00b", "https://foto.example/a.jpg", "ftp://x"]),
    st.sampled_from(["2026-11-23T10:00:00+07:00", "2026-11-23T10:00:00", "2026-13-23T10:00:00Z", "2026-11-23T10:00:00Z"]),
    st.sampled_from(["2026-02-30T10:00:00+07:00", "2026-11-23T25:00:00Z", "2026-11-23T10:00:00+99:00", "2026-11-23"]),
)  # fmt: skip
_names = ("name", "phone", "email", "domicile", "anonymous", "address", "lat", "lon", "area", "url", "media_type")
_inner = st.dictionaries(st.sampled_from(_names), _odd, max_size=6)
_value = st.one_of(_odd, _inner, st.lists(_inner, max_size=3))


def _payloads(names: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from((*names, "other")), _value, max_size=len(names))


@given(st.data())
def test_what_is_quickly_accepted_is_accepted_by_marshmallow(data: st.DataObject) -> None:
    schema = data.draw(st.sampled_from(SCHEMAS))
    plain = {"id": "Q-1", "title": "t", "description": "d", "category": "AIR", "type": "report.submitted"}
    payload = {**plain, **data.draw(_payloads(tuple(schema.fields)))}

    if quick_check(schema)(payload):
        schema.load(payload)


def test_believable_reports_get_the_quick_yes() -> None:
    check = quick_check(SubmissionSchema())
    rng, now = random.Random(3), datetime(2026, 11, 23, tzinfo=UTC)

    assert all(check(complaint(rng, number, now)) for number in range(300))


@pytest.mark.parametrize("payload", [None, [], "x", {}, {"type": "report.submitted"}, {"id": 1}])
def test_a_quick_no_is_decided_by_marshmallow_with_reasons(payload: object) -> None:
    with pytest.raises(ValueError, match=":|object"):
        checked_id(payload)
    with pytest.raises(ValueError, match=":|object"):
        load_event(payload)


def test_unknown_kinds_of_fields_are_left_to_marshmallow() -> None:
    schema = SubmissionSchema.from_dict({"moment": fields.Time()})()

    assert not quick_check(schema)({"moment": "10:00"})
    with pytest.raises(ValidationError):
        schema.load({"moment": "soon"})
