"""How much two reports look like one grievance: a score from 0 to 100, and the reasons. Pure; a person decides."""

from dataclasses import dataclass

from rapidfuzz import fuzz, utils

from bridge.reports.businesses import plain_name
from bridge.reports.report import Report

#: What is compared and how much it counts. What neither report says counts for nothing.
WEIGHTS = {"same_consumer": 40, "same_business": 25, "like_text": 20, "same_amount": 10, "same_category": 5}
#: Below this nobody is bothered: the same consumer against another business, many consumers against one.
LEAST = 60
#: Two texts in one language are half alike whatever they say; names of one business differ by a slip at most.
_UNLIKE_TEXT, _SAME_NAME = 50, 90
#: From here on a part is a reason.
_REASON = 0.5


@dataclass(frozen=True)
class Likeness:
    """A score from LEAST to 100, and the words (`bridge.words`) for what speaks for it, the weightiest first."""

    score: int
    reasons: tuple[str, ...]


def likeness(one: Report, other: Report) -> Likeness | None:
    """Return how alike two reports are, whichever comes first; None when that is too little to say anything."""
    parts = {
        "same_consumer": _same(one.reporter.get("consumer"), other.reporter.get("consumer")),
        "same_business": _named_alike(plain_name(one.business.get("name")), plain_name(other.business.get("name"))),
        "like_text": _told_alike(_text(one), _text(other)),
        "same_amount": _same(one.amount_idr, other.amount_idr),
        "same_category": _same(one.category, other.category),
    }
    known = {name: part for name, part in parts.items() if part is not None}
    score = round(
        100 * sum(WEIGHTS[name] * part for name, part in known.items()) / sum(WEIGHTS[name] for name in known)
    )
    if score < LEAST:
        return None
    return Likeness(score, tuple(name for name, part in known.items() if part >= _REASON))


def _same(one: object, other: object) -> float | None:
    return None if one is None and other is None else float(one == other)


def _named_alike(one: str | None, other: str | None) -> float | None:
    if one is None or other is None:
        return _same(one, other)
    return float(fuzz.token_sort_ratio(one, other) >= _SAME_NAME)


def _told_alike(one: str, other: str) -> float | None:
    if not one and not other:
        return None
    return max(0.0, (fuzz.token_sort_ratio(one, other) - _UNLIKE_TEXT) / (100 - _UNLIKE_TEXT))


def _text(report: Report) -> str:
    return utils.default_process(f"{report.title} {report.description}")
