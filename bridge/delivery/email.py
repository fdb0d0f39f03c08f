"""Mail to the office: over SMTP, or as .eml files in a folder when no server is configured."""

import os
from datetime import UTC, datetime
from email.charset import QP, Charset
from email.header import Header
from email.message import Message
from email.mime.multipart import MIMEMultipart
from email.utils import format_datetime, formataddr
from pathlib import Path
from typing import Protocol

from bridge.delivery.errors import Fault, NotDelivered, Taken
from bridge.delivery.smtp import SmtpMailer


class Mailer(Protocol):
    """Takes a message and returns when somebody else is responsible for it."""

    def send(self, message: Message) -> Taken:
        """Hand the message over.

        Raises:
            NotDelivered: refused, or nobody there; or nobody knows, and the same message has to be sent again.
        """

    def close(self) -> None:
        """Give back what is kept open between two messages."""


#: A subject that needs no second line (RFC 5322 section 2.1.1 wants 78 with its name).
_SHORT = 66
_UTF8 = Charset("utf-8")
_UTF8.body_encoding = QP


def compose(
    *,
    sender: str,
    to_name: str,
    to_address: str,
    subject: str,
    text: str,
    html: str,
    delivery_id: str,
    ticket: str | None,
    language: str = "id",
    unsubscribe_url: str | None = None,
    one_click: bool = False,
) -> Message:
    """Return a message whose id follows from the delivery: a repeat carries the same one.

    Args:
        ticket: All mail about one report is one thread; None for mail about several.
        unsubscribe_url: Where the person chooses which mail to get; None for what nobody may turn off.
        one_click: A POST to that address turns it off, without a login (RFC 8058).

    Raises:
        NotDelivered: an address that can stand in no header.
    """
    _, _, domain = sender.rpartition("@")
    # The older of the two families of classes: the newer parses each header it is given, for 3 ms a message.
    # "=_" stands in no quoted-printable text (RFC 2045 section 6.7): nobody has to look whether the boundary does.
    parts = [_part("plain", text), _part("html", html)]
    message = MIMEMultipart("alternative", boundary=f"=_{delivery_id}", _subparts=parts)
    message["From"] = _mailbox("Jembatan BPSK", sender)
    message["To"] = _mailbox(to_name, to_address)
    message["Subject"] = _folded(_one_line(subject))
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = f"<{delivery_id}@{domain}>"
    if ticket:
        # The root of the thread is no mail of ours, so that the order in which mails arrive does not matter:
        # programs that thread by References (RFC 5256) put all that name the same root together.
        message["In-Reply-To"] = message["References"] = f"<{ticket}@{domain}>"
    message["List-Id"] = f"Jembatan BPSK <notices.{domain}>"
    message["Content-Language"] = language
    # No "I am on leave" in answer (RFC 3834, and Exchange's own word).
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    if unsubscribe_url:
        message["List-Unsubscribe"] = f"<{unsubscribe_url}>"
    if unsubscribe_url and one_click:
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return message


def _folded(subject: str) -> str:
    if len(subject) <= _SHORT and subject.isascii() and "=?" not in subject:
        return subject
    charset = _UTF8 if "=?" in subject or not subject.isascii() else None
    return Header(subject, charset, header_name="Subject").encode()


def _part(subtype: str, text: str) -> Message:
    # Written as MIMEText writes it, which reads its own headers again and again to get there.
    part = Message()
    part["Content-Type"] = f'text/{subtype}; charset="utf-8"'
    part["MIME-Version"] = "1.0"
    part["Content-Transfer-Encoding"] = "quoted-printable"
    part.set_payload(_UTF8.body_encode(text.encode()))
    return part


def _mailbox(name: str, address: str) -> str:
    if not address.isascii() or not address.isprintable() or any(letter in " <>,;" for letter in address):
        raise NotDelivered(f"{address!r} is not an address mail can be sent to", fault=Fault.OURS, permanent=True)
    return formataddr((_one_line(name), address))


def _one_line(text: str) -> str:
    return " ".join(text.split())


class FileMailer:
    """Writes each message as a file; the desk shows them. For trying out, and for a demo."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def send(self, message: Message) -> Taken:
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
        return Taken(response=f"written as {name}.eml")

    def close(self) -> None:
        """See Mailer.close: no file stays open."""


def open_mailer(smtp_url: str, folder: Path) -> Mailer:
    """Return the mailer the settings ask for."""
    return SmtpMailer(smtp_url) if smtp_url else FileMailer(folder)
