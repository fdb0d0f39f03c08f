"""What comes from the city: webhooks, in time and late, once and again."""

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from tests.invariants import model
from tests.invariants.clock import MONDAY
from tests.invariants.judged import MOST_REPORTS, Judged, statement, which
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
        self._take_in(webhook(body(self._next_id()), f"msg-{self._next_id()}"))

    @precondition(lambda self: len(self.tickets) < MOST_REPORTS)
    @rule(at=statement)
    def submit_to_a_worker_that_dies(self, at: int) -> None:
        """The worker dies in front of a statement; nobody acknowledged the message, so it comes again."""
        message = webhook(body(self._next_id()), f"msg-{self._next_id()}")
        self._killed(at, lambda: self.office.take_in.handle([message]))
        self._take_in(message)

    def _next_id(self) -> str:
        return f"Q-{len(self.tickets)}"

    def _take_in(self, message: dict[str, Any]) -> None:
        self.handled.append(message)
        self.office.handle([message])
        (report,) = self.office.rows("reports", report_id=id_of(self._next_id()))
        taken_in = model.Report(report["ticket"], report["assignee"], cycle_began=self.clock.at)
        taken_in.start(model.ON_RECEIPT, self.model.rules, self.clock.at)
        self.model.reports[report["report_id"]] = taken_in
        self.tickets.append(report["ticket"])

    @rule(number=st.integers(0, 30))
    def same_webhook_comes_again(self, number: int) -> None:
        """The queue delivers a message a second time: nothing changes."""
        self.office.handle([self.handled[number % len(self.handled)]])

    @rule(number=which)
    def same_webhook_id_comes_with_another_body(self, number: int) -> None:
        """It is set aside, and changes nothing."""
        number %= len(self.tickets)
        self.office.handle([webhook(body(f"Q-{number}", "report.withdrawn"), f"msg-Q-{number}")])

    @rule(number=which, earlier=st.sampled_from([True, True, False]))
    def citizen_withdraws(self, number: int, earlier: bool) -> None:
        """Now, or in a message that was long on its way: what is older than the cycle changes nothing."""
        report = self._report(number)
        at = MONDAY - timedelta(days=1) if earlier else self.clock.at
        message = webhook(
            body(f"Q-{number % len(self.tickets)}", "report.withdrawn", at=at.isoformat()), f"msg-w-{len(self.handled)}"
        )
        self.handled.append(message)
        self.office.handle([message])
        late = report.cycle > 1 and report.cycle_began is not None and at < report.cycle_began
        if report.allows("withdraw") and not late:
            report.move("withdraw", self.model.rules, self.clock.at)
