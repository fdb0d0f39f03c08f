"""One trace per report, from the city's webhook to the callback; nothing is recorded unless somebody asks for it.

The trace id *is* the report: a report_id is a UUIDv5, so 128 bits, and its 32 hex digits are the trace id. Who has a
report has its trace, and steps that lie weeks apart share it. A `traceparent` of the city's own (W3C Trace Context,
https://www.w3.org/TR/trace-context/) becomes a link beside it, never the parent: it would change the trace id.

Messages and callbacks always carry a `traceparent`; only where `configure` was told of an exporter are there spans that
are handed on when they end (bridge/span_export.py, the only file that knows OpenTelemetry).

No personal data: attributes are numbers, ids of ours, and words out of our own lists. Of an error its class, no more.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import NamedTuple

import structlog

log = structlog.get_logger()

#: What an attribute may be.
Value = str | int | float | bool | None

#: Section 3.2.2 of the specification: lower case only; later versions may say more behind a dash.
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[!-~]*)?", re.ASCII)
#: Version 00 has 55 characters; what is much longer is no header of any version.
_MOST_CHARS = 256


class TraceParent(NamedTuple):
    """Who is above: 32 and 16 lower-case hex digits, neither all zeros, and two digits of flags."""

    trace_id: str
    span_id: str
    flags: str = "01"

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


def parsed(text: str | None) -> TraceParent | None:
    """Return what a `traceparent` says, or None for anything the specification calls invalid."""
    if not text or len(text) > _MOST_CHARS or not (found := _TRACEPARENT.fullmatch(text)):
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None) or not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return TraceParent(trace_id, span_id, flags)


def trace_id_of(report_id: str) -> str:
    """Return the trace id of a report: its id without the dashes."""
    return report_id.replace("-", "")


def root_id_of(trace_id: str) -> str:
    """Return the id of a report's first span, known to every step without asking.

    The first half of a UUIDv5 is the beginning of a SHA-1 and its version, so never all zeros (RFC 9562, 5.5).
    """
    return trace_id[:16]


def traceparent_for(report_id: str, span_id: str = "") -> str:
    """Return the header that names a span of a report; without one, the report's first."""
    trace_id = trace_id_of(report_id)
    return f"00-{trace_id}-{span_id or root_id_of(trace_id)}-01"


class Span:
    """One piece of work on one report, as a context manager. This kind is recorded by nobody.

    It passes on what it was given, as section 3.4 of the specification has it: whoever records further on finds a
    parent that exists. Without a trace it carries nothing.
    """

    __slots__ = ("_outer", "_spans", "link", "span_id", "trace_id")

    def __init__(self, trace_id: str, span_id: str, link: TraceParent | None = None) -> None:
        self.trace_id, self.span_id, self.link = trace_id, span_id, link

    @property
    def traceparent(self) -> str:
        """Return what names this span to whoever works on; empty without a trace."""
        return f"00-{self.trace_id}-{self.span_id}-01" if self.trace_id else ""

    def carried(self) -> dict[str, str]:
        """Return what a message says of this span, and of the city's own trace."""
        if not self.trace_id:
            return {}
        carried = {"traceparent": f"00-{self.trace_id}-{self.span_id}-01"}
        if self.link:
            carried["city_traceparent"] = str(self.link)
        return carried

    def note(self, **attributes: Value) -> None:
        """Say more about the work; never what a person wrote or is called."""

    def failed(self, error: BaseException) -> None:
        """Say that the work failed, though nothing is raised here; only the error's class is kept."""

    def __enter__(self) -> Span:
        self._spans = spans = _open.spans
        # Put last: the innermost of all is the last one of the dictionary.
        self._outer = spans.pop(self.trace_id, None) if spans else None
        spans[self.trace_id] = self
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        del self._spans[self.trace_id]
        if self._outer is not None:
            self._spans[self.trace_id] = self._outer


class RecordedSpan(Span):
    """One that is handed on when it ends: times in nanoseconds since 1970, `error` the class of what went wrong."""

    __slots__ = ("attributes", "began_ns", "ended_ns", "error", "name", "parent_id")

    def __init__(self, name: str, trace_id: str, parent_id: str, attributes: dict[str, Value]) -> None:
        super().__init__(trace_id, f"{random.getrandbits(64) or 1:016x}")
        self.name, self.parent_id, self.attributes = name, parent_id, attributes
        self.began_ns, self.ended_ns, self.error = time.time_ns(), 0, ""

    def note(self, **attributes: Value) -> None:
        """See Span.note."""
        self.attributes.update(attributes)

    def failed(self, error: BaseException) -> None:
        """See Span.failed."""
        self.error = type(error).__name__

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        super().__exit__(kind, _, __)
        if kind is not None:
            self.error = kind.__name__
        self.ended_ns = time.time_ns()
        if _recorder.record is not None:
            _recorder.record(self)


class _Open(threading.local):
    """The spans a thread is in, by trace: a batch works on many reports at once."""

    def __init__(self) -> None:
        self.spans: dict[str, Span] = {}


class _Recorder:
    """Where spans go when they end; nowhere until `configure`."""

    def __init__(self) -> None:
        self.record: Callable[[RecordedSpan], None] | None = None
        self.exporters: tuple[str, ...] = ()
        self.making = threading.Lock()


_open = _Open()
_recorder = _Recorder()


def span(
    name: str,
    report_id: str | None = None,
    *,
    parent: str | None = None,
    link: str | None = None,
    since: datetime | None = None,
    **attributes: Value,
) -> Span:
    """Return a span of a report, to be entered with `with`.

    Args:
        report_id: Whose trace; None takes that of `parent`, and without either nothing is recorded.
        parent: A traceparent that came with a message. One of another trace counts for nothing; then it is the span of
            this report that the thread is in, or else the report's first.
        link: A traceparent from outside; garbage is ignored.
        since: When the work began, if before now.
    """
    above = parsed(parent) if parent else None
    trace_id = report_id.replace("-", "") if report_id else above.trace_id if above else ""
    linked = parsed(link) if link else None
    if above is not None and above.trace_id == trace_id:
        parent_id = above.span_id
    else:
        inside = _open.spans.get(trace_id)
        parent_id = trace_id[:16] if inside is None else inside.span_id
    if _recorder.record is None or not trace_id:
        return Span(trace_id, parent_id, linked)
    made = RecordedSpan(name, trace_id, parent_id, attributes)
    made.link = linked
    if since is not None:
        made.began_ns = _ns(since)
    return made


def record_root(report_id: str, *, since: datetime, **attributes: Value) -> None:
    """Record the first span of a report, which ends now; once, by whoever made the report.

    Every other span may name it as its parent before it is there: its id follows from the report's.
    """
    if _recorder.record is not None:
        trace_id = trace_id_of(report_id)
        first = RecordedSpan("report", trace_id, "", attributes)
        first.span_id, first.began_ns, first.ended_ns = root_id_of(trace_id), _ns(since), time.time_ns()
        _recorder.record(first)


def traceparent_of(report_id: str) -> str:
    """Return what a message about a report carries: the span this thread is in, or else the report's first."""
    inside = _open.spans.get(trace_id_of(report_id))
    return inside.traceparent if inside else traceparent_for(report_id)


def innermost() -> Span | None:
    """Return the span this thread entered last and has not left."""
    return next(reversed(_open.spans.values()), None)


def note(**attributes: Value) -> None:
    """Say more about the work this thread is at, if it is at any; as Span.note."""
    if (inside := innermost()) is not None:
        inside.note(**attributes)


def outgoing() -> dict[str, str]:
    """Return the headers a request to the outside carries."""
    inside = innermost()
    return {"traceparent": inside.traceparent} if inside and inside.trace_id else {}


def configure(exporters: Sequence[str]) -> None:
    """Hand spans to these exporters (`otlp`, `console`) from now on; to none, and they are not recorded.

    OpenTelemetry is loaded with the first span that ends, or with `load`: a command that records none need not wait.
    """
    _recorder.exporters = tuple(exporters)
    _recorder.record = _load_and_record if exporters else None


def load() -> None:
    """Make the exporters now, in a process that stays: else its first report would wait for them."""
    with _recorder.making:
        # Another thread may have been here meanwhile.
        if _recorder.record is _load_and_record:
            _recorder.record = _made(_recorder.exporters)


def _load_and_record(finished: RecordedSpan) -> None:
    load()
    if _recorder.record is not None:
        _recorder.record(finished)


def _made(exporters: tuple[str, ...]) -> Callable[[RecordedSpan], None] | None:
    from bridge.span_export import SpanExport  # 15 MB that a process without traces need not have

    try:
        return SpanExport(exporters).record
    except (OSError, ValueError) as error:
        # A certificate that cannot be read, a bad address: reports come first.
        log.error("traces_off", why=f"{type(error).__name__}: {error}")
        return None


def _ns(at: datetime) -> int:
    return int(at.timestamp() * 1e9)
