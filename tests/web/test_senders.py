"""What docs/senders gives the city's engineers: senders and receivers in their languages, run against ours.

PHP runs where it is installed; what can be said of its file without an interpreter is checked everywhere.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import requests
from playwright._impl._driver import compute_driver_executable

from bridge.delivery.webhook import CityWebhook
from bridge.signing import TOLERANCE_S, sending_key, sign, signing_key, verify, verifying_key
from schemas.city import load_event
from tests.servers import Answer, CityReceiver, Server, free_port, new_folder
from tests.web.doors import SmallDoor, open_small
from tests.web.processes import KEY, ROOT, SECRET, new_id, signed

FOLDER = ROOT / "docs" / "senders"
VECTORS = json.loads((FOLDER / "vectors.json").read_text())
REPORT = FOLDER / "report.json"

# --- the interpreters -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Language:
    """A sender, how it is run, and how its `sign` is called with JSON on standard input."""

    name: str
    file: str
    command: tuple[str, ...]
    signing: tuple[str, ...]


PYTHON = Language(
    "python", "sender.py", (sys.executable, "-I"),
    (sys.executable, "-c", "import base64, json, sys; sys.path.insert(0, sys.argv[1]); import sender; v = json.load(sys.stdin);"
     " print(sender.sign(v['key'], v['webhook_id'], v['timestamp'], base64.b64decode(v['body_base64'])))", str(FOLDER)),
)  # fmt: skip
#: The machine's own, or the one Playwright brings along.
NODE_COMMAND = shutil.which("node") or compute_driver_executable()[0]
NODE = Language(
    "node", "sender.mjs", (NODE_COMMAND,),
    (NODE_COMMAND, "--input-type=module", "-e", f"import {{ readFileSync }} from 'node:fs'; import {{ sign }} from {json.dumps((FOLDER / 'sender.mjs').as_uri())};"
     " const v = JSON.parse(readFileSync(0)); console.log(sign(v.key, v.webhook_id, v.timestamp, Buffer.from(v.body_base64, 'base64')))"),
)  # fmt: skip
PHP = Language(
    "php", "sender.php", ("php",),
    ("php", "-r", f"require {json.dumps(str(FOLDER / 'sender.php'))}; $v = json_decode(stream_get_contents(STDIN), true);"
     " echo sign($v['key'], $v['webhook_id'], $v['timestamp'], base64_decode($v['body_base64']));"),
)  # fmt: skip
#: Python and Node are always here; PHP is asked where it is.
LANGUAGES = [PYTHON, NODE, *([PHP] if shutil.which("php") else [])]
in_each_language = pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)


def run(language: Language, url: str, *, key: str = SECRET, file: Path = REPORT) -> "subprocess.CompletedProcess[str]":
    """Run a sender to its end."""
    return subprocess.run(
        [*language.command, str(FOLDER / language.file), str(file)],
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "JEMBATAN_URL": url, "JEMBATAN_KEY": key},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


# --- known answers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_vectors_are_what_we_sign_and_take(vector: dict[str, Any]) -> None:
    body, at = base64.b64decode(vector["body_base64"]), vector["timestamp"]
    assert sign(sending_key(vector["key"]), vector["webhook_id"], at, body) == vector["signature"]
    headers = {
        "webhook-id": vector["webhook_id"],
        "webhook-timestamp": str(at),
        "webhook-signature": vector["signature"],
    }
    key = verifying_key(vector.get("public_key", vector["key"]))
    assert verify([key], headers, body, now_s=at) == vector["webhook_id"]


@in_each_language
@pytest.mark.parametrize("vector", [v for v in VECTORS if v["signature"].startswith("v1,")], ids=lambda v: v["name"])
def test_every_sender_signs_as_the_vectors_say(language: Language, vector: dict[str, Any]) -> None:
    done = subprocess.run(
        language.signing, input=json.dumps(vector), capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout.strip(), done.stderr) == (vector["signature"], "")


# --- sending to a real receiver -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def door() -> Iterator[SmallDoor]:
    """Our way in, as `script/up` starts it."""
    opened = open_small(new_folder("senders"))
    yield opened
    opened.bridge.close()


@in_each_language
def test_report_is_sent_and_accepted(language: Language, door: SmallDoor) -> None:
    done = run(language, f"{door.bridge.url}/webhooks/qlue")
    status, _, text = done.stdout.partition(" ")
    assert (done.returncode, status, json.loads(text)["status"], done.stderr) == (0, "202", "accepted", "")


@in_each_language
def test_report_is_tried_without_being_kept(language: Language, door: SmallDoor) -> None:
    before = door.kept()
    done = run(language, f"{door.bridge.url}/webhooks/qlue?dry_run")
    assert (done.returncode, done.stdout.partition(" ")[0]) == (0, "200")
    assert json.loads(done.stdout.partition(" ")[2])["status"] == "would_be_accepted"
    assert door.kept() == before


@in_each_language
def test_what_is_refused_is_not_sent_again(language: Language, door: SmallDoor) -> None:
    done = run(language, f"{door.bridge.url}/webhooks/qlue", key="whsec_" + base64.b64encode(bytes(32)).decode())
    assert (done.returncode, done.stdout.partition(" ")[0], done.stderr) == (1, "401", "")


@pytest.fixture
def city() -> Iterator[CityReceiver]:
    """A receiver at the other end that answers what a test wants."""
    made = CityReceiver()
    made.start()
    yield made
    made.stop()


@in_each_language
def test_same_id_comes_again_freshly_signed_and_not_before_retry_after(language: Language, city: CityReceiver) -> None:
    city.answer_next(
        Answer(503, {"Retry-After": "2"}),
        Answer(429, {"Retry-After": "1"}),
        Answer(202, body=b'{"status": "accepted"}'),
    )
    done = run(language, city.url)
    assert (done.returncode, done.stdout.strip()) == (0, '202 {"status": "accepted"}')
    first, second, third = city.requests
    assert len({posted.headers["webhook-id"] for posted in city.requests}) == 1
    assert len({posted.body for posted in city.requests}) == 1
    assert (second.arrived_at - first.arrived_at).total_seconds() >= 2
    assert (third.arrived_at - second.arrived_at).total_seconds() >= 1
    for posted in city.requests:
        assert abs(posted.arrived_at.timestamp() - int(posted.headers["webhook-timestamp"])) < 2, "of this attempt"
        verify([KEY], posted.headers, posted.body, now_s=time.time())
    event = load_event(json.loads(first.body))
    assert (event["type"], event["data"]["id"]) == ("report.submitted", "QL-88121")


class _HangsUpOnce(BaseHTTPRequestHandler):
    ids: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.ids.append(self.headers["webhook-id"])
        if len(self.ids) > 1:
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@in_each_language
def test_broken_connection_is_tried_again_under_the_same_id(language: Language) -> None:
    class Handler(_HangsUpOnce):
        ids: ClassVar[list[str]] = []

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        done = run(language, f"http://127.0.0.1:{server.server_port}/")
        server.shutdown()
        thread.join()
    assert (done.returncode, done.stdout.strip()) == (0, "202")
    assert "no answer" in done.stderr
    assert len(Handler.ids) == 2
    assert len(set(Handler.ids)) == 1


@pytest.mark.parametrize("file", [language.file for language in (PYTHON, NODE, PHP)])
def test_every_sender_names_what_the_contract_names(file: str) -> None:
    text = (FOLDER / file).read_text()
    for name in ("content-type", "webhook-id", "webhook-timestamp", "webhook-signature", "retry-after", "JEMBATAN_URL", "JEMBATAN_KEY", "v1,", "whsec_", "report.submitted"):  # fmt: skip
        assert name in text, name
    assert re.search(r"\b429\b", text)
    assert "500" in text


# --- callbacks ------------------------------------------------------------------------------------------------------


class Callbacks(Server):
    """One of the callback receivers of docs/senders; what it takes it prints."""

    def __init__(self, folder: Path, *command: str) -> None:
        super().__init__(folder)
        self.port = free_port()
        self._command = command

    def command(self) -> list[str]:
        return [*self._command, str(self.port)]

    def environment(self) -> dict[str, str]:
        return super().environment() | {"JEMBATAN_CALLBACK_KEY": SECRET}

    def ready(self) -> bool:
        try:
            return self.post({}, b"{}") == 401
        except requests.ConnectionError:
            return False

    def post(self, headers: dict[str, str], body: bytes) -> int:
        """Post and return the status."""
        return requests.post(f"http://127.0.0.1:{self.port}/", data=body, headers=headers, timeout=20).status_code

    def taken(self) -> list[str]:
        """Return the changes it took, a line each."""
        return [line for line in self.log.read_text().splitlines() if line.startswith("QL")]


COMMANDS = {
    "python": (sys.executable, "-I", str(FOLDER / "callback.py")),
    "node": (NODE_COMMAND, str(FOLDER / "callback.mjs")),
}


@pytest.fixture(scope="module", params=COMMANDS)
def callbacks(request: pytest.FixtureRequest) -> Iterator[Callbacks]:
    """A city that receives what we send back."""
    made = Callbacks(new_folder("callbacks"), *COMMANDS[request.param])
    made.start()
    yield made
    made.close()


def change(external_id: str, sequence: int) -> dict[str, Any]:
    """Return a callback's payload."""
    data = {
        "id": external_id,
        "sequence": sequence,
        "status": "acknowledged",
        "colour": "kuning",
        "message": "Diterima – 😠",
    }
    return {"type": "report.status_changed", "timestamp": "2026-11-24T09:30:00+07:00", "data": data}


def test_callbacks_are_verified_and_taken_once_and_in_order(callbacks: Callbacks) -> None:
    ours, report_id = CityWebhook(f"http://127.0.0.1:{callbacks.port}/", signing_key(SECRET)), new_id("QL")
    for sequence in (1, 3, 3, 2, 4):
        ours.send(new_id(), change(report_id, sequence))
    mine = [line.split()[1:4] for line in callbacks.taken() if line.split()[0] == report_id]
    assert mine == [["1", "acknowledged", "kuning"], ["3", "acknowledged", "kuning"], ["4", "acknowledged", "kuning"]]


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-signature": ""}, {"webhook-signature": "v1,"}, {"webhook-signature": "v1,AAAA"}, {"webhook-signature": "v1a,\u00e4"},
        {"webhook-id": "msg_other"}, {"webhook-id": ""}, {"webhook-timestamp": "1"}, {"webhook-timestamp": "hello"},
        {"webhook-timestamp": ""}, {"webhook-timestamp": "1" * 13},
    ],
)  # fmt: skip
def test_forged_callbacks_are_refused(callbacks: Callbacks, changed: dict[str, str]) -> None:
    body = json.dumps(change("QL-forged", 1)).encode()
    latin = {name: value.encode("latin-1") for name, value in (signed(body) | changed).items()}
    assert callbacks.post(latin, body) == 401  # type: ignore[arg-type]
    assert callbacks.post(signed(body, key=bytes(32)), body) == 401
    assert callbacks.post(signed(body), body + b" ") == 401
    for offset_s in (-TOLERANCE_S - 5, TOLERANCE_S + 5):
        assert callbacks.post(signed(body, at=int(time.time()) + offset_s), body) == 401
    assert not [line for line in callbacks.taken() if line.startswith("QL-forged")]


def test_one_right_signature_among_several_is_enough_while_the_key_changes(callbacks: Callbacks) -> None:
    body = json.dumps(change(new_id("QL"), 1)).encode()
    headers = signed(body)
    headers["webhook-signature"] = f"v1,{'A' * 43}= v1a,xx {headers['webhook-signature']}"
    assert callbacks.post(headers, body) == 204


# --- the page -------------------------------------------------------------------------------------------------------


def test_page_for_engineers_names_every_file_and_only_files_that_exist() -> None:
    text = (ROOT / "docs" / "integrate.md").read_text()
    named = set(re.findall(r"senders/([a-z]+\.[a-z]+)", text))
    assert named == {path.name for path in FOLDER.iterdir() if path.is_file()}


def test_page_for_engineers_begins_with_how_to_get_the_files() -> None:
    commands = re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs" / "integrate.md").read_text(), re.MULTILINE | re.DOTALL)
    assert commands[0].startswith("git clone ")
    assert "&& cd jembatan" in commands[0]
    assert commands[1].startswith("script/up")


def test_page_for_engineers_has_a_line_for_every_answer_of_the_way_in() -> None:
    text = (ROOT / "docs" / "integrate.md").read_text()
    for status in (200, 202, 400, 401, 405, 411, 413, 415, 429, 431, 503):
        assert re.search(rf"^\| {status}\b", text, re.MULTILINE), status
