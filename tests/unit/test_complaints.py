"""The pretend city app's complaints: repeatable, varied, and such as the way in accepts."""

import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from bridge.simulation.complaints import CATEGORIES, complaint
from schemas.city import load_event

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
MAX_BYTES = 3_000


def told(seed: int, count: int = 1, *, now: datetime = NOW) -> list[dict[str, Any]]:
    """Return `count` complaints of one city app."""
    rng = Random(seed)
    return [complaint(rng, 88_000 + number, now) for number in range(count)]


@pytest.fixture(scope="module")
def thousand() -> list[dict[str, Any]]:
    return told(7, 1000)


def test_same_seed_tells_the_same_complaints() -> None:
    assert told(11, 20) == told(11, 20)


def test_different_seeds_tell_different_complaints() -> None:
    assert len({told(seed)[0]["description"] for seed in range(50)}) == 50


def test_a_thousand_complaints_show_every_category_and_finance_most(thousand: list[dict[str, Any]]) -> None:
    seen = Counter(one["category"] for one in thousand)
    assert set(seen) == set(CATEGORIES)
    assert len(CATEGORIES) == 14
    assert sum(seen[code] for code in ("PEMBIAYAAN", "ASURANSI", "PERBANKAN", "FINTEK_PINJOL")) > 300


def test_a_thousand_complaints_read_differently(thousand: list[dict[str, Any]]) -> None:
    assert len({one["description"] for one in thousand}) == 1000
    titles: dict[str, set[str]] = {code: set() for code in CATEGORIES}
    for one in thousand:
        titles[one["category"]].add(one["title"])
    assert min(map(len, titles.values())) >= 4


def test_the_way_in_accepts_every_complaint(thousand: list[dict[str, Any]]) -> None:
    for one in thousand:
        body = json.dumps({"type": "report.submitted", "timestamp": "2026-11-23T10:00:00+07:00", "data": one})
        assert len(body.encode()) < MAX_BYTES
        assert load_event(json.loads(body))["data"]["id"] == one["id"]


def test_anonymous_complaints_carry_no_contact_data(thousand: list[dict[str, Any]]) -> None:
    anonymous = [one["reporter"] for one in thousand if one["reporter"]["anonymous"]]
    assert 50 <= len(anonymous) <= 110
    assert all(set(reporter) == {"domicile", "anonymous"} for reporter in anonymous)


def test_nobody_real_can_be_reached(thousand: list[dict[str, Any]]) -> None:
    for reporter in (one["reporter"] for one in thousand if not one["reporter"]["anonymous"]):
        assert re.fullmatch(r"[a-z.]+\d\d@example\.(org|com)", reporter["email"])
        assert re.fullmatch(r"\+62 812-0000-\d{4}", reporter["phone"])


def test_every_complaint_names_money_and_has_two_to_six_sentences(thousand: list[dict[str, Any]]) -> None:
    for text in (one["description"] for one in thousand):
        assert "Rp" in text
        assert not set("{}") & set(text)
        assert 2 <= len(re.findall(r"\.(?= |$)", text)) <= 6, text


def test_every_complaint_lies_in_jakarta_and_just_before_now(thousand: list[dict[str, Any]]) -> None:
    for one in thousand:
        reported_at = datetime.fromisoformat(one["reported_at"])
        assert timedelta(seconds=5) <= NOW - reported_at <= timedelta(minutes=10)
        assert one["reported_at"].endswith("+07:00")
        assert re.fullmatch(r"31\.(01|7[1-5])", one["reporter"]["domicile"])
        assert re.fullmatch(r"31\.(01|7[1-5])\.\d\d", one["location"]["area"])
        assert -6.38 < one["location"]["lat"] < -5.7
        assert 106.5 < one["location"]["lon"] < 106.98


def test_a_moment_without_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        told(1, now=datetime(2026, 11, 23, 10, 0))  # noqa: DTZ001 - that is the fault
