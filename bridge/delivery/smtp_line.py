"""A connection to a mail server that ends by a given moment: smtplib counts each wait anew, as long as it is fed."""

import io
import socket
import ssl
import time
from functools import cache
from smtplib import SMTP, SMTPServerDisconnected
from typing import Any

from bridge.delivery.smtp_server import SmtpServer, StartTls

#: Seconds for one wait: to be connected, for TLS, for the next bytes of an answer.
TIMEOUT_S = 15.0
#: An answer is a line or a few; more than this for one mail is no mail server.
_MOST_ANSWER_BYTES = 65_536


class Line(SMTP):
    """One connection; `ends_at` (monotonic seconds) may be set anew for each mail."""

    def __init__(self, server: SmtpServer, context: ssl.SSLContext | None, ends_at: float) -> None:
        """Connect.

        Args:
            context: For TLS, from the start or by STARTTLS; None stays in clear.

        Raises:
            SMTPException, OSError: nobody there, TLS failed, or the greeting was none.
        """
        self._server, self._context = server, context
        self.begin(ends_at)
        super().__init__(server.host, server.port, local_hostname=_our_name(), timeout=TIMEOUT_S)
        try:
            self.ehlo_or_helo_if_needed()
            if self._is_to_start_tls():
                self._arm()
                self.starttls(context=context)
                self.ehlo_or_helo_if_needed()
            if server.user:
                self.login(server.user, server.password)
        except BaseException:
            self.close()
            raise

    def begin(self, ends_at: float) -> None:
        """Give what comes until this moment."""
        self.ends_at, self.read_bytes = ends_at, 0

    def _is_to_start_tls(self) -> bool:
        if self._server.tls or self._server.starttls is StartTls.NEVER:
            return False
        return self._server.starttls is StartTls.REQUIRED or self.has_extn("starttls")

    def _arm(self) -> None:
        """Let the next wait end in time.

        Raises:
            TimeoutError: there is none left.
        """
        self._live().settimeout(self._left_s())

    def _live(self) -> socket.socket:
        if self.sock is None:
            raise SMTPServerDisconnected("the connection is closed")
        return self.sock

    def _left_s(self) -> float:
        left_s = min(TIMEOUT_S, self.ends_at - time.monotonic())
        if left_s <= 0:
            raise TimeoutError("it took too long as a whole")
        return left_s

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002 - smtplib's shape
        sock = self._connected(host, port)
        if not self._server.tls or self._context is None:
            return sock
        sock.settimeout(self._left_s())
        return self._context.wrap_socket(sock, server_hostname=host)

    def _connected(self, host: str, port: int) -> socket.socket:
        """Return a connection to the first of its addresses that answers; all of them share the time."""
        failed: OSError = ConnectionError(f"{host} has no address")
        for *_, (address, *_rest) in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            try:
                return socket.create_connection((str(address), port), self._left_s())
            except OSError as error:
                failed = error
        raise failed

    def send(self, s: Any) -> None:
        """See SMTP.send."""
        self._arm()
        super().send(s)

    def getreply(self) -> tuple[int, bytes]:
        """See SMTP.getreply."""
        if self.file is None:
            self.file = io.BufferedReader(_Answers(self))
        return super().getreply()

    def read_into(self, buffer: Any) -> int:
        """Read what the server says next.

        Raises:
            OSError: it says nothing in time, or far too much.
        """
        self._arm()
        number = self._live().recv_into(buffer)
        self.read_bytes += number
        if self.read_bytes > _MOST_ANSWER_BYTES:
            raise ConnectionError("it says more than a mail server has to say")
        return number


class _Answers(io.RawIOBase):
    """What comes over a line, for the reader of lines that smtplib wants."""

    def __init__(self, line: Line) -> None:
        super().__init__()
        self._line = line

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._line.read_into(buffer)


@cache
def _our_name() -> str:
    """Return what we greet as; asked for once, as it may take the resolver seconds."""
    name = socket.getfqdn()
    return name if "." in name else "[127.0.0.1]"
