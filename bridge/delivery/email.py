"""Mail to the office: over SMTP, or as .eml files in a folder when no server is configured."""

import os
import smtplib
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from email.charset import QP, Charset
from email.header import Header
from email.message import Message
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import format_datetime, formataddr
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from bridge.delivery.errors import NotDelivered

TIMEOUT_S = 15


class Mailer(Protocol):
    """Takes a message and returns when somebody else is responsible for it."""

    def send(self, message: Message) -> None:
        """Hand the message over.

        Raises:
            NotDelivered: refused, or nobody there.
        """


_UTF8 = Charset("utf-8")
_UTF8.body_encoding = QP


def compose(
    *, sender: str, to_name: str, to_address: str, subject: str, text: str, html: str, delivery_id: str, ticket: str
) -> Message:
    """Return a message whose id follows from the delivery: a repeat carries the same one.

    Raises:
        NotDelivered: an address that can stand in no header.
    """
    _, _, domain = sender.rpartition("@")
    # The older of the two families of classes: the newer parses each header it is given, for 3 ms a message.
    message = MIMEMultipart("alternative", _subparts=[_part("plain", text), _part("html", html)])
    message["From"] = _mailbox("Jembatan BPSK", sender)
    message["To"] = _mailbox(to_name, to_address)
    message["Subject"] = Header(
        _one_line(subject), _UTF8 if "=?" in subject or not subject.isascii() else None
    ).encode()
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = f"<{delivery_id}@{domain}>"
    # All mail about one report is one thread.
    message["References"] = f"<{ticket}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    return message


def _part(subtype: str, text: str) -> MIMEText:
    part = MIMEText("", subtype)
    del part["Content-Transfer-Encoding"]
    part.set_payload(text, _UTF8)
    return part


def _mailbox(name: str, address: str) -> str:
    if not address.isascii() or not address.isprintable() or any(letter in " <>,;" for letter in address):
        raise NotDelivered(f"{address!r} is not an address mail can be sent to", permanent=True)
    return formataddr((_one_line(name), address))


def _one_line(text: str) -> str:
    return " ".join(text.split())


class SmtpMailer:
    """Keeps one connection to the mail server; not for several threads at once."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._tls = parts.hostname or "localhost", parts.scheme == "smtps"
        self._port = parts.port or (465 if self._tls else 25)
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._server: smtplib.SMTP | None = None

    def send(self, message: Message) -> None:
        """See Mailer.send. A 5xx is permanent (RFC 5321 section 4.2.1), everything else passes."""
        try:
            self._connected().send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            code, text = next(iter(error.recipients.values()))
            self._reset()
            raise NotDelivered(f"{code} {text!r}", permanent=500 <= code < 600) from error
        except smtplib.SMTPResponseException as error:
            self.close()
            permanent = 500 <= error.smtp_code < 600
            raise NotDelivered(f"{error.smtp_code} {error.smtp_error!r}", permanent=permanent) from error
        except (smtplib.SMTPException, OSError) as error:
            self.close()
            raise NotDelivered(f"mail server: {error}") from error

    def greet(self) -> None:
        """Connect and log in without sending anything.

        Raises:
            NotDelivered: that does not work.
        """
        try:
            self._connected()
        except (smtplib.SMTPException, OSError) as error:
            raise NotDelivered(f"mail server: {error}") from error

    def close(self) -> None:
        """Hang up."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def _connected(self) -> smtplib.SMTP:
        if self._server is not None and _alive(self._server):
            return self._server
        self.close()
        connect: Callable[..., smtplib.SMTP] = smtplib.SMTP_SSL if self._tls else smtplib.SMTP
        server = connect(self._host, self._port, timeout=TIMEOUT_S)
        if not self._tls and server.has_extn("starttls"):
            server.starttls(context=ssl.create_default_context())
        if self._user:
            server.login(self._user, self._password)
        self._server = server
        return server

    def _reset(self) -> None:
        if self._server is not None and not _alive(self._server):
            self.close()


def _alive(server: smtplib.SMTP) -> bool:
    try:
        return server.rset()[0] == 250
    except (smtplib.SMTPException, OSError):
        return False


class FileMailer:
    """Writes each message as a file; the desk shows them. For trying out, and for a demo."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def send(self, message: Message) -> None:
        """See Mailer.send. The same message again replaces its file."""
        name = str(message["Message-ID"]).strip("<>").partition("@")[0]
        draft = self._folder / f".{name}.part"
        try:
            with draft.open("wb") as file:
                file.write(message.as_bytes())
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._folder / f"{name}.eml")
        except OSError as error:
            raise NotDelivered(f"mail folder: {error}") from error


def open_mailer(smtp_url: str, folder: Path) -> Mailer:
    """Return the mailer the settings ask for."""
    return SmtpMailer(smtp_url) if smtp_url else FileMailer(folder)
