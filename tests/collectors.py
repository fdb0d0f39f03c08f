"""What stands where a trace collector would: a real HTTP server that takes OTLP and keeps the spans it was sent."""

import gzip
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.waiting import free_port


@dataclass(frozen=True)
class Told:
    """A span as it was exported; ids are hex, `parent_id` is empty for a first one."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    began_ns: int
    ended_ns: int
    service: str
    #: What it links to, as trace id and span id.
    links: tuple[tuple[str, str], ...]
    #: The class of what went wrong, empty if nothing did.
    error: str
    attributes: dict[str, Any] = field(default_factory=dict)


class Collector:
    """Takes `POST /v1/traces` on a free port; what came is in `spans`, and as it came in `bodies`."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.spans: list[Told] = []
        self.bodies: list[bytes] = []
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Begin to listen."""
        self._server = _Http(("127.0.0.1", self.port), self)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Stop to listen; the same port is used at the next start."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def of(self, report_id: str) -> list[Told]:
        """Return the spans of a report's trace, in the order they began."""
        wanted = report_id.replace("-", "")
        return sorted((span for span in list(self.spans) if span.trace_id == wanted), key=lambda span: span.began_ns)

    def take(self, body: bytes) -> None:
        """Keep what one request says."""
        self.bodies.append(body)
        request = ExportTraceServiceRequest.FromString(body)
        for per_process in request.resource_spans:
            service = _values(per_process.resource.attributes)["service.name"]
            for scope in per_process.scope_spans:
                self.spans += [_told(span, str(service)) for span in scope.spans]


def _told(span: Any, service: str) -> Told:
    return Told(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        began_ns=span.start_time_unix_nano,
        ended_ns=span.end_time_unix_nano,
        service=service,
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        error=span.status.message,
        attributes=_values(span.attributes),
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], collector: Collector) -> None:
        self.collector = collector
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.server.collector.take(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: the spans are kept."""
