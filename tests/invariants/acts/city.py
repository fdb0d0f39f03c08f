"""What comes from the city: webhooks, in time and late, once and again."""

from datetime import datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from tests.invariants import model
from tests.invariants.clock import MONDAY
from tests.invariants.judged import MOST_REPORTS, Judged, Sent, statement, which
from tests.invariants.town import facts_of
from tests.storage.office import body, id_of, webhook


class City(Judged):
    """The city and its citizens."""

    @initialize()
    def begin(self) -> None:
        """Start with a few reports: nothing can happen to none."""
        for _ in range(3):
            self.submit()

    @precondition(lambda self: len(self.tickets) < MOST_REPORTS)
    @rule()
    def submit(self) -> None:
        """A citizen reports."""
        self.city_sends(self._a_report())

    @precondition(lambda self: len(self.tickets) < MOST_REPORTS)
    @rule(at=statement)
    def submit_to_a_worker_that_dies(self, at: int) -> None:
        """The worker dies in front of a statement; nobody acknowledged the message, so it comes again."""
        sent = self._a_report()
        self._killed(at, lambda: self.office.take_in.handle([sent.message]))
        self.city_sends(sent)

    @rule(number=st.integers(0, 30))
    def same_webhook_comes_again(self, number: int) -> None:
        """The queue delivers a message a second time: nothing changes."""
        self.office.handle([self.handled[number % len(self.handled)].message])

    @rule(number=which)
    def same_webhook_id_comes_with_another_body(self, number: int) -> None:
        """It is set aside, and changes nothing."""
        number %= len(self.tickets)
        self.office.handle([webhook(body(f"Q-{number}", "report.withdrawn"), f"msg-Q-{number}")])

    @rule(number=which)
    def city_takes_an_acknowledgement_back(self, number: int) -> None:
        """No webhook does that: it is set aside for a person, and changes nothing. People have no such move at all."""
        number %= len(self.tickets)
        content = body(f"Q-{number}", "report.unacknowledged", at=self.clock.at.isoformat())
        before = facts_of(self.database).rows
        self.office.handle([webhook(content, f"msg-back-{number}")])
        now = facts_of(self.database).rows
        assert [name for name in before if now[name] != before[name] and name not in ("set_aside", "webhooks")] == []
        assert any(row["webhook_id"] == f"msg-back-{number}" for row in now["set_aside"])
        self.did["taking an acknowledgement back, refused"] += 1

    @rule(number=which, earlier=st.sampled_from([True, True, False]))
    def citizen_withdraws(self, number: int, earlier: bool) -> None:
        """Now, or in a message that was long on its way: what is older than the cycle changes nothing."""
        number %= len(self.tickets)
        at = MONDAY - timedelta(days=1) if earlier else self.clock.at
        content = body(f"Q-{number}", "report.withdrawn", at=at.isoformat())
        self.city_sends(Sent(webhook(content, f"msg-w-{len(self.handled)}"), number, at))

    def city_sends(self, sent: Sent) -> None:
        """Take in what is new here, whether the city sends it for the first time or knows that it was lost."""
        self.handled.append(sent)
        self.office.handle([sent.message])
        if sent.withdrawn_at is None:
            self._reported(sent.number)
        else:
            self._withdrawn(self._report(sent.number), sent.withdrawn_at)

    def _a_report(self) -> Sent:
        number = len(self.tickets)
        return Sent(webhook(body(f"Q-{number}"), f"msg-Q-{number}"), number)

    def _reported(self, number: int) -> None:
        (report,) = self.office.rows("reports", report_id=id_of(f"Q-{number}"))
        taken_in = model.Report(report["ticket"], report["assignee"], cycle_began=self.clock.at)
        taken_in.start(model.ON_RECEIPT, self.model.rules, self.clock.at)
        self.model.reports[report["report_id"]] = taken_in
        self.tickets.append(report["ticket"])

    def _withdrawn(self, report: model.Report, at: datetime) -> None:
        late = report.cycle > 1 and report.cycle_began is not None and at < report.cycle_began
        if report.allows("withdraw") and not late:
            report.move("withdraw", self.model.rules, self.clock.at)
