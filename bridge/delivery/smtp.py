"""Mail to a mail server, one message at a time, and whose fault it is when it is not taken (RFC 5321, 4954, 3207)."""

import re
import smtplib
import ssl
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from email.policy import Compat32
from email.utils import parseaddr
from functools import cached_property
from pathlib import Path
from typing import Any

from bridge.delivery.errors import Fault, NotDelivered, Taken
from bridge.delivery.smtp_line import Line
from bridge.delivery.smtp_server import SmtpServer, StartTls, read_smtp_url

#: Seconds for a whole sending, connecting included: shorter than the lease of an attempt (consumers/telling.py).
LIMIT_S = 55.0
#: Who greylists wants to see us again after some minutes, and starts anew when we come earlier (RFC 6647 section 5).
GREYLIST_S = 300.0
_MOST_RESPONSE = 1000
_ADDRESS = re.compile(r"[\w.+=-]+@[\w.-]+")
#: A header so short needs no folding (RFC 5322 section 2.1.1 wants lines of 78 characters at most).
_SHORT = 76
_ON_THE_WIRE = Compat32(linesep="\r\n")
_AT_FAULT = "the mail may have arrived; the next attempt carries the same Message-ID"


class SmtpMailer:
    """Keeps one connection to the mail server; not for several threads at once."""

    def __init__(self, url: str, *, trusted: Path | None = None, limit_s: float = LIMIT_S) -> None:
        """Read the address; nothing is connected yet.

        Args:
            url: See read_smtp_url.
            trusted: Certificates to trust in place of the system's.
            limit_s: Seconds for a whole sending.

        Raises:
            BadSmtpUrl: it cannot be used.
        """
        self._server = read_smtp_url(url)
        self._trusted, self._limit_s = trusted, limit_s
        self._line: Line | None = None
        #: A mail was begun on it, and whether it was taken or refused has not been said.
        self._is_half_way = False

    def send(self, message: Message) -> Taken:
        """See Mailer.send; `response` and errors hold no address but the recipient's, and no secret."""
        recipient = parseaddr(str(message["To"]))[1]
        with self._judging(recipient):
            line, answer = self._begun(parseaddr(str(message["From"]))[1])
            self._expect(answer, "MAIL", recipient)
            self._expect(line.docmd("RCPT", f"TO:<{recipient}>"), "RCPT", recipient)
            self._expect(line.docmd("DATA"), "DATA", recipient, code=354)
            line.send(_with_dots(message))
            answer = _last_answer(line)
            self._is_half_way = False
            return self._expect(answer, "DATA", recipient)

    def greet(self) -> None:
        """Connect and log in without sending anything.

        Raises:
            NotDelivered: that does not work.
        """
        with self._judging(""):
            self._connected(time.monotonic() + self._limit_s)

    def close(self) -> None:
        """Hang up."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def _begun(self, sender: str) -> tuple[Line, tuple[int, bytes]]:
        """Begin a mail on the connection that is kept, or on a new one when nobody is there any more."""
        ends_at = time.monotonic() + self._limit_s
        if self._line is not None:
            self._line.begin(ends_at)
            answer = _if_alive(self._line, sender, first_reset=self._is_half_way)
            if answer is not None:
                self._is_half_way = True
                return self._line, answer
        line = self._connected(ends_at)
        self._is_half_way = True
        return line, _mail(line, sender)

    def _connected(self, ends_at: float) -> Line:
        self.close()
        self._line = Line(self._server, self._context, ends_at)
        return self._line

    @cached_property
    def _context(self) -> ssl.SSLContext | None:
        """What certificates are checked against: the system's, or those of SSL_CERT_FILE (OpenSSL reads it)."""
        if not self._server.tls and self._server.starttls is StartTls.NEVER:
            return None
        return ssl.create_default_context(cafile=str(self._trusted) if self._trusted else None)

    def _expect(self, answer: tuple[int, bytes], stage: str, recipient: str, *, code: int = 250) -> Taken:
        status, text = answer
        said = self._said(text, recipient)
        if status == code or (stage == "RCPT" and status == 251):
            return Taken(status, said)
        raise judged(stage, status, said)

    @contextmanager
    def _judging(self, recipient: str) -> Iterator[None]:
        """Turn what goes wrong into NotDelivered, and hang up unless the server goes on talking."""
        try:
            yield
        except NotDelivered as error:
            if error.fault is Fault.AWAY:
                self.close()
            raise
        except (smtplib.SMTPException, OSError) as error:
            self.close()
            raise self._away(error, recipient) from error

    def _away(self, error: Exception, recipient: str) -> NotDelivered:
        """Return what an error before anything was said of this mail means: the server as such is in trouble."""
        if isinstance(error, smtplib.SMTPResponseException):
            text = error.smtp_error
            said = self._said(text if isinstance(text, bytes) else text.encode(), recipient)
            return NotDelivered(
                f"{error.smtp_code} {said}{_advice(error)}", status=_status(error.smtp_code), response=said
            )
        return NotDelivered(
            f"mail server {self._server.host}: {self._said(str(error).encode(), recipient)}{_advice(error)}"
        )

    def _said(self, text: bytes, recipient: str) -> str:
        """Return what the server said on one line, without the addresses of others and without our secrets."""
        said = " ".join(text.decode("utf-8", "replace").replace("\0", "�").split())
        for secret in _secrets(self._server):
            said = said.replace(secret, "…")
        return _ADDRESS.sub(lambda found: found[0] if found[0] == recipient else "…@…", said)[:_MOST_RESPONSE]


def judged(stage: str, status: int, said: str) -> NotDelivered:
    """Return what an answer to MAIL, RCPT or DATA means when it is not yes.

    What is said of this recipient or this message is a refusal, final from 500 (RFC 5321 section 4.2.1). What is
    said of the server (421, 4.3.x by RFC 3463), of us as sender, or is no answer at all, means that it is away.
    """
    if stage == "MAIL" and 500 <= status < 600 and status != 552:
        advice = "; is BRIDGE_MAIL_FROM an address this server sends for, or does it want a login in BRIDGE_SMTP_URL?"
        return NotDelivered(f"{status} {said}{advice}", status=status, response=said)
    server_s_own = status == 421 or said.startswith("4.3.") or status == 530 or not 400 <= status < 600
    if server_s_own or (stage == "MAIL" and status < 500):
        return NotDelivered(f"{status} {said}", status=_status(status), response=said)
    return NotDelivered(
        f"{status} {said}",
        fault=Fault.REFUSED,
        permanent=status >= 500,
        retry_after_s=GREYLIST_S if status in (450, 451) else None,
        status=status,
        response=said,
    )


def _last_answer(line: Line) -> tuple[int, bytes]:
    """Return the answer to the whole mail.

    Raises:
        NotDelivered: there was none, so nobody knows whether the mail was taken.
    """
    try:
        return line.getreply()
    except (smtplib.SMTPException, OSError) as error:
        raise NotDelivered(f"mail server: no answer to the whole mail ({error}); {_AT_FAULT}") from error


def _mail(line: Line, sender: str) -> tuple[int, bytes]:
    return line.docmd("MAIL", f"FROM:<{sender}>")


def _if_alive(line: Line, sender: str, *, first_reset: bool) -> tuple[int, bytes] | None:
    """Return the answer to MAIL, or None when the server has hung up meanwhile, or does so now (421).

    Nothing was said of the mail by then, so it may be begun anew on another connection.
    """
    try:
        if first_reset and line.rset()[0] != 250:
            return None
        answer = _mail(line, sender)
    except (smtplib.SMTPException, OSError):
        return None
    return None if answer[0] == 421 else answer


def _with_dots(message: Message) -> bytes:
    """Return a message as DATA wants it: CRLF, a dot at the start of a line doubled, and the dot that ends it."""
    content = b"".join(_written(message))
    ended = content if content.endswith(b"\r\n") else content + b"\r\n"
    return ended.replace(b"\r\n.", b"\r\n..") + b".\r\n"


def _written(message: Any) -> Iterator[bytes]:
    """Yield a message as the library's generator writes it, which looks at every line of what is encoded already."""
    for name, value in message.items():
        short = value.isascii() and value.isprintable() and len(name) + len(value) <= _SHORT
        yield f"{name}: {value}\r\n".encode() if short else _ON_THE_WIRE.fold_binary(name, value)
    yield b"\r\n"
    parts = message.get_payload()
    if not isinstance(parts, list):
        yield str(parts).encode("ascii").replace(b"\n", b"\r\n")
        return
    boundary = (message.get_boundary() or "").encode("ascii")
    for part in parts:
        yield b"--%b\r\n" % boundary
        yield from _written(part)
        yield b"\r\n"
    yield b"--%b--\r\n" % boundary


def _advice(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return "; the login was refused: check user and password in BRIDGE_SMTP_URL"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "; a server with a certificate of your own authority needs that authority's file in SSL_CERT_FILE"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return "; the server does not offer what BRIDGE_SMTP_URL asks for (STARTTLS, a login)"
    return ""


def _status(code: int) -> int | None:
    return code if 200 <= code < 600 else None


def _secrets(server: SmtpServer) -> list[str]:
    if not server.password:
        return []
    plain = f"\0{server.user}\0{server.password}".encode()
    coded = [b64encode(text).decode() for text in (plain, server.password.encode())]
    return [*coded, server.password]
