"""An operator puts the database back to an earlier state; the queue, the mail servers and the city remember the later."""

from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from bridge.restoring import Restored
from bridge.storage import engine
from tests.invariants.acts.city import City
from tests.invariants.acts.messages import Messages
from tests.invariants.acts.people import People
from tests.invariants.checker import i11_overdue
from tests.invariants.clock import MONDAY
from tests.invariants.copies import Copy
from tests.invariants.judged import MOST_REPORTS, Kept, which
from tests.invariants.town import facts_of

LONG_AGO = MONDAY - timedelta(days=365)
#: A restore takes a while.
AT_LEAST_S = 600


class Operators(City, People, Messages):
    """Who backs up and restores."""

    @rule()
    def back_up(self) -> None:
        """Remember everything there is; the newest backup is the one that is put back."""
        self.forget_backup()
        copy = Copy(self.database)
        self.kept = Kept(copy, self.model.copied(), tuple(self.tickets), len(self.handled), facts_of(self.database))

    @precondition(lambda self: self.kept)
    @rule(seconds=st.sampled_from([AT_LEAST_S, 3600, 100_000]))
    def restore(self, seconds: int) -> None:
        """Stop everything, put it back, hold the engine, let cities know and send again, and let it go on."""
        assert self.kept
        self.clock.move(seconds)
        self.kept.copy.put_back()
        assert facts_of(self.database).rows == self.kept.facts.rows
        lost = self.handled[self.kept.handled :]
        self.model, self.tickets = self.kept.model.copied(), list(self.kept.tickets)
        self.before, self.handled = facts_of(self.database, steady=self.steady), self.handled[: self.kept.handled]
        self.use()
        self._start_tellers()
        self.post.begin_anew()
        self.crashes += 1  # what was told before the restore may be told once more
        self.did["restored"] += 1
        self.did["webhooks sent again after a restore"] += len(lost)

        Restored(self.database, self.office.rules).go_on(reason="uji", actor="cli:uji", since=LONG_AGO)
        self.use()
        self.every_invariant_holds()
        assert [worker.tick() for worker in self.workers] == [0] * len(self.workers), "it is held"
        for sent in lost:
            self.city_sends(sent)
            self.every_invariant_holds()
        self._release()

    @rule(
        choices=st.lists(st.integers(0, 5), min_size=1, max_size=MOST_REPORTS),
        rounds=st.integers(1, 3),
        withdrawn=st.none() | which,
    )
    def disk_fails_after_some_work(self, choices: list[int], rounds: int, withdrawn: int | None) -> None:
        """Reports come, go on and are withdrawn, and the city is told of it; then all of that is gone."""
        self.messages_arrive()
        self.back_up()
        for _ in range(rounds):
            if len(self.tickets) < MOST_REPORTS:
                self.submit()
                self.every_invariant_holds()
            self.people_work(choices)
            self.messages_arrive()
        if withdrawn is not None:
            self.citizen_withdraws(withdrawn, earlier=False)
            self.every_invariant_holds()
        self.restore(AT_LEAST_S)

    def _release(self) -> None:
        with self.database.write() as connection:
            held = engine.read(connection).held_since
            assert held is not None
            engine.let_go(connection, held)
        self.may_fire = True
        while any(worker.tick() for worker in self.workers):
            pass
        overdue = i11_overdue(facts_of(self.database), self.clock.at)
        assert not overdue, overdue
