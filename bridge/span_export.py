"""Spans leave through OpenTelemetry's SDK: OTLP over HTTP, or lines in the log. Only loaded where traces are wanted.

Nothing waits for it: a bounded queue of the SDK's (`OTEL_BSP_MAX_QUEUE_SIZE`, 2,048 spans), a thread that empties it,
and what cannot be exported is counted and forgotten. Where to, under which name and with what patience the SDK reads
from its standard variables (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
"""

import logging
import sys
import threading
import uuid
from collections.abc import Sequence
from multiprocessing.util import Finalize

import structlog
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from prometheus_client import Counter

from bridge.tracing import RecordedSpan, TraceParent

log = structlog.get_logger()

#: How long the end of a process waits for the last spans, in seconds.
FLUSH_S = 2.0

SPANS = Counter(
    "bridge_spans_total", "Spans handed over for export, exported, failed; the rest waits or was dropped", ["outcome"]
)

_KINDS = {
    "receive": SpanKind.SERVER,
    "take_in": SpanKind.CONSUMER,
    "relay_outbox": SpanKind.PRODUCER,
    "notify": SpanKind.CLIENT,
    "callback": SpanKind.CLIENT,
}


class SpanExport:
    """The exporters of one process."""

    def __init__(self, exporters: Sequence[str]) -> None:
        # Its errors would come with every batch while an endpoint is away; _Counted says it once.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._ids = _GivenIds()
        # Sampling by the trace id would be wrong here: a UUID's bits are not all random. And a trace is a report.
        self._provider = TracerProvider(
            sampler=ALWAYS_ON, resource=_resource(), id_generator=self._ids, shutdown_on_exit=False
        )
        for name in exporters:
            self._provider.add_span_processor(BatchSpanProcessor(_Counted(name, _exporter(name))))
        self._tracer = self._provider.get_tracer("jembatan")
        # Runs at the end of this process, also where a server made it and leaves without Python's own atexit.
        Finalize(None, self.stop, exitpriority=0)

    def record(self, span: RecordedSpan) -> None:
        """Hand a finished span over; never waits, and drops the oldest when too many wait."""
        self._ids.span = span
        made = self._tracer.start_span(
            span.name,
            _context(span),
            _KINDS.get(span.name, SpanKind.INTERNAL),
            _attributes(span),
            [Link(_named(span.link))] if span.link else None,
            span.began_ns,
        )
        if span.error:
            made.set_status(Status(StatusCode.ERROR, span.error))
        made.end(span.ended_ns)
        SPANS.labels("recorded").inc()

    def stop(self) -> None:
        """Export what waits, for two seconds at most; later spans are forgotten."""
        # The SDK's own way out waits for thirty seconds. The thread dies with the process.
        last = threading.Thread(target=self._provider.shutdown, name="last-spans", daemon=True)
        last.start()
        last.join(FLUSH_S)


class _GivenIds(IdGenerator):
    """Gives the SDK the ids that our spans have already; each thread its own."""

    def __init__(self) -> None:
        self._local = threading.local()

    @property
    def span(self) -> RecordedSpan:
        """The span this thread is handing over."""
        span: RecordedSpan = self._local.span
        return span

    @span.setter
    def span(self, span: RecordedSpan) -> None:
        self._local.span = span

    def generate_span_id(self) -> int:
        """See IdGenerator."""
        return int(self.span.span_id, 16)

    def generate_trace_id(self) -> int:
        """See IdGenerator."""
        return int(self.span.trace_id, 16)


class _Counted(SpanExporter):
    """Counts what becomes of spans, and says once that an exporter fails and once that it works again."""

    def __init__(self, name: str, inner: SpanExporter) -> None:
        self._name, self._inner, self._failing = name, inner, False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """See SpanExporter."""
        result = self._inner.export(spans)
        failed = result is not SpanExportResult.SUCCESS
        SPANS.labels("failed" if failed else "exported").inc(len(spans))
        if failed and not self._failing:
            log.warning("traces_not_exported", exporter=self._name, spans=len(spans))
        elif self._failing and not failed:
            log.warning("traces_exported_again", exporter=self._name)
        self._failing = failed
        return result

    def shutdown(self) -> None:
        """See SpanExporter."""
        self._inner.shutdown()


def _exporter(name: str) -> SpanExporter:
    if name == "console":
        # A line each, where the log goes.
        return ConsoleSpanExporter(out=sys.stderr, formatter=lambda span: span.to_json(indent=None) + "\n")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


def _resource() -> Resource:
    """Return who we are: what the standard variables say, and our own name if they say none."""
    said = Resource.create()
    if str(said.attributes["service.name"]).startswith("unknown_service"):
        return said.merge(Resource({"service.name": "jembatan"}))
    return said


def _context(span: RecordedSpan) -> Context:
    if not span.parent_id:
        return Context()
    return set_span_in_context(NonRecordingSpan(_named(TraceParent(span.trace_id, span.parent_id))), Context())


def _named(parent: TraceParent) -> SpanContext:
    flags = TraceFlags(int(parent.flags, 16))
    return SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=flags)


def _attributes(span: RecordedSpan) -> dict[str, str | int | float | bool]:
    said = {name: str(v) if isinstance(v, str) else v for name, v in span.attributes.items() if v is not None}
    return {"report_id": str(uuid.UUID(span.trace_id)), **said, **({"error.type": span.error} if span.error else {})}
