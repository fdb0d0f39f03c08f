"""The whole engine against a small model, on both databases: whatever happens in whatever order, I1 to I40 hold."""

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.invariants.machine import Machine
from tests.storage.conftest import Databases

#: Runs on each database; more with JEMBATAN_EXAMPLES, for a night.
EXAMPLES = int(os.environ.get("JEMBATAN_EXAMPLES", "15"))


def test_whatever_happens_every_invariant_holds_and_the_model_agrees(
    databases: Databases, capsys: pytest.CaptureFixture[str]
) -> None:
    class OnThisDatabase(Machine):
        def __init__(self) -> None:
            self.database = databases.give(0)
            super().__init__()

    Machine.seen.clear()
    run_state_machine_as_test(
        OnThisDatabase,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=40,
            deadline=None,
            # Not made smaller: that takes minutes of a real database; the run that failed is kept and comes first again.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    with capsys.disabled():
        print(f"\n{dict(sorted(Machine.seen.items()))}")
    # That anything happened at all; the rarer deeds need more than a few runs.
    assert {"fired: both", "fired: notify"} <= Machine.seen.keys()
