"""The shipped nginx configuration in front of a real `bridge receive`: what is slow, large or malformed ends there."""

import base64
import itertools
import json
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from bridge.receiver.webhooks import CONFIRM_S, MAX_BODY_BYTES
from bridge.signing import sign
from tests.architecture import test_compose as compose
from tests.rude import Talk, says_once, serving, silent
from tests.server import Server
from tests.servers import Nginx, eventually, free_port

ROOT = Path(__file__).parents[2]
SHIPPED = (ROOT / "deploy/nginx.conf").read_text()
KEY = secrets.token_bytes(32)
#: Threads of one receiver process, see bridge/cli/run.py.
THREADS = 32


# --- the servers ----------------------------------------------------------------------------------------------------


class Bridge(Server):
    """One `bridge …` process on an embedded queue and database."""

    def __init__(self, folder: Path, *command: str, **variables: str) -> None:
        super().__init__(folder)
        self.port = free_port()
        self._command = command
        self.variables = {
            "BRIDGE_DATA_DIR": str(folder / "var"),
            "BRIDGE_LISTEN": f"127.0.0.1:{self.port}",
            "BRIDGE_RECEIVER_WORKERS": "1",
            "QLUE_WEBHOOK_SECRET": "whsec_" + base64.b64encode(KEY).decode(),
        } | variables

    def command(self) -> list[str]:
        return [sys.executable, "-c", "from bridge.cli import main; main()", *self._command]

    def environment(self) -> dict[str, str]:
        return super().environment() | {"PYTHONPATH": str(ROOT)} | self.variables

    def ready(self) -> bool:
        try:
            return ask(self.port, "GET", "/healthz").status == 200
        except OSError:
            return False


class _Mirror(BaseHTTPRequestHandler):
    """Plays the desk and shows what reached it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps({"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}}).encode()
        self.send_response(200)
        self.send_header("X-Request-ID", "the desk's own")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the base class looks for it

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - so named in the base class
        """Say nothing."""


def rendered(receivers: list[int], desk: int) -> str:
    """Return the shipped configuration for loopback; only addresses and files differ."""
    changes = {
        "listen 8080 ": "listen 127.0.0.1:@port@ ",
        "listen 127.0.0.1:8081;": f"listen 127.0.0.1:{free_port()};",
        # `resolve` came with nginx 1.27.3; Debian 12 has 1.22.
        "server receiver:8311 resolve ": " ".join(f"server 127.0.0.1:{port};" for port in receivers)[:-1] + " ",
        "server desk:8311 resolve ": f"server 127.0.0.1:{desk} ",
        "/tmp/": "@folder@/",  # noqa: S108 - inside the container
        "/dev/stdout": "@folder@/access.log",
        "/dev/stderr": "@folder@/error.log",
    }
    text = SHIPPED
    for shipped, here in changes.items():
        assert shipped in text, f"deploy/nginx.conf has no {shipped!r} any more: mend this test"
        text = text.replace(shipped, here)
    return text


def folder(name: str) -> Path:
    """Return a new folder that nginx's workers, who are nobody, can reach."""
    made = Path(tempfile.mkdtemp(prefix=f"jembatan-{name}-"))
    made.chmod(0o755)
    return made


@pytest.fixture(scope="module")
def running() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def started(stack: ExitStack, server: Server) -> None:
    """Start a server that ends with the stack."""
    stack.callback(server.close)
    server.start()


@pytest.fixture(scope="module")
def receiver(running: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> Bridge:
    server = Bridge(tmp_path_factory.mktemp("receiver"), "receive")
    started(running, server)
    return server


@pytest.fixture(scope="module")
def mirror(running: ExitStack) -> int:
    server = ThreadingHTTPServer(("127.0.0.1", free_port()), _Mirror)
    running.callback(server.server_close)
    running.callback(server.shutdown)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server.server_port


@pytest.fixture(scope="module")
def front(running: ExitStack, receiver: Bridge, mirror: int) -> Nginx:
    server = Nginx(folder("front"), rendered([receiver.port], mirror))
    started(running, server)
    return server


# --- the clients ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reply:
    """An answer; header names are in lower case, what was sent twice is joined."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.body)
        return found


def send(port: int, request: bytes, *, source: str = "127.0.0.1", limit_s: float = 10) -> Reply:
    """Send these very bytes, and read one answer."""
    with socket.create_connection(("127.0.0.1", port), limit_s, (source, 0)) as client:
        client.sendall(request)
        answer = HTTPResponse(client)
        answer.begin()
        headers = {name.lower(): ", ".join(answer.headers.get_all(name, [])) for name in answer.headers}
        return Reply(answer.status, headers, answer.read())


def head(method: str, path: str, *lines: str) -> bytes:
    """Return a request's first lines."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: front", "Connection: close", *lines, "", ""]).encode()


def ask(port: int, method: str, path: str, *lines: str, source: str = "127.0.0.1") -> Reply:
    """Send a request without a body."""
    return send(port, head(method, path, *lines), source=source)


_numbers = itertools.count(1)


def report() -> bytes:
    """Return the body of a new report."""
    data = {"id": f"QL-{next(_numbers)}", "title": "Motor ditarik leasing", "description": "Tanpa surat tugas."}
    data["reported_at"] = "2026-11-23T09:58:10+07:00"
    return json.dumps({"type": "report.submitted", "timestamp": "2026-11-23T10:00:00+07:00", "data": data}).encode()


def signed(body: bytes) -> list[str]:
    """Return the header lines that make a body authentic."""
    webhook_id, at = f"msg_{next(_numbers)}", int(time.time())
    return [
        "Content-Type: application/json",
        f"webhook-id: {webhook_id}",
        f"webhook-timestamp: {at}",
        f"webhook-signature: {sign(KEY, webhook_id, at, body)}",
    ]


def post(port: int, body: bytes, *, source: str = "127.0.0.1", limit_s: float = 10) -> Reply:
    """Send an authentic webhook."""
    lines = [*signed(body), f"Content-Length: {len(body)}"]
    return send(port, head("POST", "/webhooks/qlue", *lines) + body, source=source, limit_s=limit_s)


def chunked(body: bytes, size: int = 100) -> bytes:
    """Return a body in chunks."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


# --- reports come in ------------------------------------------------------------------------------------------------


def test_a_report_is_accepted_through_the_front(front: Nginx) -> None:
    reply = post(front.port, report())
    assert (reply.status, reply.json()["status"]) == (202, "accepted")
    assert re.fullmatch("[0-9a-f]{32}", reply.headers["x-request-id"])


def test_a_chunked_report_arrives_whole_and_with_a_length(front: Nginx, receiver: Bridge) -> None:
    body = report()
    request = head("POST", "/webhooks/qlue", *signed(body), "Transfer-Encoding: chunked") + chunked(body)
    assert send(front.port, request).status == 202
    assert send(receiver.port, request).status == 411, "without the front it would be refused"


def test_a_report_of_the_allowed_size_passes_and_one_byte_more_does_not(front: Nginx) -> None:
    largest = b'"' + b"a" * (MAX_BODY_BYTES - 2) + b'"'
    assert post(front.port, largest).json()["status"] == "set_aside"
    refused = post(front.port, largest + b" ")
    assert (refused.status, refused.json()["status"]) == (413, "refused")
    assert str(MAX_BODY_BYTES) in refused.json()["detail"]


def test_a_chunked_report_that_grows_too_large_is_refused(front: Nginx) -> None:
    body = b"a" * (MAX_BODY_BYTES + 1)
    request = head("POST", "/webhooks/qlue", *signed(body), "Transfer-Encoding: chunked") + chunked(body, 60_000)
    assert send(front.port, request).status == 413


def test_the_front_allows_what_the_receiver_allows() -> None:
    way_in = SHIPPED.partition("location /webhooks/")[2]
    assert re.findall(r"client_max_body_size (\d+)k", way_in) == [str(MAX_BODY_BYTES // 1024)] * 2
    assert f"A report may have {MAX_BODY_BYTES} bytes." in SHIPPED


def test_the_front_waits_longer_than_the_receiver_does_for_the_queue() -> None:
    (limit_s,) = {int(found) for found in re.findall(r"proxy_read_timeout (\d+)s; *# the receiver", SHIPPED)}
    assert limit_s > CONFIRM_S + 2


# --- slow senders ---------------------------------------------------------------------------------------------------


def stall(stack: ExitStack, port: int, senders: int) -> None:
    """Open connections that announce a body and never finish it."""
    body = report()
    start = head("POST", "/webhooks/qlue", *signed(body), f"Content-Length: {len(body)}") + body[:10]
    for _ in range(senders):
        client = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
        client.sendall(start)


def test_stalled_senders_hold_no_thread_of_the_receiver(front: Nginx) -> None:
    with ExitStack() as stalled:
        stall(stalled, front.port, 4 * THREADS)
        # For as long as it takes the stalled ones to get through, were they let through.
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            assert post(front.port, report(), limit_s=2).status == 202


def test_without_the_front_stalled_senders_would_stop_the_receiver(front: Nginx, receiver: Bridge) -> None:
    with ExitStack() as stalled:
        stall(stalled, receiver.port, 2 * THREADS)

        def stuck() -> bool:
            try:
                post(receiver.port, report(), limit_s=1)
            except TimeoutError:
                return True
            return False

        eventually(stuck, 10, "all threads wait for bodies")
    eventually(lambda: post(front.port, report()).status == 202, 20, "the receiver recovers when the senders leave")


# --- malformed requests ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Content-Length: 4", "Transfer-Encoding: chunked"], 400),
        (["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], 400),
        (["Transfer-Encoding: gzip, chunked"], 501),
        (["Transfer-Encoding: xchunked"], 501),
        (["Content-Length: 4", "Content-Length: 5"], 400),
        (["Content-Length: +4"], 400),
        (["Content-Length : 4"], 400),
        (["Host: other", "Content-Length: 4"], 400),
        (["webhook-id: a,b", "Content-Length: 4"], 400),
        (["webhook-timestamp: 1,1", "Content-Length: 4"], 400),
    ],
)
def test_what_two_servers_could_read_in_two_ways_is_refused(front: Nginx, lines: list[str], status: int) -> None:
    assert send(front.port, head("POST", "/webhooks/qlue", *lines) + b"0\r\n\r\n").status == status


@pytest.mark.parametrize("twice", ["webhook-id", "webhook-timestamp"])
def test_a_signed_header_sent_twice_is_never_accepted(front: Nginx, twice: str) -> None:
    body = report()
    lines = [*signed(body), f"Content-Length: {len(body)}"]
    again = next(line for line in lines if line.startswith(twice))
    assert send(front.port, head("POST", "/webhooks/qlue", *lines, again) + body).status in (400, 401)


def test_an_underscore_does_not_stand_for_a_dash(front: Nginx) -> None:
    body = report()
    lines = [line.replace("webhook-", "webhook_", 1) for line in signed(body)]
    assert send(front.port, head("POST", "/webhooks/qlue", *lines, f"Content-Length: {len(body)}") + body).status == 401


@pytest.mark.parametrize(
    "flood",
    [
        ["X-Long: " + "a" * 9_000],
        [f"X-{number}: " + "a" * 1_000 for number in range(40)],
        [f"X-{number}: a" for number in range(300)],
        [f"X-{number}: a" for number in range(5_000)],
    ],
    ids=["long line", "many long lines", "300 lines", "5000 lines"],
)
def test_a_flood_of_headers_is_refused(front: Nginx, flood: list[str]) -> None:
    body = report()
    lines = [*signed(body), f"Content-Length: {len(body)}", *flood]
    reply = send(front.port, head("POST", "/webhooks/qlue", *lines) + body)
    assert reply.status == 431
    assert post(front.port, report()).status == 202


# --- who is who -----------------------------------------------------------------------------------------------------


def test_pages_and_what_is_read_go_to_the_desk(front: Nginx) -> None:
    for path in ("/", "/desk/", "/track/x", "/a/x", "/api/v1/reports", "/healthz", "/webhooks/qlue/receipts/msg_1"):
        assert ask(front.port, "GET", path).json()["path"] == path


def test_new_open311_requests_go_to_the_receiver_and_the_rest_of_open311_to_the_desk(front: Nginx) -> None:
    to_receiver = ask(front.port, "POST", "/open311/v2/requests.json", "Content-Length: 0")
    assert (to_receiver.status, json.loads(to_receiver.body)[0]["code"]) == (403, 403)
    for method, path in (("POST", "servicerequestupdates.xml"), ("GET", "requests.xml"), ("GET", "discovery.json")):
        shown = ask(front.port, method, f"/open311/v2/{path}", "Content-Length: 0")
        assert json.loads(shown.body)["path"] == f"/open311/v2/{path}"


def test_what_the_client_says_about_itself_is_replaced(front: Nginx) -> None:
    lies = ["X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Forwarded-Prefix: /x", "X-Real-IP: 6.6.6.6"]
    reply = ask(front.port, "GET", "/desk/", *lies, "Forwarded: for=6.6.6.6", "X-Request-ID: mine", source="127.0.0.7")
    seen: dict[str, str] = json.loads(reply.body)["headers"]
    assert seen["x-forwarded-for"] == "127.0.0.7"
    assert (seen["x-forwarded-proto"], seen["x-forwarded-host"], seen["host"]) == ("http", "front", "front")
    assert seen["x-request-id"] == reply.headers["x-request-id"] != "mine"
    assert not {"x-forwarded-prefix", "x-real-ip", "forwarded"} & set(seen)


def test_a_named_proxy_speaks_for_its_clients_and_nobody_else_does(mirror: int) -> None:
    with ExitStack() as stack:
        server = Nginx(folder("behind"), rendered([free_port()], mirror))
        example = (ROOT / "deploy/nginx/behind-proxy.http.example").read_text()
        assert "192.0.2.10" in example
        (server.folder / "site").mkdir()
        (server.folder / "site/behind-proxy.http").write_text(example.replace("192.0.2.10", "127.0.0.5"))
        started(stack, server)
        said = ["X-Forwarded-For: 6.6.6.6, 203.0.113.7", "X-Forwarded-Proto: https"]
        for source, expected in (("127.0.0.5", ("203.0.113.7", "https")), ("127.0.0.1", ("127.0.0.1", "http"))):
            seen = json.loads(ask(server.port, "GET", "/desk/", *said, source=source).body)["headers"]
            assert (seen["x-forwarded-for"], seen["x-forwarded-proto"]) == expected


def test_figures_are_not_shown_outside(front: Nginx) -> None:
    assert ask(front.port, "GET", "/metrics").status == 404


# --- limits per address ---------------------------------------------------------------------------------------------


def test_a_flood_from_one_address_is_slowed_down_and_nobody_else(front: Nginx) -> None:
    replies = [ask(front.port, "GET", "/desk/", source="127.0.0.9") for _ in range(300)]
    assert {reply.status for reply in replies} == {200, 429}
    assert {reply.headers.get("retry-after") for reply in replies if reply.status == 429} == {"5"}
    assert post(front.port, report(), source="127.0.0.9").status == 202, "reports have a limit of their own"
    assert ask(front.port, "GET", "/desk/").status == 200


def test_a_burst_of_a_city_app_passes(front: Nginx) -> None:
    # Unsigned, so 401: as fast as the receiver can answer, all on one connection.
    one = b"POST /webhooks/qlue HTTP/1.1\r\nHost: front\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
    with socket.create_connection(("127.0.0.1", front.port), 20, ("127.0.0.8", 0)) as client:
        client.sendall((one + b"\r\n{}") * 299 + one + b"Connection: close\r\n\r\n{}")
        answers = b"".join(iter(lambda: client.recv(65536), b""))
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"401"] * 300


def plain_settings(service: str) -> dict[str, str]:
    """Return a service's variables in docker-compose.yml that are neither secrets, addresses nor folders."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    variables = compose["services"][service]["environment"]
    elsewhere = ("_FILE", "_DIR", "_LISTEN", "_URL")
    return {name: value for name, value in variables.items() if not name.endswith(elsewhere) and "$" not in value}


def test_one_guesser_behind_the_front_does_not_slow_down_the_other_citizens(tmp_path: Path) -> None:
    with ExitStack() as stack:
        desk = Bridge(tmp_path, "desk", **plain_settings("desk"))
        migrate = Bridge(desk.folder, "migrate")
        subprocess.run(migrate.command(), env=migrate.environment(), check=True)
        started(stack, desk)
        server = Nginx(folder("pages"), rendered([free_port()], desk.port))
        started(stack, server)
        guesser = [ask(server.port, "GET", f"/track/guess-{number}", source="127.0.0.6").status for number in range(40)]
        assert 429 in guesser
        assert ask(server.port, "GET", "/track/guess-1", source="127.0.0.7").status == 404


# --- when those behind are away -------------------------------------------------------------------------------------


def test_with_the_receiver_away_the_city_is_told_to_come_back(mirror: int, tmp_path: Path) -> None:
    with ExitStack() as stack:
        behind = Bridge(tmp_path, "receive")
        server = Nginx(folder("front"), rendered([behind.port], mirror))
        started(stack, server)
        reply = post(server.port, report())
        assert (reply.status, reply.headers["retry-after"], reply.json()["status"]) == (503, "30", "refused")
        assert ask(server.port, "GET", "/desk/").status == 200
        started(stack, behind)
        eventually(lambda: post(server.port, report()).status == 202, 10, "reports come in again")


def test_a_killed_receiver_costs_no_report_while_another_runs(mirror: int, tmp_path: Path) -> None:
    with ExitStack() as stack:
        shared = {"BRIDGE_DATA_DIR": str(tmp_path / "shared")}
        both = [Bridge(tmp_path / name, "receive", **shared) for name in ("one", "two")]
        for one in both:
            started(stack, one)
        server = Nginx(folder("front"), rendered([one.port for one in both], mirror))
        started(stack, server)
        assert {post(server.port, report()).status for _ in range(10)} == {202}
        stop, statuses = threading.Event(), list[int]()

        def keep_posting() -> None:
            while not stop.is_set():
                statuses.append(post(server.port, report()).status)

        posting = [threading.Thread(target=keep_posting) for _ in range(8)]
        for thread in posting:
            thread.start()
        eventually(lambda: len(statuses) > 100, 20, "reports come in")
        # In the middle of answering: what was on its way there must go to the other.
        both[0].kill()
        at_kill = len(statuses)
        eventually(lambda: len(statuses) > at_kill + 200, 20, "reports go on coming in")
        stop.set()
        for thread in posting:
            thread.join()
        assert set(statuses) == {202}


#: Requests that hold what no log may, and how the access log names each.
SECRETIVE = {
    "/track/SECRET-1": "/track/-",
    "/TRACK/SECRET-1": "/track/-",
    "/trak/S3CR-ET00-9XWM": "-",
    "/a/SECRET-2": "/a/-",
    "/a/off/SECRET-2?x=SECRET-3": "/a/-",
    "/desk/?q=SECRET-4": "/desk/",
    "/desk/reports/SECRET-5": "/desk/reports/-",
    "/desk/reports/SECRET-5/moves/close?x=SECRET": "/desk/reports/-/moves",
    "/api/v1/reports/SECRET-5/acknowledge": "/api/v1/reports/-/acknowledge",
    "/webhooks/qlue/receipts/SECRET-6": "/webhooks/qlue/receipts/-",
    "/open311/v2/requests/SECRET-7.json": "/open311/v2/-",
    "/open311/v2/tokens/SECRET-7.xml": "/open311/v2/-",
    "/open311/v2/requests.json?api_key=SECRET-8&phone=0812-SECRET": "/open311/v2/requests.json",
}
POSTED = "/open311/v2/requests.json?api_key=SECRET-KEY&phone=0812-SECRET&first_name=SitiSECRET"


def impatient(config: str) -> str:
    """Return a configuration that waits one second for those behind."""
    config = re.sub(r"proxy_(read|send)_timeout \d+s", r"proxy_\1_timeout 1s", config)
    return config.replace("proxy_connect_timeout 2s;", "proxy_connect_timeout 2s; proxy_read_timeout 1s;")


#: What is behind, and what the access log calls that.
BEHIND: dict[str, tuple[Talk | None, str]] = {
    "away": (None, "502"),
    "hangs up": (says_once(b""), "502"),
    "silent": (silent, "504"),
    "babbles": (says_once(b"HTTP/1.1 200 OK\r\n\0: x\r\n\r\n"), "502"),
}


@pytest.mark.parametrize("behind", BEHIND)
def test_neither_tickets_nor_keys_nor_contacts_are_written_down_and_who_was_away_is(behind: str) -> None:
    answers, status = BEHIND[behind]
    with ExitStack() as stack:
        port = free_port() if answers is None else stack.enter_context(serving(answers)).port
        server = Nginx(folder("log"), impatient(rendered([port], port)))
        started(stack, server)
        with ThreadPoolExecutor(len(SECRETIVE)) as clients:
            asked = [clients.submit(ask, server.port, "GET", path) for path in SECRETIVE]
            asked.append(clients.submit(ask, server.port, "POST", POSTED, "Content-Length: 0"))
            assert {one.result().status for one in asked} == {503}
        lines = written(server, len(SECRETIVE) + 1)
        assert sorted(line["path"] for line in lines) == sorted([*SECRETIVE.values(), "/open311/v2/requests.json"])
        assert {line["upstream_status"].split(", ")[-1] for line in lines} == {status}
        assert secrets_in(server) == []


def test_a_disk_that_is_full_and_a_flood_write_down_no_request_either(mirror: int) -> None:
    with ExitStack() as stack:
        tight = rendered([mirror], mirror).replace("rate=500r/s", "rate=1r/m").replace("burst=1000 nodelay", "nodelay")
        server = Nginx(folder("log"), tight)
        started(stack, server)
        (server.folder / "body").rename(server.folder / "no more")  # stands for a disk that takes nothing
        body = b"a" * 100_000
        request = head("POST", POSTED, f"Content-Length: {len(body)}") + body
        assert [send(server.port, request).status for _ in range(2)] == [500, 429]
        # Each worker of nginx writes its own line after it has answered, so the second may stand first.
        assert sorted(line["status"] for line in written(server, 2)) == ["429", "500"]
        assert secrets_in(server) == []


def written(server: Nginx, lines: int) -> list[dict[str, str]]:
    """Return the lines of the access log when so many are there."""
    log = server.folder / "access.log"
    eventually(lambda: log.read_text().count("\n") == lines, 5, "nginx writes after it has answered")
    return [json.loads(line) for line in log.read_text().splitlines()]


def secrets_in(server: Nginx) -> list[str]:
    """Return the lines of any log that hold what they must not, after nginx has ended and written all."""
    server.stop()
    logs = {server.log, *server.folder.glob("*.log")}
    return [line for log in logs for line in log.read_text().splitlines() if "SECRET" in line or "S3CR" in line]


# --- all of docker-compose.yml, without containers ------------------------------------------------------------------


class Worker(Bridge):
    """A process without a port."""

    def ready(self) -> bool:
        return "Working: " in self.log.read_text()


def test_the_processes_of_compose_carry_a_report_to_the_citizens_page(
    postgres_url: str, amqp_url: str, tmp_path: Path
) -> None:
    secrets_made = compose.made_secrets(tmp_path)
    here = {"database_url": postgres_url, "broker_url": amqp_url, "smtp_url": ""}
    here["qlue_webhook_secret"] = "whsec_" + base64.b64encode(KEY).decode()
    for name, value in here.items():
        (secrets_made / name).unlink()
        (secrets_made / name).write_text(value)

    def process(name: str) -> Bridge:
        command = compose.SERVICES[name]["command"]
        made = (Worker if command[0] == "work" else Bridge)(tmp_path / name, *command)
        made.variables = compose.environment_of(name, secrets_made) | {
            "BRIDGE_DATA_DIR": str(tmp_path / name / "var"),
            "BRIDGE_LISTEN": f"127.0.0.1:{made.port}",
        }
        return made

    migrate = process("migrate")
    subprocess.run(migrate.command(), env=migrate.environment(), check=True)
    processes = {name: process(name) for name in compose.OUR_SERVICES if name != "migrate"}
    with ExitStack() as stack:
        for one in processes.values():
            started(stack, one)
        server = Nginx(folder("compose"), rendered([processes["receiver"].port], processes["desk"].port))
        started(stack, server)
        ready = processes["receiver"].port
        eventually(lambda: ask(ready, "GET", "/readyz").status == 200, 20, "the receiver reaches the queue")
        ticket = post(server.port, report()).json()["ticket"]
        eventually(lambda: ask(server.port, "GET", f"/track/{ticket}").status == 200, 20, "the citizen sees the report")
