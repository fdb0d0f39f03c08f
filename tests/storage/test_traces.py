"""A report's trace goes on behind the database: what is announced names the work that announced it."""

from collections.abc import Iterator, Sequence

import pytest

from bridge import tracing
from bridge.broker.messages import Message
from bridge.reports.moves import Actor
from bridge.tracing import RecordedSpan, traceparent_for
from consumers.relay_outbox import RelayOutbox
from tests.storage.office import Office, body, id_of, one_message


@pytest.fixture(autouse=True)
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[RecordedSpan]]:
    """Traces switched on; what would be exported."""
    spans: list[RecordedSpan] = []
    monkeypatch.setattr(tracing._recorder, "record", spans.append)
    yield spans
    assert tracing.innermost() is None, "every span was left"


class Broker:
    """The network's edge: takes messages."""

    def __init__(self) -> None:
        self.taken: list[Message] = []
        self.healthy = True

    def publish(self, messages: Sequence[Message], *, timeout_s: float = 5.0) -> None:
        """Take them all."""
        self.taken += messages

    def close(self) -> None:
        """Nothing to close."""


def _named(spans: list[RecordedSpan], name: str) -> list[RecordedSpan]:
    return [span for span in spans if span.name == name]


def test_each_report_of_a_batch_is_announced_in_its_own_trace(office: Office, recorded: list[RecordedSpan]) -> None:
    office.handle([one_message({"m-1": body("Q-1"), "m-2": body("Q-2"), "m-3": b"no report"})])
    taken = {span.traceparent for span in _named(recorded, "take_in")}
    assert {row["traceparent"] for row in office.rows("outbox")} == taken
    assert {span.trace_id for span in recorded} == {id_of(one).replace("-", "") for one in ("Q-1", "Q-2")}
    assert [(span.attributes["batch"], span.attributes["effect"]) for span in _named(recorded, "take_in")] == [
        (3, "created")
    ] * 2
    assert {span.traceparent for span in _named(recorded, "report")} == {
        traceparent_for(id_of(one)) for one in ("Q-1", "Q-2")
    }


def test_second_webhook_of_a_report_makes_no_second_first_span(office: Office, recorded: list[RecordedSpan]) -> None:
    office.receive("Q-1")
    office.receive("Q-1", "report.amended", title="Judul baru")
    assert len(_named(recorded, "take_in")) == 2
    assert len(_named(recorded, "report")) == 1


def test_move_and_what_it_announces_are_in_the_reports_trace_without_the_persons_name(
    office: Office, recorded: list[RecordedSpan]
) -> None:
    ticket = office.receive("Q-1")
    before = len(office.rows("outbox"))
    office.casework.acknowledge(ticket, Actor("person:ani"))
    office.casework.acknowledge(ticket, Actor("person:ani"))
    first, second = _named(recorded, "move")
    assert {row["traceparent"] for row in office.rows("outbox")[before:]} == {first.traceparent}
    assert first.attributes == {"move": "acknowledge", "ticket": ticket, "by": "person"}
    assert second.attributes["changed"] is False


def test_step_that_fires_begins_a_span_and_its_notices_name_it(office: Office, recorded: list[RecordedSpan]) -> None:
    ticket = office.receive("Q-1")
    before = len(office.rows("outbox"))
    office.set("obligations", {"next_due": office.now()}, kind="acknowledge")
    while not office.watcher.tick():
        pass
    (fired,) = _named(recorded, "escalate")
    assert {row["traceparent"] for row in office.rows("outbox")[before:]} == {fired.traceparent}
    assert (fired.attributes["ticket"], fired.attributes["level"]) == (ticket, 1)


def test_message_that_leaves_carries_the_span_that_sent_it(office: Office, recorded: list[RecordedSpan]) -> None:
    office.receive("Q-1")
    broker = Broker()
    RelayOutbox(office.database, broker).relay()
    (taken,) = _named(recorded, "take_in")
    sent = _named(recorded, "relay_outbox")
    assert {span.parent_id for span in sent} == {taken.span_id}
    assert {message.headers["traceparent"] for message in broker.taken} == {span.traceparent for span in sent}
