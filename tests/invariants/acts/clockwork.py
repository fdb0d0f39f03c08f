"""What makes the clockwork go, and what is done to its clock."""

from hypothesis import strategies as st
from hypothesis.stateful import rule

from bridge.storage import escalations
from tests.invariants.checker import i11_overdue
from tests.invariants.judged import WORKERS, Judged, statement
from tests.invariants.town import facts_of


class Clockwork(Judged):
    """Watchers, the sealer, and time."""

    @rule(worker=st.integers(0, WORKERS - 1), most=st.sampled_from([1, 2, 100]))
    def tick(self, worker: int, most: int) -> None:
        """One batch by one worker."""
        self.may_fire = True
        self.workers[worker].most = most
        self.workers[worker].tick()

    @rule(worker=st.integers(0, WORKERS - 1), at=statement)
    def tick_by_a_worker_that_dies(self, worker: int, at: int) -> None:
        """The batch fires whole, or nothing of it does; another process takes its place."""
        self.may_fire = not self._killed(at, self.workers[worker].tick)
        self._start_workers()

    @rule()
    def fire_all_that_is_due(self) -> None:
        """Ticks until nothing is due: afterwards nothing is overdue."""
        self.may_fire = True
        while any(worker.tick() for worker in self.workers):
            pass
        overdue = i11_overdue(facts_of(self.database), self.clock.at)
        assert not overdue, overdue

    @rule(most=st.sampled_from([1, 1000]))
    def seal(self, most: int) -> None:
        """Seal some of the log, or all."""
        with self.database.write() as connection:
            escalations.seal(self.database, connection, most=most)

    @rule(seconds=st.sampled_from([1, 600, 1800, 3600, 3600, 7200, 20_000, 100_000]))
    def time_passes(self, seconds: int) -> None:
        """A while, or an outage."""
        self.clock.move(seconds)
        self._start_workers()

    @rule(seconds=st.sampled_from([600, 1800, 3600, 3600, 7200]), again=st.integers(1, 3))
    def time_passes_and_the_engine_works(self, seconds: int, again: int) -> None:
        """As on any day."""
        for _ in range(again):
            self.time_passes(seconds)
            self.fire_all_that_is_due()
            self.every_invariant_holds()

    @rule(seconds=st.sampled_from([3600, 100_000]))
    def clock_jumps_and_comes_back(self, seconds: int) -> None:
        """Somebody sets the database's clock forward, and back again: meanwhile nothing fires."""
        self.tick(0, 100)
        self.every_invariant_holds()
        self.clock.move(seconds)
        assert [worker.tick() for worker in self.workers] == [0] * WORKERS
        self.every_invariant_holds()
        self.clock.move(-seconds)
        self.tick(0, 100)
        (row,) = self.office.rows("engine")
        assert row["held_since"] is None

    @rule(seconds=st.sampled_from([1, 600, 3600, 7200]))
    def clock_is_set_back(self, seconds: int) -> None:
        """Somebody sets the database's clock back."""
        self.clock.move(-seconds)
        self.steady, self.back = False, self.back + seconds
        self._start_workers()
