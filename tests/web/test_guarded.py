"""What goes outside ends in time, goes where it was judged to go, and follows nobody: against real, rude servers."""

import gzip
import os
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from bridge.delivery.addresses import read_allowed
from bridge.delivery.errors import Fault, NotDelivered
from bridge.delivery.guarded import Answer, Forbidden, Guard, Limits, Outgoing
from bridge.delivery.heartbeat import NoAnswer, ping
from bridge.delivery.timed import SocketAddress, system_resolver
from tests.rude import Authority, Talk, drips, heard, pours, says, says_once, serving, silent
from tests.waiting import eventually, free_port

QUICK = Limits(connect_s=1.0, silent_s=0.3, total_s=0.8, most_bytes=4096)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#: What the machine may add to a limit before a test calls it broken.
GRACE_S = 1.5


def posted(url: str, guard: Guard | None = None, limits: Limits = QUICK) -> Answer:
    """Post once, and hold it to the limits."""
    outgoing, began = Outgoing(url, guard or Guard(), limits), time.monotonic()
    try:
        return outgoing.post(b"{}", {})
    finally:
        outgoing.close()
        assert time.monotonic() - began < limits.total_s + GRACE_S


def refused(url: str, guard: Guard | None = None) -> NotDelivered:
    with pytest.raises(NotDelivered) as failed:
        posted(url, guard)
    return failed.value


def at(
    *found: tuple[str, int], asked: list[str] | None = None
) -> Callable[[str, int], Sequence[tuple[int, SocketAddress]]]:
    """Return a DNS that knows one name."""

    def resolve(host: str, port: int) -> Sequence[tuple[int, SocketAddress]]:
        if asked is not None:
            asked.append(host)
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, (address, its or port)) for address, its in found
        ]

    return resolve


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Hold a test to leaving no thread and no open file."""
    before = (threading.active_count(), len(os.listdir("/proc/self/fd")))
    yield
    eventually(
        lambda: (threading.active_count(), len(os.listdir("/proc/self/fd"))) <= before, 5, "threads and files gone"
    )


# --- it ends --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "talk",
    [
        silent,
        says_once(b"HTTP/1.1 200 OK\r\n", then_hangs=True),
        drips(b"", b"H"),
        drips(b"HTTP/1.1 200 OK\r\n", b"X"),
        drips(b"HTTP/1.1 200 OK\r\n", b"X-One: 1\r\n"),
        drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        says_once(b""),
        says_once(b"SSH-2.0-OpenSSH_9.2\r\n"),
        says_once(b"\x15\x03\x01\x00\x02\x02\x46" * 100),
        says_once(b"HTTP/1.1 999999 OK\r\n\r\n"),
        pours(b"", b"H" * 65_536),
        pours(b"HTTP/1.1 200 OK\r\n", b"X-Long: " + b"x" * 60_000 + b"\r\n"),
    ],
    ids="silent status-then-silent drips-status drips-one-header drips-headers continues cut ssh tls-alert no-status endless-line endless-headers".split(),
)
def test_server_that_never_answers_is_away_and_holds_nobody_up(talk: Talk, nothing_left: None) -> None:
    with serving(talk) as server:
        assert (refused(server.url).fault, server.connections) == (Fault.AWAY, 1)


@pytest.mark.parametrize(
    "talk",
    [
        says_once(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", then_hangs=True),
        says_once(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
        drips(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n", b"x"),
        drips(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        drips(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: 1\r\n"),
        says_once(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        pours(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65_536),
        pours(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n", b"x" * 65_536),
        pours(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"8000\r\n" + b"x" * 32_768 + b"\r\n"),
        pours(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", b"x" * 65_536),
    ],
    ids="hangs cut drips drips-chunks drips-trailers bad-chunk endless ten-megabytes endless-chunks chunk-of-minus-one".split(),
)
def test_status_counts_whatever_becomes_of_the_body_and_its_beginning_is_all_that_is_read(
    talk: Talk, nothing_left: None
) -> None:
    with serving(talk) as server:
        tracemalloc.start()
        answer = posted(server.url)
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (answer.status, answer.whole, len(answer.body) <= 4096) == (200, False, True)
    assert peak_bytes < 2_000_000


def test_answer_cut_off_in_its_headers_counts_by_its_status() -> None:
    with serving(says_once(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Le")) as server:
        answer = posted(server.url)
        assert (answer.status, answer.headers["retry-after"], answer.body) == (503, "7", b"")


def test_gzip_bomb_stays_packed() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    with serving(says(head + bomb)) as server:
        answer = posted(server.url)
        assert answer.body == bomb[:4096]


def test_body_that_nobody_takes_ends_the_sending() -> None:
    with serving(silent) as server, pytest.raises(NotDelivered, match="no answer in time"):
        Outgoing(server.url, Guard(), QUICK).post(b"x" * 50_000_000, {})


def test_nobody_there_is_away() -> None:
    error = refused(f"http://127.0.0.1:{free_port()}/secret-path")
    assert (error.fault, error.permanent, "secret-path" in error.detail) == (Fault.AWAY, False, False)


# --- it follows nobody ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_an_answer_like_any_other_and_never_followed(status: int) -> None:
    with serving(says(OK)) as elsewhere:
        said = f"HTTP/1.1 {status} Away\r\nLocation: {elsewhere.url}\r\nContent-Length: 0\r\n\r\n".encode()
        with serving(says(said)) as server:
            assert posted(server.url).status == status
        assert elsewhere.connections == 0


def test_proxies_and_passwords_of_the_environment_are_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def recording(connection: socket.socket, over: threading.Event) -> None:
        asked.append(heard(connection))
        connection.sendall(OK)

    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b")
    monkeypatch.setenv("HOME", str(tmp_path))
    with serving(says(OK)) as proxy, serving(recording) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert posted(server.url).status == 200
        assert proxy.connections == 0
    assert b"authorization" not in asked[0].lower()


# --- it goes where it was judged to go ------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "[::127.0.0.1]", "[64:ff9b::7f00:1]"])
def test_odd_spelling_of_this_machine_is_no_address_written_out(host: str) -> None:
    with serving(says(OK)) as server:
        error = refused(f"http://{host}:{server.port}/")
        assert (type(error), error.fault, error.permanent) == (Forbidden, Fault.OURS, False)
        assert server.connections == 0


def test_address_written_out_by_the_operator_is_meant_and_by_a_citizen_is_not() -> None:
    with serving(says(OK)) as server:
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
            url = f"http://{host}:{server.port}/"
            assert posted(url).status == 200
            with pytest.raises(Forbidden), Outgoing(url, Guard(), ours=False).asked("GET", None, {}):
                pass
        assert server.connections == 3


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "http://[fe80::1]/"]
)
def test_metadata_written_out_by_anybody_is_not_asked_for(url: str) -> None:
    assert isinstance(refused(url), Forbidden)


def test_one_forbidden_address_of_a_name_forbids_the_name_and_says_what_to_do() -> None:
    error = refused("http://city.example/", Guard(resolve=at(("93.184.216.34", 0), ("10.1.2.3", 0))))
    assert (type(error), error.fault) == (Forbidden, Fault.OURS)
    for word in ("city.example", "10.1.2.3", "private", "BRIDGE_OUTGOING_ALLOW"):
        assert word in error.detail


@pytest.mark.parametrize("entry", ["127.0.0.0/8", "city.example"])
def test_name_inside_that_the_operator_allowed_is_reached_at_the_first_address_that_answers(entry: str) -> None:
    with serving(says(OK)) as server:
        dns = at(("127.0.0.1", free_port()), ("127.0.0.1", server.port))
        assert posted("http://City.Example/", Guard(read_allowed(entry), dns)).status == 200


def test_name_that_is_allowed_may_still_not_lie_at_the_metadata() -> None:
    guard = Guard(read_allowed("city.example"), at(("169.254.169.254", 0)))
    assert isinstance(refused("http://city.example/", guard), Forbidden)


def test_dns_that_changes_its_answer_is_asked_once_and_the_judged_address_is_the_one_connected_to() -> None:
    asked: list[str] = []

    def rebinding(host: str, port: int) -> Sequence[tuple[int, SocketAddress]]:
        asked.append(host)
        return [(socket.AF_INET, ("127.0.0.1" if len(asked) == 1 else "127.0.0.2", port))]

    with serving(says(OK)) as judged, serving(says(OK), host="127.0.0.2", port=judged.port) as other:
        guard = Guard(read_allowed("127.0.0.1"), rebinding)
        assert posted(f"http://city.example:{judged.port}/", guard).status == 200
        assert (asked, judged.connections, other.connections) == (["city.example"], 1, 0)
        assert isinstance(refused(f"http://city.example:{judged.port}/", guard), Forbidden)
        assert other.connections == 0


def test_name_nobody_knows_is_away() -> None:
    def unknown(host: str, port: int) -> Sequence[tuple[int, SocketAddress]]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    assert refused("http://city.example/", Guard(resolve=unknown)).fault is Fault.AWAY
    assert refused("http://city.example/", Guard(resolve=at())).fault is Fault.AWAY


def test_dns_that_hangs_holds_nobody_up_however_often(nothing_left: None) -> None:
    over = threading.Event()

    def hangs(host: str, port: int) -> Sequence[tuple[int, SocketAddress]]:
        over.wait()
        return []

    limits = Limits(connect_s=0.05, silent_s=0.05, total_s=0.1)
    try:
        for _ in range(20):
            with pytest.raises(NotDelivered) as failed:
                posted("http://city.example/", Guard(resolve=hangs), limits)
            assert failed.value.fault is Fault.AWAY
        assert "too many" in failed.value.detail, "the threads that wait for it are counted"
    finally:
        over.set()


# --- TLS ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A private authority."""
    return Authority(tmp_path)


def test_certificate_nobody_we_trust_has_signed_is_refused(authority: Authority) -> None:
    with serving(says(OK), tls=authority.server("127.0.0.1")) as server:
        error = refused(server.url)
        assert (error.fault, "certificate" in error.detail) == (Fault.AWAY, True)


@pytest.mark.parametrize("way", ["parameter", "SSL_CERT_FILE"])
def test_private_authority_is_trusted_where_the_operator_says_so(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file) if way == "SSL_CERT_FILE" else "")
    trusted = authority.trusted() if way == "parameter" else None
    with serving(says(OK), tls=authority.server("127.0.0.1", "city.example")) as server:
        assert posted(server.url, Guard(tls=trusted)).status == 200
        guard = Guard(read_allowed("city.example"), at(("127.0.0.1", 0)), trusted)
        assert posted(f"https://city.example:{server.port}/", guard).status == 200


def test_certificate_must_be_of_the_name_although_the_connection_goes_to_an_address(authority: Authority) -> None:
    with serving(says(OK), tls=authority.server("other.example")) as server:
        guard = Guard(read_allowed("city.example"), at(("127.0.0.1", 0)), authority.trusted())
        assert "certificate" in refused(f"https://city.example:{server.port}/", guard).detail


@pytest.mark.parametrize("talk", [silent, drips(b"", b"\x16")], ids=["silent", "drips"])
def test_handshake_that_hangs_ends(talk: Talk, authority: Authority, nothing_left: None) -> None:
    with serving(talk) as server:
        assert refused(server.url.replace("http:", "https:"), Guard(tls=authority.trusted())).fault is Fault.AWAY


def test_deadline_holds_inside_tls(authority: Authority, nothing_left: None) -> None:
    context = authority.server("127.0.0.1")
    with serving(drips(b"HTTP/1.1 200 OK\r\n", b"X: 1\r\n"), tls=context) as server:
        assert refused(server.url, Guard(tls=authority.trusted())).fault is Fault.AWAY


# --- connections are kept -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_connection_is_used_again_while_both_sides_keep_it(authority: Authority, tls: bool) -> None:
    asked: list[str] = []
    with serving(says(OK), tls=authority.server("city.example") if tls else None) as server:
        guard = Guard(read_allowed("city.example"), at(("127.0.0.1", 0), asked=asked), authority.trusted())
        outgoing = Outgoing(f"http{'s' * tls}://city.example:{server.port}/", guard, QUICK)
        for _ in range(3):
            assert outgoing.post(b"{}", {}).whole
        outgoing.close()
        assert (server.connections, asked) == (1, ["city.example"])


@pytest.mark.parametrize(
    "talk",
    [
        says_once(OK),
        says(OK.replace(b"200 OK\r\n", b"200 OK\r\nConnection: close\r\n")),
        drips(OK, b"HTTP/1.1 500 Unasked\r\nContent-Length: 0\r\n\r\n"),
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 199999\r\n\r\n" + b"x" * 199_999),
        says_once(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", then_hangs=True),
    ],
    ids=["hangs up silently", "says close", "sends more than was asked for", "says more than is read", "hangs halfway"],
)
def test_connection_that_cannot_be_used_again_is_replaced(talk: Talk) -> None:
    with serving(talk) as server:
        outgoing = Outgoing(server.url, Guard(), QUICK)
        for number in range(1, 4):
            assert outgoing.post(b"{}", {}).status == 200
            eventually(lambda n=number: server.connections == n and not _usable(outgoing), 3)  # type: ignore[misc]
        outgoing.close()


def _usable(outgoing: Outgoing) -> bool:
    return outgoing._kept is not None and outgoing._kept.usable()


def test_password_in_the_operators_url_is_sent_and_in_a_citizens_refused() -> None:
    asked: list[bytes] = []

    def recording(connection: socket.socket, over: threading.Event) -> None:
        asked.append(heard(connection))
        connection.sendall(OK)

    with serving(recording) as server:
        url = f"http://kota:raha%20sia@127.0.0.1:{server.port}/a?b=c"
        assert posted(url).status == 200
        with pytest.raises(NotDelivered, match="password"), Outgoing(url, Guard(), ours=False).asked("GET", None, {}):
            pass
    head = asked[0].split(b"\r\n")
    assert head[0] == b"POST /a?b=c HTTP/1.1"
    assert b"Host: 127.0.0.1:%d" % server.port in head
    assert b"Authorization: Basic a290YTpyYWhhIHNpYQ==" in head


# --- the heartbeat goes the same way --------------------------------------------------------------------------------


def test_heartbeat_is_guarded_and_its_failure_does_not_tell_the_path() -> None:
    with serving(says(OK)) as switch:
        ping(switch.url, Guard())
        assert switch.connections == 1
    for url, resolve in (("http://switch.example/uuid", at(("10.0.0.1", 0))), (f"{switch.url}/uuid", system_resolver)):
        with pytest.raises(NoAnswer) as failed:
            ping(url, Guard(resolve=resolve))
        assert "uuid" not in str(failed.value)
