"""Mail servers as one meets them: real ones that want TLS, a login or patience, and ones that fail in the middle."""

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bridge.delivery.smtp import SmtpMailer
from tests.waiting import eventually, free_port

USER, PASSWORD = "jembatan", "kata:sandi/surat"


class Authority:
    """A certificate authority of this test, and a server certificate of it for 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        self.trusted, self._own = folder / "ca.pem", folder / "server.pem"
        ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        self.trusted.write_bytes(_pem(_certificate("Uji CA", ca_key, "Uji CA", ca_key, is_ca=True)))
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self._own.write_bytes(secret + _pem(_certificate("127.0.0.1", key, "Uji CA", ca_key, is_ca=False)))

    def context(self) -> ssl.SSLContext:
        """Return what a server needs."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(self._own)
        return made


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey, *, is_ca: bool
) -> x509.Certificate:
    now = datetime.now(UTC)
    key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(key_id, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if is_ca:
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        made = made.add_extension(usage, critical=True)
    else:
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        made = made.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return made.sign(issuer_key, hashes.SHA256())


class Post:
    """What aiosmtpd asks us: answers to RCPT and DATA as told, one each, and what was taken."""

    def __init__(self) -> None:
        self.rcpt: list[str] = []
        self.data: list[str] = []
        self.taken: list[bytes] = []
        #: Whether the connection was under TLS, and who had logged in, when it was taken.
        self.under_tls: list[bool] = []
        self.logged_in: list[bool] = []

    async def handle_RCPT(self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _o: Any) -> str:  # noqa: N802 - aiosmtpd
        answer = self.rcpt.pop(0) if self.rcpt else "250 2.1.5 ok"
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd
        answer = self.data.pop(0) if self.data else "250 2.0.0 queued as 7F3A"
        if answer.startswith("250"):
            assert isinstance(envelope.original_content, bytes)
            self.taken.append(envelope.original_content)
            self.under_tls.append(server.transport.get_extra_info("ssl_object") is not None)
            self.logged_in.append(session.authenticated)
        return answer


def check_login(_server: SMTP, _session: Session, _envelope: Envelope, mechanism: str, given: Any) -> AuthResult:
    """Say whether a login is right."""
    right = isinstance(given, LoginPassword) and (given.login, given.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=right, handled=False)


class Net:
    """Servers and mailers of one test; at its end the mailers hang up before the servers go."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def serve(self, post: Post, *, tls: ssl.SSLContext | None = None, **options: Any) -> int:
        """Return the port of a real server on this machine; `tls` from the start, or `tls_context` for STARTTLS."""
        controller = Controller(post, hostname="127.0.0.1", port=free_port(), ssl_context=tls, **options)
        controller.start()
        self._stack.callback(_stop, controller)
        return int(controller.port)

    def play(self, *scripts: Callable[["Talk"], None]) -> int:
        """Return the port of a server whose connections follow these scripts, one after the other."""
        return self._stack.enter_context(scripted(*scripts))

    def mailer(self, url: str, trusted: Path | None = None, limit_s: float = 20.0) -> SmtpMailer:
        """Return a mailer."""
        made = SmtpMailer(url, trusted=trusted, limit_s=limit_s)
        self._stack.callback(made.close)
        return made


def _stop(controller: Controller) -> None:
    # What is on the line when its loop stops would be left to the garbage collector, and fail some later test:
    # it shall have no more than its listening socket and the pipe that wakes it.
    eventually(lambda: len(controller.loop._selector.get_map()) <= 2, what="everybody has hung up")
    controller.stop()


class Talk:
    """One connection of a server that follows a script: what it says, and what it waits for."""

    def __init__(self, sock: socket.socket, ended: threading.Event) -> None:
        self._sock, self._lines, self.ended = sock, sock.makefile("rb"), ended

    def say(self, text: str | bytes) -> None:
        """Send it, as it is."""
        self._sock.sendall(text.encode() if isinstance(text, str) else text)

    def hear(self, beginning: str) -> str:
        """Read lines until one begins so."""
        while line := self._lines.readline():
            if line.upper().startswith(beginning.upper().encode()):
                return line.decode()
        raise ConnectionError(f"no {beginning}")

    def until_data(self) -> None:
        """Do everything rightly up to the answer that lets the mail come."""
        self.say("220 mail.example\r\n")
        for word, answer in (
            ("EHLO", "250 mail.example"),
            ("MAIL", "250 ok"),
            ("RCPT", "250 ok"),
            ("DATA", "354 go on"),
        ):
            self.hear(word)
            self.say(answer + "\r\n")

    def close(self) -> None:
        """Hang up."""
        self._lines.close()
        self._sock.close()


@contextmanager
def scripted(*scripts: Callable[[Talk], None]) -> Iterator[int]:
    """A server whose connections follow these scripts, one after the other; then it listens no more."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_play, args=(listening, scripts, ended))
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            ended.set()
            thread.join()


def _play(listening: socket.socket, scripts: tuple[Callable[[Talk], None], ...], ended: threading.Event) -> None:
    listening.settimeout(20)
    for script in scripts:
        try:
            sock, _ = listening.accept()
        except TimeoutError:
            return
        sock.settimeout(20)
        talk = Talk(sock, ended)
        try:
            script(talk)
        except OSError:
            pass  # the client hung up: what the test looks at is on its side
        finally:
            talk.close()
