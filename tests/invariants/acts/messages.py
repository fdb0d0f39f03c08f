"""What becomes of messages: relayed, delivered, delivered again, and processes that die over them."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from consumers.relay_outbox import RelayOutbox
from tests.invariants.judged import Judged, statement
from tests.storage.crashes import Killed


class Messages(Judged):
    """The relay and those who tell."""

    @rule()
    def relay(self) -> None:
        """What is in the outbox goes to the queue."""
        RelayOutbox(self.database, self.queue).relay()

    @rule(when=st.sampled_from(["before", "after"]))
    def relay_that_dies_between_commit_and_publish_or_after_it(self, when: str) -> None:
        """The queue has none of the messages, or all: they must still be in the outbox, and come (again)."""

        def die() -> None:
            raise Killed

        setattr(self.queue, when, die)
        try:
            RelayOutbox(self.database, self.queue).relay()
        except Killed:
            self.crashes += 1
        self.queue.before = self.queue.after = lambda: None

    @rule()
    def messages_arrive(self) -> None:
        """As on any day: what is in the outbox goes to the queue, and from there to whom it is for."""
        before = len(self.queue.taken)
        self.relay()
        for message in self.queue.taken[before:]:
            self.tellers[message.type].handle([{"type": message.type, "data": message.data}])

    @precondition(lambda self: self.queue.taken)
    @rule(number=st.integers(0, 200))
    def message_is_delivered(self, number: int) -> None:
        """Some message, in whatever order: for the first time or again."""
        message = self.queue.taken[number % len(self.queue.taken)]
        self.tellers[message.type].handle([{"type": message.type, "data": message.data}])

    @precondition(lambda self: self.queue.taken)
    @rule(number=st.integers(0, 200), at=statement)
    def message_is_delivered_to_a_worker_that_dies(self, number: int, at: int) -> None:
        """It may die after sending, before it says so: then the same id is sent once more."""
        message = self.queue.taken[number % len(self.queue.taken)]
        self._killed(at, lambda: self.tellers[message.type].handle([{"type": message.type, "data": message.data}]))
        self._start_tellers()
