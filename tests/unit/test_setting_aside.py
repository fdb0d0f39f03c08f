"""What a person may do with what lies aside, and what that makes of it."""

import pytest

from bridge.reports.setting_aside import DecidedBefore, Did, ReasonMissing, State, Why, decide, erase, released_as
from bridge.signing import sign, verify
from bridge.storage.tables import set_aside, set_aside_decisions
from bridge.words import WORDS


@pytest.mark.parametrize(
    ("did", "then"),
    [(Did.MENDED, State.WAITING), (Did.RELEASED, State.RELEASED), (Did.DISCARDED, State.DISCARDED)],
)
def test_what_waits_is_mended_released_or_discarded(did: Did, then: State) -> None:
    assert decide(1, State.WAITING, did, "uji") is then


@pytest.mark.parametrize("did", Did)
@pytest.mark.parametrize("state", [State.RELEASED, State.DISCARDED])
def test_what_was_decided_is_not_decided_again(state: State, did: Did) -> None:
    with pytest.raises(DecidedBefore, match=f"number 7 was {state} already"):
        decide(7, state, did, "uji")


@pytest.mark.parametrize("reason", ["", "  \n"])
@pytest.mark.parametrize("did", Did)
def test_nothing_is_decided_without_a_reason(did: Did, reason: str) -> None:
    with pytest.raises(ReasonMissing, match=r"^a reason is needed; it is kept with the decision$"):
        decide(1, State.WAITING, did, reason)
    with pytest.raises(ReasonMissing):
        erase(State.WAITING, reason)


def test_what_waited_is_discarded_when_its_bytes_go_and_what_was_decided_stays_decided() -> None:
    after = {state: erase(state, "forgotten") for state in State}
    assert after == {**{state: state for state in State}, State.WAITING: State.DISCARDED}


def test_no_city_can_send_the_id_of_a_release() -> None:
    name, key, at = released_as(7), b"k" * 32, 1_764_000_000
    headers = {"webhook-id": name, "webhook-timestamp": str(at), "webhook-signature": sign(key, name, at, b"{}")}
    with pytest.raises(Exception, match="header_grammar"):
        verify([key], headers, b"{}", now_s=at)


def test_tables_know_every_state_and_decision() -> None:
    said = {str(check.sqltext) for table in (set_aside, set_aside_decisions) for check in table.constraints
            if hasattr(check, "sqltext")}  # fmt: skip
    for words in (State, Did, Why):
        assert any(all(f"'{word}'" in text for word in words) for text in said)


def test_every_state_decision_and_cause_has_words() -> None:
    assert {f"aside_{word}" for words in (State, Did, Why) for word in words} <= set(WORDS)
