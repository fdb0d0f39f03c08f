"""One trace per report: what a traceparent may say, who is above whom, and what a span tells."""

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge import tracing
from bridge.arrivals import Arrivals
from bridge.broker.messages import grouped
from bridge.reports.tickets import report_id_for
from bridge.tracing import (
    RecordedSpan,
    TraceParent,
    outgoing,
    parsed,
    record_root,
    span,
    traceparent_for,
    traceparent_of,
)

REPORT, OTHER = report_id_for("qlue", "Q-1"), report_id_for("qlue", "Q-2")
TRACE = REPORT.replace("-", "")
ARRIVALS = Arrivals.under(b"t" * 32)
CITY = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[RecordedSpan]]:
    """Traces switched on; what would be exported."""
    spans: list[RecordedSpan] = []
    monkeypatch.setattr(tracing._recorder, "record", spans.append)
    yield spans
    assert tracing.innermost() is None, "every span was left"


@pytest.mark.parametrize(
    "text",
    [
        CITY,
        CITY[:-2] + "00",
        CITY[:-2] + "ff",
        "01" + CITY[2:],
        "cc" + CITY[2:] + "-what-the-future-will-be-like",
    ],
)
def test_traceparent_of_this_version_or_a_later_one_is_understood(text: str) -> None:
    assert parsed(text) == TraceParent(CITY[3:35], CITY[36:52], text[53:55])


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        CITY.upper(),
        "ff" + CITY[2:],
        CITY + "-more",
        CITY + "-",
        CITY + "\n",
        " " + CITY,
        "00-" + "0" * 32 + CITY[35:],
        CITY[:36] + "0" * 16 + CITY[52:],
        CITY[:-1],
        CITY.replace("-", "_"),
        CITY.replace("4", "٤", 1),
        "01" + CITY[2:] + "-" + "x" * 1000,
        f"{CITY},{CITY}",
    ],
)
def test_what_the_specification_calls_invalid_is_ignored(text: str | None) -> None:
    assert parsed(text) is None


@given(st.text() | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{31,33}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?"))
@example("00-" + "0" * 32 + "-" + "0" * 16 + "-00")
def test_header_that_says_anything_breaks_nothing_and_what_is_kept_of_it_reads_alike(text: str) -> None:
    found = parsed(text)
    if found is not None:
        assert parsed(str(found)) == found
        assert len(str(found)) == 55
        assert int(found.trace_id, 16)
        assert int(found.span_id, 16)


@given(st.text(min_size=1), st.text())
def test_trace_of_any_report_is_its_id_and_a_valid_one(source: str, external_id: str) -> None:
    report_id = report_id_for(source, external_id)
    named = parsed(traceparent_for(report_id))
    assert named is not None
    assert str(UUID(named.trace_id)) == report_id


def test_unrecorded_span_passes_on_what_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    above = traceparent_for(REPORT, "00f067aa0ba902b7")
    with span("notify", REPORT, parent=above) as passing:
        passing.note(outcome="delivered")
        assert passing.carried() == outgoing() == {"traceparent": above}
    assert outgoing() == {}


def test_recorded_span_is_the_parent_of_what_is_done_inside_it(recorded: list[RecordedSpan]) -> None:
    with span("take_in", REPORT) as outer, span("callback", REPORT) as inner:
        assert traceparent_of(REPORT) == inner.traceparent != outer.traceparent
    assert [(one.name, one.parent_id) for one in recorded] == [("callback", outer.span_id), ("take_in", TRACE[:16])]


def test_batch_has_a_span_for_each_report_at_once(recorded: list[RecordedSpan]) -> None:
    with span("take_in", REPORT) as one, span("take_in", OTHER) as two:
        assert (traceparent_of(REPORT), traceparent_of(OTHER)) == (one.traceparent, two.traceparent)
    assert traceparent_of(REPORT) == traceparent_for(REPORT)


def test_traceparent_of_another_trace_never_becomes_the_parent(recorded: list[RecordedSpan]) -> None:
    with span("take_in", REPORT, parent=CITY):
        pass
    assert (recorded[0].trace_id, recorded[0].parent_id) == (TRACE, TRACE[:16])


def test_citys_own_trace_is_a_link_and_travels(recorded: list[RecordedSpan]) -> None:
    with span("receive", REPORT, link=CITY) as receiving:
        assert receiving.carried() == {"traceparent": receiving.traceparent, "city_traceparent": CITY}
    assert recorded[0].link == parsed(CITY)


def test_what_is_no_report_has_no_trace(recorded: list[RecordedSpan]) -> None:
    with span("receive", None, link=CITY) as receiving:
        assert receiving.carried() == outgoing() == {}
    assert recorded == []


def test_of_an_error_only_its_class_is_kept(recorded: list[RecordedSpan]) -> None:
    with pytest.raises(ValueError, match="Siti"), span("move", REPORT):
        raise ValueError("Siti Kenari")
    assert recorded[0].error == "ValueError"
    assert "Siti" not in str(recorded[0].attributes)


def test_first_span_of_a_report_is_the_one_all_others_know(recorded: list[RecordedSpan]) -> None:
    at = datetime(2026, 11, 23, 3, tzinfo=UTC)
    record_root(REPORT, since=at, ticket="K7Q2-9XWM-4T8R")
    assert recorded[0].traceparent == traceparent_for(REPORT)
    assert (recorded[0].parent_id, recorded[0].began_ns) == ("", int(at.timestamp()) * 10**9)


def test_webhooks_that_share_one_message_keep_a_trace_each() -> None:
    traces = [{"traceparent": traceparent_for(one), "city_traceparent": CITY} for one in (REPORT, OTHER)]
    sent = [ARRIVALS.sealed("qlue", "m", "", datetime.now(UTC), "0" * 64, b"{}", trace) for trace in traces]
    assert [one.headers for one in sent] == [{"source": "qlue", **trace} for trace in traces]
    assert [item["traceparent"] for item in grouped(sent).data["items"]] == [trace["traceparent"] for trace in traces]
