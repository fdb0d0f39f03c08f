"""Sockets that end: no call on them outlasts the deadline of the whole exchange, whatever the other side drips.

A timeout of a socket is for one call, and every byte starts it anew. Here each call gets what is left, at most so
long as silence is borne. The handshake of TLS is one call to OpenSSL, which keeps its timeout as a deadline.
"""

import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

#: A socket address as getaddrinfo gives it: ("192.0.2.7", 443), or with flow and scope.
SocketAddress = tuple[Any, ...]
Resolve = Callable[[str, int], Sequence[tuple[int, SocketAddress]]]

#: So many look-ups may hang at a time; each holds a thread until the system's resolver gives up.
_LOOK_UPS = threading.BoundedSemaphore(16)


class Deadline:
    """When an exchange must be over, and how long silence is borne within it, in seconds."""

    def __init__(self, total_s: float, silent_s: float) -> None:
        self.total_s = total_s
        self._silent_s = silent_s
        self._ends_at = time.monotonic() + total_s

    def left_s(self, most_s: float | None = None) -> float:
        """Return how long the next call may take, at most `most_s` (the silence that is borne).

        Raises:
            TimeoutError: it is over.
        """
        left_s = self._ends_at - time.monotonic()
        if left_s <= 0:
            raise TimeoutError(f"not done within {self.total_s:g} s")
        return min(left_s, self._silent_s if most_s is None else most_s)


class TimedSocket(socket.socket):
    """A TCP connection under a deadline; give it one before every exchange."""

    deadline: Deadline

    def recv_into(self, *arguments: Any) -> int:
        """See socket.recv_into; all that http.client reads comes this way."""
        self.settimeout(self.deadline.left_s())
        return super().recv_into(*arguments)

    def sendall(self, *arguments: Any) -> None:
        """See socket.sendall; its timeout counts for the whole."""
        self.settimeout(self.deadline.left_s())
        return super().sendall(*arguments)


class TimedTlsSocket(ssl.SSLSocket):
    """The same with TLS."""

    deadline: Deadline

    def recv_into(self, *arguments: Any) -> int:
        """See TimedSocket.recv_into."""
        self.settimeout(self.deadline.left_s())
        return super().recv_into(*arguments)

    def send(self, *arguments: Any) -> int:
        """See socket.send; sendall is made of it."""
        self.settimeout(self.deadline.left_s())
        return super().send(*arguments)


def connect(family: int, address: SocketAddress, deadline: Deadline, *, connect_s: float) -> TimedSocket:
    """Return a connection to exactly this address.

    Raises:
        OSError: nobody there, or not in time.
    """
    made = TimedSocket(family, socket.SOCK_STREAM)
    made.deadline = deadline
    try:
        made.settimeout(deadline.left_s(connect_s))
        made.connect(address)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        made.close()
        raise
    return made


def encrypted(made: TimedSocket, context: ssl.SSLContext, host: str) -> TimedTlsSocket:
    """Return the connection with TLS on it, by a context that makes TimedTlsSockets; the certificate must be of `host`.

    Raises:
        OSError: no handshake in time, or a certificate nobody we trust has signed for this host.
    """
    deadline = made.deadline
    try:
        made.settimeout(deadline.left_s())
        secured = context.wrap_socket(made, server_hostname=host)
    except BaseException:
        made.close()
        raise
    timed = cast(TimedTlsSocket, secured)
    timed.deadline = deadline
    return timed


def system_resolver(host: str, port: int) -> list[tuple[int, SocketAddress]]:
    """Ask the system: its hosts file, its DNS."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


def look_up(resolve: Resolve, host: str, port: int, *, within_s: float) -> Sequence[tuple[int, SocketAddress]]:
    """Return the addresses of a name; one look-up, and none that hangs holds us up.

    Raises:
        OSError: no such name, or no answer in time.
    """
    answer: queue.SimpleQueue[Sequence[tuple[int, SocketAddress]] | OSError] = queue.SimpleQueue()
    if not _LOOK_UPS.acquire(blocking=False):
        raise TimeoutError("too many look-ups of names hang")

    def ask() -> None:
        try:
            answer.put(resolve(host, port))
        except OSError as error:
            answer.put(error)
        finally:
            _LOOK_UPS.release()

    # getaddrinfo knows no timeout and cannot be interrupted: left alone, its thread ends with it.
    threading.Thread(target=ask, name=f"look-up of {host}", daemon=True).start()
    try:
        found = answer.get(timeout=within_s)
    except queue.Empty:
        raise TimeoutError(f"no address of {host} within {within_s:g} s") from None
    if isinstance(found, OSError):
        raise found
    return found
