"""Bodies and connections, case by case, on the servers that ship: what is odd is refused or taken whole, never cut.

Every request here is authentic, so only its form can be wrong with it. Three ways in: Granian (`bridge receive` before
RabbitMQ), waitress (`bridge up`, everything embedded), and the shipped nginx before that Granian. A case names the
answers each may give; 0 stands for a connection closed without one. After each, that way in takes a good report.
"""

import hashlib
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from urllib.parse import urlencode

import pytest

from bridge.receiver.webhooks import MAX_BODY_BYTES
from tests.servers import Nginx, RabbitMQ, eventually, free_port, new_folder
from tests.web.doors import OPEN311_KEY, Door, open_full, open_small
from tests.web.processes import connected, head, post, read_reply, report, signed
from tests.web.test_nginx_front import rendered

#: An answer that is none: the connection was closed.
HUNG_UP = 0
#: The only answer that promises anything.
TAKEN = 202
Allowed = tuple[int, ...]


# --- the ways in ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WayIn:
    """One way in: where to send, and who knows what became durable behind it."""

    name: str
    port: int
    door: Door


@pytest.fixture(scope="module")
def running() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def granian(running: ExitStack, rabbitmq: RabbitMQ) -> WayIn:
    """`bridge receive`, one process."""
    rabbitmq.ensure_running()
    door = open_full(new_folder("bodies-granian"), rabbitmq)
    running.callback(door.bridge.close)
    return WayIn("granian", door.port, door)


@pytest.fixture(scope="module")
def waitress(running: ExitStack) -> WayIn:
    """`bridge up`."""
    door = open_small(new_folder("bodies-waitress"))
    running.callback(door.bridge.close)
    return WayIn("waitress", door.port, door)


@pytest.fixture(scope="module")
def nginx(running: ExitStack, granian: WayIn) -> WayIn:
    """The shipped nginx, before the same Granian; nobody plays the desk."""
    front = Nginx(new_folder("bodies-front"), rendered([granian.port], free_port()))
    running.callback(front.close)
    front.start()
    return WayIn("nginx", front.port, granian.door)


@pytest.fixture(params=["granian", "waitress", "nginx"])
def way_in(request: pytest.FixtureRequest) -> WayIn:
    """Each of the three, one after the other."""
    found: WayIn = request.getfixturevalue(request.param)
    return found


# --- sending byte by byte -------------------------------------------------------------------------------------------


def lined(headers: dict[str, str]) -> list[str]:
    """Return headers as lines."""
    return [f"{name}: {value}" for name, value in headers.items()]


def request(body: bytes, headers: dict[str, str], *lines: str, wire: bytes | None = None) -> bytes:
    """Return a request with these lines beside the authentic ones; `wire` goes over the line in place of the body."""
    return head("POST", "/webhooks/qlue", *lined(headers), *lines) + (body if wire is None else wire)


def chunks(content: bytes, size: int = 60_000) -> bytes:
    """Return content in chunks, with their end."""
    parts = [content[at : at + size] for at in range(0, len(content), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def kept_after_another(way_in: WayIn) -> set[str]:
    """Send a good report, and return all that is kept once it is: in order, so what came before is there by then."""
    body = report()
    headers = signed(body)
    assert post(way_in.port, body, headers).status == TAKEN
    # A receiver that has just started still sends by way of its disk.
    eventually(lambda: headers["webhook-id"] in way_in.door.kept(), 30, "the good report is kept")
    return set(way_in.door.kept()) - {headers["webhook-id"]}


@dataclass(frozen=True)
class Answer:
    """One answer; `text` is all of it but the word HTTP."""

    status: int
    text: bytes

    def takes(self, body: bytes) -> bool:
        """Tell whether it says that this very body was taken."""
        return self.status == TAKEN and hashlib.sha256(body).hexdigest().encode() in self.text


def answers(port: int, sent: bytes, *, end: bool = False) -> list[Answer]:
    """Send these bytes and return every answer up to the end of the connection; `end`: say that nothing more comes."""
    got = b""
    with connected(port) as client, suppress(BrokenPipeError, ConnectionResetError):
        with suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(sent)  # refused before all was sent: the answer is there to read
        while True:
            if end or _final(got):
                end = False
                with suppress(OSError):  # it has already gone
                    client.shutdown(socket.SHUT_WR)
            if not (more := client.recv(65536)):
                break
            got += more
    return _final(got)


def _final(got: bytes) -> list[Answer]:
    parts = re.split(rb"(?m)^HTTP/1\.[01] (?=\d{3})", got)[1:]
    return [Answer(int(part[:3]), part) for part in parts if not part.startswith(b"100")]


# --- one request each -----------------------------------------------------------------------------------------------

LARGEST = b'"' + b"a" * (MAX_BODY_BYTES - 2) + b'"'


@dataclass(frozen=True)
class Case:
    """One odd request, and what each way in may answer it.

    In `lines` and `wire`, `{n}` stands for the body's length, `@` for the body, `#` for the body in chunks.
    """

    name: str
    granian: Allowed
    waitress: Allowed
    nginx: Allowed
    lines: tuple[str, ...] = ("Content-Length: {n}",)
    wire: bytes = b"@"
    body: bytes = b""
    end: bool = False

    def sent(self, body: bytes, headers: dict[str, str]) -> bytes:
        """Return the request for a body that these headers make authentic."""
        again = {f"<{name}>": f"{name}: {value}" for name, value in headers.items()}
        lines = [again.get(line, line.replace("{n}", str(len(body)))) for line in self.lines]
        wire = self.wire.replace(b"{n}", b"%x" % len(body)).replace(b"#", chunks(body)).replace(b"@", body)
        return request(body, headers, *lines, wire=wire)


def any_of(*statuses: int) -> Allowed:
    return statuses


OK = any_of(TAKEN)
BAD, SHUT, NO_LENGTH, LARGE, CODING = any_of(400), any_of(HUNG_UP), any_of(411), any_of(413), any_of(501)
STRANGER, FLOOD = any_of(401), any_of(431)
CHUNKED = ("Transfer-Encoding: chunked",)

# Granian hands chunks on as they come, so the receiver asks for a length. Waitress and nginx gather them first.
LENGTHS = [
    #    name                               granian    waitress   nginx      how
    Case("whole", OK, OK, OK),
    Case("the largest", OK, OK, OK, body=LARGEST),
    Case("one byte more than the largest", LARGE, LARGE, LARGE, body=LARGEST + b" "),
    Case("length with zeros before", OK, OK, OK, ("Content-Length: 000{n}",)),
    Case("the same length twice", OK, BAD, BAD, ("Content-Length: {n}", "Content-Length: {n}")),
    Case("two lengths", BAD, BAD, BAD, ("Content-Length: {n}", "Content-Length: 4")),
    Case("two lengths, the shorter first", BAD, BAD, BAD, ("Content-Length: 4", "Content-Length: {n}")),
    Case("two lengths in one line", BAD, BAD, BAD, ("Content-Length: {n}, {n}",)),
    Case("length with a plus", BAD, BAD, BAD, ("Content-Length: +{n}",)),
    Case("length with a minus", BAD, BAD, BAD, ("Content-Length: -{n}",)),
    Case("length with a fraction", BAD, BAD, BAD, ("Content-Length: {n}.0",)),
    Case("length with an underscore", BAD, BAD, BAD, ("Content-Length: 1_{n}",)),
    Case("length in hexadecimal", BAD, BAD, BAD, ("Content-Length: 0x10",)),
    Case("empty length", BAD, BAD, BAD, ("Content-Length:",)),
    Case("blank before the colon", BAD, BAD, BAD, ("Content-Length : {n}",)),
    Case("length over 64 bits", BAD, LARGE, BAD, ("Content-Length: 18446744073709551626",)),
    Case("length of 30 digits", BAD, LARGE, BAD, ("Content-Length: " + "9" * 30,)),
    Case("a gigabyte announced", LARGE, LARGE, LARGE, ("Content-Length: 1000000000",), b""),
    Case("no length", NO_LENGTH, NO_LENGTH, NO_LENGTH, ()),
    Case("no length, then the end", any_of(411, HUNG_UP), NO_LENGTH, any_of(411, HUNG_UP), (), end=True),
    Case("length of nothing", STRANGER, STRANGER, STRANGER, ("Content-Length: 0",)),
    Case("one byte less than announced", any_of(400, HUNG_UP), SHUT, SHUT, ("Content-Length: 9{n}",), end=True),
    Case("announced and nothing sent", any_of(400, HUNG_UP), SHUT, SHUT, wire=b"", end=True),
    Case("more than announced", OK, OK, OK, wire=b"@nonsense\r\n\r\n"),
    Case("told to go on first", OK, OK, OK, ("Expect: 100-continue", "Content-Length: {n}")),
    Case(
        "too large, told to go on first", LARGE, LARGE, LARGE, ("Expect: 100-continue", "Content-Length: 99999999"), b""
    ),
]
CHUNKS = [
    Case("chunked", NO_LENGTH, OK, OK, CHUNKED, b"#"),
    Case("chunked in capitals", NO_LENGTH, OK, OK, ("Transfer-Encoding: CHUNKED",), b"#"),
    Case("chunked, the largest", NO_LENGTH, OK, OK, CHUNKED, b"#", LARGEST),
    Case("chunked, one byte more than the largest", NO_LENGTH, LARGE, LARGE, CHUNKED, b"#", LARGEST + b" "),
    Case("chunked, five megabytes", NO_LENGTH, LARGE, LARGE, CHUNKED, b"#", LARGEST * 20),
    Case("a megabyte in chunks of a byte", NO_LENGTH, LARGE, LARGE, CHUNKED, b"1\r\na\r\n" * 1_000_000),
    # The dangerous one: authentic if, and only if, somebody cuts it to the limit.
    Case(
        "chunked, signed up to the limit only",
        NO_LENGTH,
        LARGE,
        LARGE,
        CHUNKED,
        b"%x\r\n@more\r\n0\r\n\r\n" % (MAX_BODY_BYTES + 4),
        LARGEST,
    ),
    Case("chunked and its length", NO_LENGTH, BAD, BAD, (*CHUNKED, "Content-Length: {n}"), b"#"),
    Case("chunked and a smaller length", NO_LENGTH, BAD, BAD, (*CHUNKED, "Content-Length: 4"), b"#"),
    Case("chunked and a larger length", NO_LENGTH, BAD, BAD, ("Content-Length: 99999", *CHUNKED), b"#"),
    Case("a length, and said to be chunked", NO_LENGTH, BAD, BAD, ("Content-Length: {n}", *CHUNKED)),
    Case("chunked twice", NO_LENGTH, OK, BAD, CHUNKED * 2, b"#"),
    Case("chunked twice in one line", NO_LENGTH, OK, CODING, ("Transfer-Encoding: chunked, chunked",), b"#"),
    Case("gzip and chunked", NO_LENGTH, CODING, CODING, ("Transfer-Encoding: gzip, chunked",), b"#"),
    Case("chunked and then gzip", BAD, CODING, CODING, ("Transfer-Encoding: chunked, gzip",), b"#"),
    Case("xchunked", BAD, CODING, CODING, ("Transfer-Encoding: xchunked",), b"#"),
    Case("identity", BAD, CODING, CODING, ("Transfer-Encoding: identity", "Content-Length: {n}")),
    Case("chunked after a strange blank", BAD, BAD, CODING, ("Transfer-Encoding: \x0bchunked",), b"#"),
    Case("chunked, a blank before the colon", BAD, BAD, BAD, ("Transfer-Encoding : chunked",), b"#"),
    Case("chunk size zz", NO_LENGTH, BAD, BAD, CHUNKED, b"zz\r\n@\r\n0\r\n\r\n"),
    Case("chunk size with a minus", NO_LENGTH, BAD, BAD, CHUNKED, b"-5\r\n@\r\n0\r\n\r\n"),
    Case("chunk size 0x5", NO_LENGTH, BAD, BAD, CHUNKED, b"0x5\r\n@\r\n0\r\n\r\n"),
    Case("chunk of 64 bits", NO_LENGTH, SHUT, BAD, CHUNKED, b"f" * 16 + b"\r\n@\r\n0\r\n\r\n", end=True),
    Case("chunk longer than it says", NO_LENGTH, BAD, BAD, CHUNKED, b"{n}\r\n@xx\r\n0\r\n\r\n"),
    Case("chunk shorter than it says", any_of(411, HUNG_UP), SHUT, SHUT, CHUNKED, b"9{n}\r\n@", end=True),
    Case("chunks without an end", any_of(411, HUNG_UP), SHUT, SHUT, CHUNKED, b"{n}\r\n@\r\n", end=True),
    Case("chunk extension", NO_LENGTH, OK, OK, CHUNKED, b"{n};a=b\r\n@\r\n0\r\n\r\n"),
    Case("trailer that names another id", NO_LENGTH, OK, OK, CHUNKED, b"{n}\r\n@\r\n0\r\nwebhook-id: other\r\n\r\n"),
    Case("endless trailer", NO_LENGTH, LARGE, OK, CHUNKED, b"{n}\r\n@\r\n0\r\nx: %b\r\n\r\n" % (b"a" * 5_000_000)),
    Case("endless chunk extension", NO_LENGTH, LARGE, OK, CHUNKED, b"{n};%b\r\n@\r\n0\r\n\r\n" % (b"a" * 5_000_000)),
]
N = "Content-Length: {n}"
HEADERS = [
    # nginx before 1.23 hands on the first of two lines and the second; from 1.23 on it refuses them itself.
    Case("webhook-id twice", STRANGER, STRANGER, any_of(400, 401), ("<webhook-id>", N)),
    Case("webhook-timestamp twice", STRANGER, STRANGER, any_of(400, 401), ("<webhook-timestamp>", N)),
    # A list may hold the right one among others; joined by waitress with a blank, it still does.
    Case("webhook-signature twice", STRANGER, any_of(401, TAKEN), STRANGER, ("<webhook-signature>", N)),
    Case(
        "content-type twice, the other last",
        any_of(415, TAKEN),
        any_of(415),
        any_of(415, TAKEN),
        ("Content-Type: text/plain", N),
    ),
    Case("another id under an underscore", OK, OK, OK, ("webhook_id: other", N)),
    Case("a length under an underscore", OK, OK, OK, ("Content_Length: 4", N)),
    Case("chunked under an underscore", any_of(411, TAKEN), OK, OK, ("Transfer_Encoding: chunked", N)),
    Case("Host twice", OK, OK, BAD, ("Host: other", N)),
    Case("a NUL", BAD, BAD, BAD, ("x: a\0b", N)),
    Case("a bare CR", BAD, BAD, BAD, ("x: a\rb", N)),
    Case("a folded line", BAD, OK, BAD, ("x: a", " b", N)),
    Case("a line without a colon", BAD, BAD, any_of(400, TAKEN), ("nonsense", N)),
    Case("a line of 7 kB", OK, OK, OK, ("x: " + "a" * 7_000, N)),
    Case("a line of 9 kB", OK, OK, FLOOD, ("x: " + "a" * 9_000, N)),
    Case("a line of 600 kB", FLOOD, FLOOD, FLOOD, ("x: " + "a" * 600_000, N)),
    Case("40 lines of 1 kB", OK, OK, FLOOD, (*(f"x-{i}: {'a' * 1_000}" for i in range(40)), N)),
    Case("90 lines", OK, OK, OK, (*(f"x-{i}: a" for i in range(90)), N)),
    Case("120 lines", FLOOD, OK, FLOOD, (*(f"x-{i}: a" for i in range(120)), N)),
    Case("5000 lines", FLOOD, FLOOD, FLOOD, (*(f"x-{i}: {'a' * 100}" for i in range(5_000)), N)),
]


@pytest.mark.parametrize("case", [*LENGTHS, *CHUNKS, *HEADERS], ids=lambda case: case.name)
def test_odd_request_is_refused_or_taken_whole_and_the_next_report_is_taken(way_in: WayIn, case: Case) -> None:
    body = case.body or report()
    headers = signed(body)
    found = answers(way_in.port, case.sent(body, headers), end=case.end)
    first = found[0].status if found else HUNG_UP
    assert first in getattr(case, way_in.name), found
    assert [answer.status for answer in found[1:]].count(TAKEN) == 0, "one request, one report"
    taken = first == TAKEN
    assert taken == (bool(found) and found[0].takes(body)), "taken whole, or not at all"
    assert taken == (headers["webhook-id"] in kept_after_another(way_in))


# --- the other way in: forms ----------------------------------------------------------------------------------------

FORM = urlencode(
    {
        "api_key": OPEN311_KEY,
        "service_code": "PEMBIAYAAN",
        "lat": "-6.2634567",
        "long": "106.8123456",
        "description": "Ditarik di jalan tanpa surat tugas.",
    }
).encode()
#: Exactly as large as a form may be; the last field is cut first, and is not needed.
LARGEST_FORM = (FORM + b"&x=").ljust(MAX_BODY_BYTES, b"y")
POSTED = any_of(200, 201)
FORMS = [
    Case("whole", POSTED, POSTED, POSTED, body=FORM),
    Case("the largest", POSTED, POSTED, POSTED, body=LARGEST_FORM),
    Case("one byte more than the largest", LARGE, LARGE, LARGE, body=LARGEST_FORM + b"y"),
    Case("two lengths", BAD, BAD, BAD, (N, "Content-Length: 4"), body=FORM),
    Case("no length", any_of(403, 411), any_of(403, 411), any_of(403, 411), (), body=FORM),
    Case("one byte less than announced", any_of(400, HUNG_UP), SHUT, SHUT, ("Content-Length: 9{n}",), b"@", FORM, True),
    Case("chunked", NO_LENGTH, POSTED, POSTED, CHUNKED, b"#", FORM),
    Case("chunked, one byte more than the largest", NO_LENGTH, LARGE, LARGE, CHUNKED, b"#", LARGEST_FORM + b"y"),
    Case("chunked, five megabytes", NO_LENGTH, LARGE, LARGE, CHUNKED, b"#", LARGEST_FORM * 20),
    Case("chunked and its length", NO_LENGTH, BAD, BAD, (*CHUNKED, N), b"#", FORM),
]


@pytest.mark.parametrize("case", FORMS, ids=lambda case: case.name)
def test_odd_form_is_refused_or_taken_whole_and_the_next_report_is_taken(way_in: WayIn, case: Case) -> None:
    before = kept_after_another(way_in)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    sent = case.sent(case.body, headers).replace(b"/webhooks/qlue", b"/open311/v2/requests.json", 1)
    found = answers(way_in.port, sent, end=case.end)
    first = found[0].status if found else HUNG_UP
    assert first in getattr(case, way_in.name), found
    new = {webhook_id for webhook_id in kept_after_another(way_in) - before if webhook_id.startswith("open311-")}
    assert len(new) == (first in POSTED)


# --- several requests on one connection -----------------------------------------------------------------------------

#: Refused requests that leave the connection open, if the server likes; `{n}` is the length of what is hidden in each.
AROUND = {
    "chunked and a length": (
        ("Transfer-Encoding: chunked", "Content-Length: {n}"),
        b"0\r\n\r\n@",
        "POST /webhooks/qlue",
    ),
    "chunked": (("Transfer-Encoding: chunked",), b"#", "POST /webhooks/qlue"),
    "two lengths": (("Content-Length: 2", "Content-Length: {n}"), b"{}@", "POST /webhooks/qlue"),
    "too large": ((f"Content-Length: {MAX_BODY_BYTES + 1}",), b"@".ljust(MAX_BODY_BYTES), "POST /webhooks/qlue"),
    "a stranger": (("Content-Length: {n}",), b"@", "POST /webhooks/qlue"),
    "another method": (("Content-Length: {n}",), b"@", "PUT /webhooks/qlue"),
    "another path": (("Content-Length: {n}",), b"@", "POST /nothing"),
}


@pytest.mark.parametrize("around", AROUND)
def test_report_hidden_in_a_refused_body_is_never_read_as_a_request(way_in: WayIn, around: str) -> None:
    lines, wire, target = AROUND[around]
    body = report()
    hidden, after = signed(body), signed(body)
    inner = request(body, hidden, f"Content-Length: {len(body)}")
    content = wire.replace(b"#", chunks(inner)).replace(b"@", inner)
    framed = [line.replace("{n}", str(len(content))) for line in lines]
    outer = (
        f"{target} HTTP/1.1\r\nHost: bridge\r\nContent-Type: application/json\r\n" + "\r\n".join(framed) + "\r\n\r\n"
    )
    last = request(body, after, f"Content-Length: {len(body)}")

    found = [answer.status for answer in answers(way_in.port, outer.encode() + content + last)]

    assert found[:1] != [TAKEN]
    assert found[1:] in ([], [TAKEN]), "closed, or open for the next request, which is the last one"
    kept = kept_after_another(way_in)
    assert hidden["webhook-id"] not in kept
    assert found[1:] == [] or after["webhook-id"] in kept


def test_what_is_not_http_1_is_not_spoken(way_in: WayIn) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
    # In HTTP/2 one connection could hold 200 stalled bodies, and 16 MB of headers.
    assert all(400 <= answer.status < 500 for answer in answers(way_in.port, preface))
    assert post(way_in.port, report()).status == TAKEN


# --- slow senders beside normal traffic -----------------------------------------------------------------------------

#: As the city would have them on a bad line.
SLOW = 12
#: More connections than waitress takes as it comes; the front allows 200 from one address.
MANY = 150


def begun(stack: ExitStack, port: int, senders: int, take: Callable[[bytes], int]) -> list[tuple[socket.socket, bytes]]:
    """Open connections that each send the first part of a report, as long as `take` says; returns what they still owe."""
    owed = []
    for _ in range(senders):
        client = stack.enter_context(connected(port))
        body = report()
        whole = request(body, signed(body), f"Content-Length: {len(body)}")
        at = take(whole)
        client.sendall(whole[:at])
        owed.append((client, whole[at:]))
    return owed


def in_the_body(whole: bytes) -> int:
    return whole.index(b"\r\n\r\n") + 14


def in_the_header(whole: bytes) -> int:
    return whole.index(b"webhook-signature") + 5


@pytest.mark.parametrize("part", [in_the_body, in_the_header])
def test_twelve_stalled_senders_stop_nobody_and_are_taken_when_they_go_on(
    way_in: WayIn, part: Callable[[bytes], int]
) -> None:
    with ExitStack() as stalled:
        owed = begun(stalled, way_in.port, SLOW, part)
        assert {post(way_in.port, report()).status for _ in range(60)} == {TAKEN}
        for client, rest in owed:
            client.sendall(rest)
        assert [read_reply(client).status for client, _ in owed] == [TAKEN] * SLOW


@pytest.mark.parametrize("part", [in_the_body, in_the_header])
@pytest.mark.parametrize("name", ["waitress", "nginx"])
def test_very_many_stalled_senders_stop_nobody(
    request: pytest.FixtureRequest, name: str, part: Callable[[bytes], int]
) -> None:
    # Not Granian alone: as many stalled bodies as it has threads stop it (docs/operations.md), so it has a front.
    way_in: WayIn = request.getfixturevalue(name)
    with ExitStack() as stalled:
        begun(stalled, way_in.port, MANY, part)
        assert {post(way_in.port, report()).status for _ in range(20)} == {TAKEN}


def test_very_many_stalled_headers_hold_no_thread_of_granian(granian: WayIn) -> None:
    with ExitStack() as stalled:
        begun(stalled, granian.port, MANY, in_the_header)
        assert {post(granian.port, report()).status for _ in range(20)} == {TAKEN}


def test_front_ends_what_stalls_for_ten_seconds(nginx: WayIn) -> None:
    with ExitStack() as stalled:
        owed = begun(stalled, nginx.port, 1, in_the_body) + begun(stalled, nginx.port, 1, in_the_header)
        for client, _ in owed:
            client.setblocking(False)
        eventually(lambda: all(_closed(client) for client, _ in owed), 20, "the front hangs up")


def _closed(client: socket.socket) -> bool:
    try:
        return client.recv(4096) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
