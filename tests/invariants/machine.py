"""A whole office under everything that can happen to it, with the model beside it: the machine hypothesis drives."""

from consumers.relay_outbox import RelayOutbox
from tests.invariants.acts.operators import Operators
from tests.invariants.acts.rules import RuleMakers
from tests.invariants.town import facts_of

#: Longer than any lease, shorter than any rung.
A_LEASE_S = 100


class Machine(RuleMakers, Operators):
    """All acts, and what must hold at the end of any run."""

    def teardown(self) -> None:
        """Whatever happened: once everything works again nothing is overdue, nobody overlooked, nothing told twice."""
        try:
            if not self.failed and self.tickets:
                self.time_passes(self.back)  # what was written before it was set back waits until then
                self.fire_all_that_is_due()
                self.every_invariant_holds()
                self._tell_everything()
                self.every_invariant_holds()
                self._count()
        finally:
            self.clock.close()
            self.zones.close()
            self.forget_backup()

    def _count(self) -> None:
        facts = facts_of(self.database)
        self.seen.update(self.did)
        self.seen.update(["runs", *(["with the clock set back"] if not self.steady else [])])
        self.seen.update(f"fired: {row['did']}" for row in facts.log)
        self.seen.update(f"history: {line['event']}" for line in facts.rows["history"])
        self.seen.update(f"notice: {row['state']}" for row in facts.rows["deliveries"])
        self.seen.update({"deaths": self.crashes, "pauses": sum(len(c["pauses"]) for c in facts.rows["obligations"])})

    def _tell_everything(self) -> None:
        for _ in range(60):
            RelayOutbox(self.database, self.queue).relay()
            for message in self.queue.taken:
                self.tellers[message.type].handle([{"type": message.type, "data": message.data}])
            self.clock.move(A_LEASE_S)
            if not self.office.rows("deliveries", finished_at=None):
                break
        told = self.office.rows("deliveries")
        unended = [row for row in told if row["state"] not in ("delivered", "suppressed", "given_up")]
        assert not unended, unended
        assert self.post.in_order(), "an older state overtook a newer one"
        # Numbers after a restore come of the time: set back, it gives some a second time.
        for report in self.model.reports.values() if self.steady else ():
            shown = self.post.shown[report.ticket]
            assert shown["status"] == report.status, f"the city shows {shown}, {report.ticket} is {report.status}"
        for row in told:
            times = sum(self.post.sent.count(one) for one in (row["delivery_id"], row["digest_id"]) if one)
            assert times <= 1 + self.crashes, f"told {times} times, {self.crashes} crashes"
            assert row["state"] != "delivered" or times or row["channel"] == "desk", "delivered, and nobody was told"
            assert row["state"] == "delivered" or times == 0 or self.crashes, f"told although {row['state']}"
