"""What BRIDGE_SMTP_URL says: which mail server, how it is spoken to, and that no password ever travels in clear."""

import ipaddress
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qs, unquote, urlsplit


class StartTls(StrEnum):
    """Whether a connection that begins in clear goes on under TLS (RFC 3207)."""

    REQUIRED = "required"
    OPTIONAL = "optional"  # if the server offers it
    NEVER = "never"


class BadSmtpUrl(ValueError):
    """The address of the mail server cannot be used; says why, without the password."""


@dataclass(frozen=True)
class SmtpServer:
    """A mail server; `tls` from the first byte (smtps://), else as `starttls` says."""

    host: str
    port: int
    tls: bool
    starttls: StartTls
    user: str = ""
    password: str = field(default="", repr=False)


def read_smtp_url(url: str) -> SmtpServer:
    """Return the server of a URL `smtp[s]://[user:password@]host[:port][?starttls=required|optional|never]`.

    Without the parameter, STARTTLS is required where a password would be sent, and optional elsewhere.

    Raises:
        BadSmtpUrl: a part cannot be read, or a password would go in clear to another machine.
    """
    parts = urlsplit(url)
    tls, host, user = parts.scheme == "smtps", parts.hostname or "localhost", unquote(parts.username or "")
    alone = _is_loopback(host)
    starttls = _starttls(parts.query, tls=tls, default=StartTls.REQUIRED if user and not alone else StartTls.OPTIONAL)
    if user and not tls and not alone and starttls is not StartTls.REQUIRED:
        raise BadSmtpUrl(
            f"starttls={starttls} could send the password in clear; only to 127.0.0.1 or [::1] may that be"
        )
    return SmtpServer(host, _port(parts.netloc, tls=tls), tls, starttls, user, unquote(parts.password or ""))


def _starttls(query: str, *, tls: bool, default: StartTls) -> StartTls:
    given = parse_qs(query, keep_blank_values=True)
    unknown = sorted(set(given) - {"starttls"})
    if unknown:
        raise BadSmtpUrl(f"unknown parameter {unknown[0]!r}; there is starttls")
    if not given:
        return default
    if tls:
        raise BadSmtpUrl("smtps:// is under TLS from the start; starttls belongs to smtp://")
    try:
        return StartTls(given["starttls"][0])
    except ValueError as error:
        raise BadSmtpUrl(f"starttls must be {', '.join(StartTls)}") from error


def _port(netloc: str, *, tls: bool) -> int:
    try:
        port = urlsplit(f"//{netloc}").port
    except ValueError as error:
        raise BadSmtpUrl("the port must be a number up to 65535") from error
    return port or (465 if tls else 25)


def _is_loopback(host: str) -> bool:
    """Tell whether an address written in numbers is this machine; a name may be anybody's, "localhost" included."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
