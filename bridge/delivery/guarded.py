"""HTTP to the outside, guarded: one look-up, every address judged, and the connection goes to what was judged.

No redirect is followed, no proxy or netrc of the environment is believed, answers are capped, and everything ends by a
deadline. On http.client rather than a larger client: it does none of the rest by itself.
"""

import base64
import http.client
import select
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property

from bridge.delivery.addresses import NOTHING, Allowed, BadUrl, Target, read_address, read_target, why_forbidden
from bridge.delivery.errors import Fault, NotDelivered
from bridge.delivery.timed import (
    Deadline,
    Resolve,
    SocketAddress,
    TimedSocket,
    TimedTlsSocket,
    connect,
    encrypted,
    look_up,
    system_resolver,
)

#: A kept connection is used again within so many seconds of silence: many servers hang up after 5, and a request that
#: crosses the hanging up is lost.
KEPT_SILENT_S = 4.0
#: And no longer than this in all, so that a name that moved is noticed.
KEPT_S = 300.0
#: Of a name with more addresses only so many are tried.
_MOST_TRIED = 4
_PIECE_BYTES = 65_536


class Forbidden(NotDelivered):
    """An address we must not speak to; nothing was sent. `host` has it among its addresses."""

    def __init__(self, host: str, address: str, why: str) -> None:
        super().__init__(
            f"{host} is at {address} ({why}), where nothing is sent; if that is meant, "
            f"put {address} or {host} into BRIDGE_OUTGOING_ALLOW (docs/operations.md)",
            fault=Fault.OURS,
        )


@dataclass(frozen=True)
class Limits:
    """How long and how much: seconds to connect, of silence, in all; bytes of an answer that are read."""

    connect_s: float = 5.0
    silent_s: float = 20.0
    total_s: float = 30.0
    most_bytes: int = 4096


@dataclass(frozen=True)
class Answer:
    """What came back. `body` is its beginning; `whole` tells whether that is all of it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool


@dataclass(frozen=True)
class Guard:
    """What the operator opened, and the two ends of the network: who is asked for names, whose signatures count."""

    allowed: Allowed = NOTHING
    resolve: Resolve = system_resolver
    #: None: the system's certificate authorities, or those of SSL_CERT_FILE.
    tls: ssl.SSLContext | None = field(default=None, compare=False)

    @cached_property
    def context(self) -> ssl.SSLContext:
        """What judges certificates."""
        context = self.tls or ssl.create_default_context()
        context.sslsocket_class = TimedTlsSocket
        return context

    def addresses(self, target: Target, *, near: bool, within_s: float) -> Sequence[tuple[int, SocketAddress]]:
        """Return where a target is, after judging every address it has.

        Raises:
            Forbidden: one of them must not be spoken to.
            OSError: no such name, or no answer in time.
        """
        found = look_up(self.resolve, target.dns_name, target.port, within_s=within_s)
        near = near or target.host in self.allowed.names
        for _, (text, *_) in found:
            address = read_address(text)
            why = why_forbidden(address, self.allowed, near=near) if address else "not an address"
            if why:
                raise Forbidden(target.host, text, why)
        if not found:
            raise OSError(f"{target.host} has no address")
        return found


class Incoming:
    """An answer whose body is still to come."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        #: Names in lower case; of a header given twice the last one.
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self._response = response

    def pieces(self) -> Iterator[bytes]:
        """Yield the body as it comes.

        Raises:
            NotDelivered: it is cut off, or not done in time.
        """
        with _told():
            while piece := self._piece():
                yield piece
            if self._response.length:
                raise http.client.IncompleteRead(b"", self._response.length)

    def _piece(self) -> bytes:
        # Of chunks only read1 is safe: read() takes a chunk of the size -1 for all there ever comes.
        response = self._response
        return response.read1(_PIECE_BYTES) if response.chunked else response.read(_PIECE_BYTES)

    def beginning(self, most_bytes: int) -> tuple[bytes, bool]:
        """Return the first bytes of the body, and whether that is all; one that breaks off ends there."""
        got = bytearray()
        try:
            for piece in self.pieces():
                got += piece
                if len(got) > most_bytes:
                    return bytes(got[:most_bytes]), False
        except NotDelivered:
            return bytes(got), False
        return bytes(got), True


class _Connection(http.client.HTTPConnection):
    """A connection that was made by us; http.client may never make one of its own, past the guard."""

    def __init__(self, made: TimedSocket | TimedTlsSocket) -> None:
        super().__init__("guarded")
        self.sock: TimedSocket | TimedTlsSocket | None = made
        self.made_at = self.used_at = time.monotonic()

    def connect(self) -> None:
        """Refuse; see the class."""
        raise http.client.NotConnected

    def usable(self) -> bool:
        """Tell whether it can carry another request: still open, and nothing unasked has come."""
        now = time.monotonic()
        if self.sock is None or now - self.used_at > KEPT_SILENT_S or now - self.made_at > KEPT_S:
            return False
        if isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
            return False
        waiting = select.poll()  # not select(), which knows no descriptor above 1023
        waiting.register(self.sock, select.POLLIN)
        return not waiting.poll(0)


class Outgoing:
    """One URL to ask; keeps its connection between calls. Not for several threads at once."""

    def __init__(self, url: str, guard: Guard, limits: Limits = Limits(), *, ours: bool = True) -> None:
        """Take the URL apart.

        Args:
            ours: The operator wrote it: an address written out in it is meant (decision 0014), and so is a password.
        """
        self._kept: _Connection | None = None
        self._url, self._guard, self._limits, self._ours = url, guard, limits, ours

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post a body; the answer may have any status.

        Raises:
            NotDelivered: there was no answer, or (Forbidden, and for an unreadable URL) it was never asked for.
        """
        with self.asked("POST", body, headers) as incoming:
            return Answer(incoming.status, incoming.headers, *incoming.beginning(self._limits.most_bytes))

    def get(self, headers: Mapping[str, str] | None = None) -> Answer:
        """Ask for it; see post."""
        with self.asked("GET", None, headers or {}) as incoming:
            return Answer(incoming.status, incoming.headers, *incoming.beginning(self._limits.most_bytes))

    @contextmanager
    def asked(self, method: str, body: bytes | None, headers: Mapping[str, str]) -> Iterator[Incoming]:
        """Send a request and hand over the answer, its body to be read inside; see post for what it raises."""
        target = self._target
        deadline = Deadline(self._limits.total_s, self._limits.silent_s)
        sent = {"Host": target.authority, "User-Agent": "Jembatan", **self._login(target), **headers}
        connection = self._connected(target, deadline)
        try:
            with _told():
                # Without the host: it stands in the header, and is where the connection already goes.
                connection.request(method, target.path, body, sent)
                response = connection.getresponse()
            with closing(response):
                yield Incoming(response)
                # What was not read to its end would be taken for the next answer.
                if response.isclosed() and connection.sock is not None:
                    connection.used_at = time.monotonic()
                    self._kept = connection
        finally:
            if self._kept is not connection:
                connection.close()

    def close(self) -> None:
        """Hang up."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def __del__(self) -> None:
        # Those who tell live as long as their thread and have no end of their own.
        self.close()

    @cached_property
    def _target(self) -> Target:
        try:
            target = read_target(self._url)
        except BadUrl as error:
            raise NotDelivered(f"cannot ask for this address: {error}", fault=Fault.OURS) from None
        if target.user and not self._ours:
            raise NotDelivered("cannot ask for this address: it holds a password", fault=Fault.OURS)
        return target

    def _login(self, target: Target) -> dict[str, str]:
        login = base64.b64encode(target.user.encode()).decode()
        return {"Authorization": f"Basic {login}"} if target.user else {}

    def _connected(self, target: Target, deadline: Deadline) -> _Connection:
        """Return the kept connection where it can still be used, else a new one."""
        kept, self._kept = self._kept, None
        if kept is not None and kept.sock is not None and kept.usable():
            kept.sock.deadline = deadline
            return kept
        if kept is not None:
            kept.close()
        with _told():
            return _Connection(self._made(target, deadline))

    def _made(self, target: Target, deadline: Deadline) -> TimedSocket | TimedTlsSocket:
        near = self._ours and (target.literal is not None or target.host == "localhost")
        found = self._guard.addresses(target, near=near, within_s=deadline.left_s(self._limits.connect_s))
        made = self._first_to_answer(found[:_MOST_TRIED], deadline)
        return encrypted(made, self._guard.context, target.host) if target.tls else made

    def _first_to_answer(self, found: Sequence[tuple[int, SocketAddress]], deadline: Deadline) -> TimedSocket:
        failed: OSError | None = None
        for family, address in found:
            try:
                return connect(family, address, deadline, connect_s=self._limits.connect_s)
            except OSError as error:
                failed = error
        raise failed or OSError("no address")


@contextmanager
def _told() -> Iterator[None]:
    """Turn what a network does into NotDelivered; its words name no path, which may be a secret."""
    try:
        yield
    except TimeoutError as error:
        raise NotDelivered(f"no answer in time: {error}") from error
    except ssl.SSLCertVerificationError as error:
        raise NotDelivered(f"its certificate is not accepted: {error.verify_message}") from error
    except (OSError, http.client.HTTPException) as error:
        raise NotDelivered(f"{type(error).__name__}: {error}"[:500]) from error
