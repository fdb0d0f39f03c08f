"""Servers that misbehave: a real TCP server that does with each connection what it is told; and certificates."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.waiting import free_port

#: What a server does with one connection: it may read, write, wait on the event that ends the test.
Talk = Callable[[socket.socket, threading.Event], None]


class Rude:
    """A TCP server on a free port; `connections` counts who came."""

    def __init__(
        self, talk: Talk, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.port = port or free_port()
        self.url = f"{'https' if tls else 'http'}://{host}:{self.port}/callbacks"
        self.connections = 0
        self._talk, self._tls = talk, tls
        self._over = threading.Event()
        self._listening = socket.create_server((host, self.port))
        threading.Thread(target=self._serve, daemon=True).start()

    def stop(self) -> None:
        """Stop to listen, and end every conversation."""
        self._over.set()
        # Closing alone would leave the other thread waiting for somebody to come.
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        # The client hangs up in the middle of many of these: that is what is tested.
        with connection, contextlib.suppress(OSError):
            if self._tls:
                with self._tls.wrap_socket(connection, server_side=True) as secured:
                    self._talk(secured, self._over)
            else:
                self._talk(connection, self._over)


def heard(connection: socket.socket) -> bytes:
    """Return one request with its body; empty when the client has hung up."""
    got = b""
    while b"\r\n\r\n" not in got:
        piece = connection.recv(65_536)
        if not piece:
            return b""
        got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    lengths = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while len(body) < sum(lengths):
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


def says(answer: bytes) -> Talk:
    """Answer every request with these bytes, on one connection as long as the client likes."""

    def talk(connection: socket.socket, over: threading.Event) -> None:
        while heard(connection):
            connection.sendall(answer)

    return talk


def says_once(answer: bytes, *, then_hangs: bool = False) -> Talk:
    """Answer one request with these bytes; then hang up, or fall silent."""

    def talk(connection: socket.socket, over: threading.Event) -> None:
        heard(connection)
        connection.sendall(answer)
        if then_hangs:
            over.wait()

    return talk


def drips(first: bytes, drop: bytes, *, every_s: float = 0.05) -> Talk:
    """Answer with these bytes at once, and then with a drop every so often, for ever."""

    def talk(connection: socket.socket, over: threading.Event) -> None:
        heard(connection)
        connection.sendall(first)
        while not over.wait(every_s):
            connection.sendall(drop)

    return talk


def pours(first: bytes, endlessly: bytes) -> Talk:
    """Answer with these bytes, and then with others as fast as they are taken, for ever."""

    def talk(connection: socket.socket, over: threading.Event) -> None:
        heard(connection)
        connection.sendall(first)
        while not over.is_set():
            connection.sendall(endlessly)

    return talk


def silent(connection: socket.socket, over: threading.Event) -> None:
    """Say nothing, and do not hang up."""
    over.wait()


@contextlib.contextmanager
def serving(talk: Talk, **options: object) -> Iterator[Rude]:
    """Run such a server for a while."""
    server = Rude(talk, **options)  # type: ignore[arg-type]
    try:
        yield server
    finally:
        server.stop()


class Authority:
    """A certificate authority of one's own; `file` is what its friends trust."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Otoritas uji")])
        self.file = folder / "authority.pem"
        self.file.write_bytes(_pem(self._signed(self._name, self._key, authority=True)))

    def trusted(self) -> ssl.SSLContext:
        """Return what a client that trusts it uses."""
        return ssl.create_default_context(cafile=str(self.file))

    def server(self, *hosts: str) -> ssl.SSLContext:
        """Return what a server of these hosts uses."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, hosts[0])])
        file = self._folder / f"{hosts[0]}.pem"
        plain = serialization.NoEncryption()
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        file.write_bytes(private + _pem(self._signed(name, key, hosts=hosts)))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _signed(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *, hosts: tuple[str, ...] = (), authority: bool = False
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        made = x509.CertificateBuilder(self._name, name, key.public_key(), x509.random_serial_number())
        made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        made = made.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        if hosts:
            names = [_general(host) for host in hosts]
            made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return made.sign(self._key, hashes.SHA256())


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
