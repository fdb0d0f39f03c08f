"""Words people read: every word the code can say exists in Indonesian and in English."""

import ast
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.reports.clocks import ClockState, Deed, Kind
from bridge.reports.people import Role
from bridge.reports.states import OUTCOME_WORDS, WORDS, Move, Outcome, Status, words_for
from bridge.words import LANGUAGES, length, say, time_of_day, when
from bridge.words import WORDS as SAID

ROOT = Path(__file__).parents[2]
DELIVERY_STATES = ("pending", "sending", "delivered", "failed", "given_up", "suppressed")
TARGETS = ("next_member", "assignee", "citizen")


def words_in_code() -> Iterator[str]:
    """What is written into the history (`note`) and onto deliveries (`event=`), as it stands in the code."""
    for path in (*ROOT.glob("bridge/**/*.py"), *ROOT.glob("consumers/*.py")):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "note":
                # A span's has names only.
                yield from (word for event in call.args[1:2] for word in constants(event))
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Delivery":
                yield from (word for k in call.keywords if k.arg == "event" for word in constants(k.value))


def constants(node: ast.expr) -> list[str]:
    if isinstance(node, ast.IfExp):
        return constants(node.body) + constants(node.orelse)
    return [str(node.value)] if isinstance(node, ast.Constant) else []


IN_CODE = sorted(set(words_in_code()))


def test_words_in_the_code_are_found_at_all() -> None:
    assert {"received", "reassigned", "clock_stuck", "met", "warning", "escalation", "new_report"} <= set(IN_CODE)


@pytest.mark.parametrize(
    "word", [*Kind, *Role, *Deed, *Move, *ClockState, *TARGETS, *DELIVERY_STATES, "no_target", "withdrawn", *IN_CODE]
)
def test_every_word_the_code_can_say_exists_in_both_languages(word: str) -> None:
    assert str(word) in SAID
    assert all(say(str(word), language).strip() for language in LANGUAGES)


@pytest.mark.parametrize(("status", "outcome"), [*((s, None) for s in Status), *((Status.CLOSED, o) for o in Outcome)])
def test_every_state_and_outcome_has_words_in_both_languages(status: Status, outcome: Outcome | None) -> None:
    words = words_for(status, outcome)
    assert words.id.strip()
    assert words.en.strip()
    assert words.id != words.en


def test_no_two_states_or_outcomes_are_said_alike() -> None:
    every = [*WORDS.values(), *OUTCOME_WORDS.values()]
    assert len({words.id for words in every}) == len({words.en for words in every}) == len(every)


def test_word_nobody_translated_is_shown_as_it_is() -> None:
    assert say("person:ketua") == "person:ketua"
    assert say("chair", "en") == "Chair of BPSK"
    assert say("chair") == say("chair", "id") == "Ketua BPSK"


def test_instants_are_written_as_people_in_jakarta_write_them() -> None:
    evening = datetime(2026, 11, 22, 17, 5, tzinfo=UTC)
    assert when(evening) == "Senin, 23 Nov 2026 00.05 WIB"
    assert when(evening, "en") == "Monday, 23 Nov 2026 00:05 WIB"
    assert time_of_day(evening) == "23 Nov 00.05"
    assert time_of_day(evening, "en") == "23 Nov 00:05"


LENGTHS = [
    (0, "0 d", "0 s"),
    (45, "45 d", "45 s"),
    (125, "2 m 5 d", "2 m 5 s"),
    (3600, "1 j", "1 h"),
    (4800, "1 j 20 m", "1 h 20 m"),
    (7205, "2 j", "2 h"),
    (90_000, "25 j", "25 h"),
    (59.9, "59 d", "59 s"),
]


@pytest.mark.parametrize(("seconds", "indonesian", "english"), LENGTHS)
def test_lengths_are_written_in_their_two_largest_units(seconds: float, indonesian: str, english: str) -> None:
    assert length(seconds) == indonesian
    assert length(seconds, "en") == english
