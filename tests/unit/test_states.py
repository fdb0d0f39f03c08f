"""States: every move from every state, every outcome, and the words for them."""

import pytest

from bridge.reports.states import (
    BEFORE_REGISTRATION,
    MOVES,
    OUTCOME_WORDS,
    WORDS,
    Move,
    MoveRefused,
    Outcome,
    Status,
    after,
    moves_from,
    words_for,
)

#: The whole state machine; what is not listed is refused.
ALLOWED = {
    (Status.RECEIVED, Move.ACKNOWLEDGE): Status.ACKNOWLEDGED,
    (Status.RECEIVED, Move.WITHDRAW): Status.CLOSED,
    (Status.ACKNOWLEDGED, Move.ASK_COMPLETION): Status.NEEDS_COMPLETION,
    (Status.ACKNOWLEDGED, Move.REGISTER): Status.REGISTERED,
    (Status.ACKNOWLEDGED, Move.CLOSE): Status.CLOSED,
    (Status.ACKNOWLEDGED, Move.WITHDRAW): Status.CLOSED,
    (Status.NEEDS_COMPLETION, Move.RESUME): Status.ACKNOWLEDGED,
    (Status.NEEDS_COMPLETION, Move.REGISTER): Status.REGISTERED,
    (Status.NEEDS_COMPLETION, Move.CLOSE): Status.CLOSED,
    (Status.NEEDS_COMPLETION, Move.WITHDRAW): Status.CLOSED,
    (Status.REGISTERED, Move.CLOSE): Status.CLOSED,
    (Status.REGISTERED, Move.WITHDRAW): Status.CLOSED,
    (Status.CLOSED, Move.REOPEN): Status.RECEIVED,
}
REFUSED = [(status, move) for status in Status for move in Move if (status, move) not in ALLOWED]
IN_PUBLIC = {"merah": "Menunggu", "kuning": "Koordinasi Proses", "hijau": "Selesai"}
MYSOCIETY = [
    "open",
    "closed",
    "fixed",
    "in_progress",
    "action_scheduled",
    "investigating",
    "duplicate",
    "not_councils_responsibility",
    "no_further_action",
    "internal_referral",
    "cancelled",
]


@pytest.mark.parametrize(("status", "move"), ALLOWED)
def test_allowed_move_leads_to_its_state(status: Status, move: Move) -> None:
    assert after(move, status, outcome=Outcome.INCOMPLETE) is ALLOWED[status, move]
    assert move in moves_from(status)


def test_no_move_takes_an_acknowledgement_back_but_a_new_cycle() -> None:
    assert [key for key, leads_to in ALLOWED.items() if leads_to is Status.RECEIVED] == [(Status.CLOSED, Move.REOPEN)]


@pytest.mark.parametrize(("status", "move"), REFUSED)
def test_any_other_move_is_refused_and_says_what_is_allowed(status: Status, move: Move) -> None:
    with pytest.raises(MoveRefused) as refused:
        after(move, status, outcome=Outcome.INCOMPLETE)
    assert refused.value.allowed == moves_from(status)
    assert move not in refused.value.allowed
    assert f"cannot {move}" in str(refused.value)
    assert all(allowed in str(refused.value) for allowed in refused.value.allowed)


@pytest.mark.parametrize("status", [Status.ACKNOWLEDGED, Status.NEEDS_COMPLETION, Status.REGISTERED])
def test_closing_without_an_outcome_is_refused_with_the_list(status: Status) -> None:
    with pytest.raises(MoveRefused, match=r"settled.*withdrawn"):
        after(Move.CLOSE, status)


REFUSALS = [
    (Move.REOPEN, Status.REGISTERED, None, "a report that is registered can only: close, withdraw"),
    (
        Move.CLOSE,
        Status.REGISTERED,
        None,
        "closing needs an outcome: settled, granted, rejected, lapsed, not_competent, referred, incomplete, duplicate, "
        "withdrawn",
    ),
    (
        Move.CLOSE,
        Status.ACKNOWLEDGED,
        Outcome.LAPSED,
        "lapsed needs a registered case; before that: "
        "duplicate, incomplete, not_competent, referred, settled, withdrawn",
    ),
]


@pytest.mark.parametrize(("move", "status", "outcome", "why"), REFUSALS)
def test_refusal_says_in_one_sentence_what_would_be_allowed(
    move: Move, status: Status, outcome: Outcome | None, why: str
) -> None:
    with pytest.raises(MoveRefused) as refused:
        after(move, status, outcome=outcome)
    assert str(refused.value) == f"cannot {move}: {why}"
    assert (refused.value.move, refused.value.status) == (move, status)


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("status", [Status.ACKNOWLEDGED, Status.NEEDS_COMPLETION])
def test_decisions_of_the_body_need_a_registered_case(status: Status, outcome: Outcome) -> None:
    if outcome in (Outcome.GRANTED, Outcome.REJECTED, Outcome.LAPSED):
        with pytest.raises(MoveRefused, match="needs a registered case"):
            after(Move.CLOSE, status, outcome=outcome)
    else:
        assert after(Move.CLOSE, status, outcome=outcome) is Status.CLOSED
    assert after(Move.CLOSE, Status.REGISTERED, outcome=outcome) is Status.CLOSED


def test_every_move_and_state_stands_in_the_tables() -> None:
    assert set(MOVES) == set(Move)
    assert set(WORDS) == set(Status)
    assert set(OUTCOME_WORDS) == set(Outcome)
    assert set(Outcome) > BEFORE_REGISTRATION


@pytest.mark.parametrize("words", [*WORDS.values(), *OUTCOME_WORDS.values()], ids=lambda words: words.en)
def test_words_are_ones_the_other_systems_know(words: object) -> None:
    said = vars(words)
    assert said["id"]
    assert said["en"]
    assert said["crm"] in IN_PUBLIC[said["colour"]].split()
    assert said["open311"] == ("closed" if said["colour"] == "hijau" else "open")
    assert said["mysociety"] in MYSOCIETY


def test_closed_report_is_named_by_its_outcome_an_open_never() -> None:
    assert words_for(Status.CLOSED, Outcome.SETTLED).en == "Settled"
    assert words_for(Status.CLOSED).en == "Closed"
    assert words_for(Status.REGISTERED, Outcome.SETTLED) is WORDS[Status.REGISTERED]


def test_unread_report_is_red_and_only_a_closed_one_green() -> None:
    colours = {status: words.colour for status, words in WORDS.items()}
    assert colours.pop(Status.RECEIVED) == "merah"
    assert colours.pop(Status.CLOSED) == "hijau"
    assert set(colours.values()) == {"kuning"}
