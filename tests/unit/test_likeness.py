"""The same grievance, twice: known answers, and what holds for any two reports."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.likeness import LEAST, WEIGHTS, Likeness, likeness
from bridge.reports.report import Report
from bridge.words import LANGUAGES, say
from tests.unit.given import a_report

TEXT = "Motor saya ditarik leasing di jalan padahal angsuran lancar"
OTHER = "Sertifikat rumah belum diserahkan sesudah tujuh tahun lunas"


def told(
    consumer: str | None = "siti",
    business: str | None = "PT Maju Jaya",
    text: str = TEXT,
    amount: int | None = 5_000_000,
    category: str = "PEMBIAYAAN",
) -> Report:
    reporter: dict[str, Any] = {"consumer": consumer} if consumer else {}
    named = {"name": business} if business else {}
    return a_report(
        reporter=reporter, business=named, title=text[:20], description=text, amount_idr=amount, category=category
    )


KNOWN: list[tuple[dict[str, Any], Likeness | None]] = [
    ({}, Likeness(100, tuple(WEIGHTS))),
    ({"business": "P.T. MAJU JAYA, Tbk"}, Likeness(100, tuple(WEIGHTS))),
    ({"business": "PT Maju Jayaa"}, Likeness(100, tuple(WEIGHTS))),
    ({"amount": None}, Likeness(90, ("same_consumer", "same_business", "like_text", "same_category"))),
    ({"consumer": "budi"}, Likeness(60, ("same_business", "like_text", "same_amount", "same_category"))),
    ({"consumer": None, "amount": 1}, None),
    ({"business": "PT Lain Sama Sekali", "text": OTHER, "amount": 1}, None),
    ({"consumer": "budi", "text": OTHER}, None),
    ({"consumer": "budi", "business": "PT Lain", "text": OTHER, "amount": 1, "category": "PERUMAHAN"}, None),
]


@pytest.mark.parametrize(("changed", "expected"), KNOWN)
def test_known_answers(changed: dict[str, Any], expected: Likeness | None) -> None:
    assert likeness(told(), told(**changed)) == expected


def test_same_consumer_against_the_same_business_is_suggested_whatever_they_wrote() -> None:
    found = likeness(told(), told(text=OTHER, amount=1))
    assert found is not None
    assert found.score >= LEAST
    assert found.reasons == ("same_consumer", "same_business", "same_category")


def test_two_anonymous_reports_are_told_by_what_they_say() -> None:
    assert likeness(told(consumer=None), told(consumer=None)) == Likeness(100, tuple(WEIGHTS)[1:])
    assert likeness(told(consumer=None), told(consumer=None, text=OTHER, amount=1)) is None


def test_every_reason_has_words() -> None:
    assert all(say(reason, language) != reason for reason in WEIGHTS for language in LANGUAGES)


reports = st.builds(
    told,
    consumer=st.sampled_from(["siti", "budi", None]),
    business=st.sampled_from(["PT Maju Jaya", "CV Maju Jaya", "Toko Lain", None]),
    text=st.sampled_from([TEXT, OTHER, "", "…"]) | st.text(max_size=40),
    amount=st.sampled_from([1, 5_000_000, None]),
    category=st.sampled_from(["PEMBIAYAAN", "LAINNYA"]),
)


@given(reports, reports)
def test_likeness_is_the_same_both_ways_and_within_bounds(one: Report, other: Report) -> None:
    found = likeness(one, other)
    assert found == likeness(other, one)
    assert found is None or (LEAST <= found.score <= 100 and found.reasons)


@given(reports)
def test_report_is_wholly_like_itself(one: Report) -> None:
    found = likeness(one, one)
    assert found is not None
    assert found.score == 100
