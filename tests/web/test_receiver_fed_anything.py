"""Whatever anybody sends to the way in, by any scheme: never a 500, never a 2xx that is not durable or for a stranger."""

import base64
import hashlib
import hmac
import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import create_environ, run_wsgi_app

from bridge.app import create_app
from bridge.broker.topology import connect, declare
from bridge.service import Service
from bridge.signing import ID_GRAMMAR, sign
from tests.web.processes import KEY, ROOT, SECRET, event, new_id

#: One application serves all examples of a test: starting one for each would take minutes.
MANY = settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
REFUSALS = {400, 401, 405, 411, 413, 415}


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    text: str


@pytest.fixture(scope="module")
def way_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The way in on the embedded queue, without a server before it."""
    folder = tmp_path_factory.mktemp("fed")
    service = Service.from_environment({"BRIDGE_DATA_DIR": str(folder), "QLUE_WEBHOOK_SECRET": SECRET})
    yield create_app(service, ("receiver",))
    service.close()


def sent(way_in: Flask, body: bytes, environ: dict[str, Any], path: str = "/webhooks/qlue") -> Answer:
    """Send a request whose WSGI variables may be anything a server could let through."""
    whole = create_environ("/", method="POST", data=body, content_type="application/json")
    usual = {"PATH_INFO": path, "CONTENT_LENGTH": str(len(body))}
    content, status, _ = run_wsgi_app(way_in, whole | usual | environ)
    return Answer(int(status.split()[0]), b"".join(content).decode())


def authentic(body: bytes) -> dict[str, str]:
    """Return the WSGI variables that make a body authentic."""
    webhook_id, at = new_id(), int(time.time())
    return {
        "HTTP_WEBHOOK_ID": webhook_id,
        "HTTP_WEBHOOK_TIMESTAMP": str(at),
        "HTTP_WEBHOOK_SIGNATURE": sign(KEY, webhook_id, at, body),
    }


# WSGI hands header values on as latin-1 text; servers refuse line breaks and NUL.
header_text = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=80)
signatures = st.one_of(
    header_text,
    st.from_regex(r"(v1,[A-Za-z0-9+/]{40,44}={0,2} ?){1,4}", fullmatch=True),
    st.builds("v1,{}".format, header_text),
)
# Also digits that are no numbers: "²".isdigit() is true.
lengths = st.one_of(st.integers(-5, 10**12).map(str), st.text("0123456789\xb2\xb3\xb9", max_size=4))
headers = st.fixed_dictionaries(
    {},
    optional={
        "HTTP_WEBHOOK_ID": header_text,
        "HTTP_WEBHOOK_TIMESTAMP": st.one_of(
            header_text, st.just(str(int(time.time()))), st.from_regex(r"\d{1,20}", fullmatch=True)
        ),
        "HTTP_WEBHOOK_SIGNATURE": signatures,
        "CONTENT_TYPE": st.one_of(header_text, st.just("application/json"), st.just("")),
        "CONTENT_LENGTH": st.one_of(header_text, lengths),
        "HTTP_TRANSFER_ENCODING": header_text,
        "REQUEST_METHOD": st.sampled_from(["POST", "POST", "POST", "GET", "HEAD", "BREW"]),
    },
)
names = st.one_of(
    st.just("qlue"), st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="/"), min_size=1)
)


@MANY
@given(environ=headers, body=st.binary(max_size=300), name=names)
def test_no_stranger_gets_anything_but_a_refusal(
    way_in: Flask, environ: dict[str, Any], body: bytes, name: str
) -> None:
    answer = sent(way_in, body, environ, f"/webhooks/{name}")
    assert answer.status in REFUSALS
    assert SECRET not in answer.text
    assert "Traceback" not in answer.text


@MANY
@given(path=st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF)))
def test_no_path_whatever_is_a_fault_of_ours(way_in: Flask, path: str) -> None:
    assert sent(way_in, b"{}", {}, f"/{path}").status in REFUSALS | {308, 404}


SIGNED = ["HTTP_WEBHOOK_ID", "HTTP_WEBHOOK_TIMESTAMP", "HTTP_WEBHOOK_SIGNATURE", "body"]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=12), inner, max_size=5),
    max_leaves=12,
)
fields = st.sampled_from(
    "id title description category reported_at language reporter business amount_idr location attachments".split()
)
nearly_reports = st.builds(
    lambda data, **parts: json.dumps(
        json.loads(event(data={"id": "QL-1", "title": "a", "description": "b"} | data)) | parts
    ),
    st.dictionaries(fields, json_values, max_size=4),
    type=st.sampled_from(["report.submitted", "report.amended", "report.withdrawn"]),
).map(str.encode)


def assert_taken(way_in: Flask, body: bytes) -> None:
    """Check that an authentic body is taken, one way or the other, and what is said of it is true."""
    answer = sent(way_in, body, authentic(body))
    assert answer.status == 202
    said = json.loads(answer.text)
    assert said["sha256"] == hashlib.sha256(body).hexdigest()
    assert said["status"] == ("set_aside" if said.get("problems") else "accepted")


@MANY
@given(body=st.binary(max_size=400))
def test_every_authentic_body_is_taken_whatever_it_holds(way_in: Flask, body: bytes) -> None:
    assert_taken(way_in, body)


@MANY
@given(body=st.one_of(nearly_reports, json_values.map(json.dumps).map(str.encode)))
def test_everything_that_is_nearly_a_report_is_taken(way_in: Flask, body: bytes) -> None:
    assert_taken(way_in, body)


@MANY
@given(body=st.binary(min_size=1, max_size=200), flip=st.integers(min_value=0), header=st.sampled_from(SIGNED))
def test_one_changed_character_anywhere_makes_it_a_strangers(
    way_in: Flask, body: bytes, flip: int, header: str
) -> None:
    environ = authentic(body)
    if header == "body":
        at = flip % len(body)
        body = body[:at] + bytes([body[at] ^ (1 + flip % 255)]) + body[at + 1 :]
    else:
        value = environ[header]
        at = flip % len(value)
        environ[header] = value[:at] + chr(0x21 + (ord(value[at]) - 0x21 + 1 + flip % 90) % 94) + value[at + 1 :]
    assert sent(way_in, body, environ).status == 401


# --- every other scheme ---------------------------------------------------------------------------------------------

#: A source for each scheme, `mapped` with words of its own; its key, and the header that opens.
OTHERS = {
    "jaki": "the-key-of-jaki-for-these-tests",
    "basic": "city:the-password-for-these-tests",
    "bearer": "the-token-for-these-tests",
    "mapped": "the-token-of-the-mapped-source",
}
_SOURCES = """
[jaki]
name = "JAKI"
scheme = "hmac-sha256"
secret = "JAKI_KEY"
[basic]
name = "Basic"
scheme = "basic"
secret = "BASIC_KEY"
[bearer]
name = "Bearer"
scheme = "bearer"
secret = "BEARER_KEY"
[mapped]
name = "Mapped"
scheme = "bearer"
secret = "MAPPED_KEY"
[mapped.mapping]
timestamp = "local_time(a, 'Asia/Jakarta') || epoch(b)"
"data.id" = "to_string(id || title)"
"data.title" = "title"
"data.description" = "join(', ', data.*[]) || contains(title, description)"
"data.category" = "pick(data, title)"
"data.amount_idr" = "max(values(data))"
"data.location.lat" = "to_number(title)"
"""


@dataclass
class Ways:
    """The way in for every scheme, and what it made durable."""

    app: Flask
    service: Service

    def kept(self) -> int:
        """Return how many webhooks are durable."""
        queue = self.service.settings.broker_url.removeprefix("embedded://")
        with closing(sqlite3.connect(queue)) as connection:
            return int(connection.execute("SELECT count(*) FROM messages").fetchone()[0])

    def sent(self, source: str, body: bytes, environ: dict[str, Any]) -> Answer:
        """Send a webhook and hold the answer against what is durable: a 202 is one more, all else is none."""
        before = self.kept()
        answer = sent(self.app, body, environ, f"/webhooks/{source}")
        assert self.kept() - before == (answer.status == 202)
        return answer


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    """All schemes in one application."""
    folder = tmp_path_factory.mktemp("ways")
    config = folder / "config"
    shutil.copytree(ROOT / "config", config, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (config / "sources.toml").write_text(_SOURCES)
    keys = {f"{name.upper()}_KEY": key for name, key in OTHERS.items()}
    service = Service.from_environment(
        {"BRIDGE_DATA_DIR": str(folder / "var"), "BRIDGE_CONFIG_DIR": str(config), **keys}
    )
    with connect(service.settings.broker_url) as connection:
        declare(connection)
    yield Ways(create_app(service, ("receiver",)), service)
    service.close()


def opened(source: str, body: bytes) -> dict[str, str]:
    """Return the variables that let a body in."""
    key = OTHERS[source]
    if source == "jaki":
        return {"HTTP_X_HUB_SIGNATURE_256": "sha256=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest()}
    if source == "basic":
        return {"HTTP_AUTHORIZATION": "Basic " + base64.b64encode(key.encode()).decode()}
    return {"HTTP_AUTHORIZATION": f"Bearer {key}"}


proofs = st.one_of(
    header_text,
    st.builds("{} {}".format, st.sampled_from(["Basic", "basic", "Bearer", "bearer", "Digest", ""]), header_text),
    st.from_regex(r"(Basic|Bearer) [A-Za-z0-9+/=:.-]{0,60}", fullmatch=True),
    st.from_regex(r"(sha256|sha1|SHA256)=[0-9a-fA-F]{0,66}", fullmatch=True),
)
other_headers = st.fixed_dictionaries(
    {},
    optional={
        "HTTP_WEBHOOK_ID": header_text,
        "HTTP_AUTHORIZATION": proofs,
        "HTTP_X_HUB_SIGNATURE_256": proofs,
        "CONTENT_TYPE": st.one_of(header_text, st.just("application/json")),
        "CONTENT_LENGTH": st.one_of(header_text, lengths),
        "QUERY_STRING": st.one_of(header_text, st.just("dry_run")),
    },
)
SOURCES = st.sampled_from([*OTHERS])


@MANY
@given(source=SOURCES, environ=other_headers, body=st.binary(max_size=200))
def test_no_stranger_gets_in_by_any_scheme(ways: Ways, source: str, environ: dict[str, Any], body: bytes) -> None:
    answer = ways.sent(source, body, environ)
    assert answer.status in REFUSALS
    assert not [key for key in OTHERS.values() if key in answer.text]


@MANY
@given(
    source=SOURCES,
    body=st.one_of(st.binary(max_size=200), nearly_reports, json_values.map(json.dumps).map(str.encode)),
    webhook_id=st.one_of(st.none(), header_text, st.from_regex(r"[!-+\-/-~]{1,60}", fullmatch=True)),
)
def test_whatever_who_has_a_key_sends_is_durable_or_refused(
    ways: Ways, source: str, body: bytes, webhook_id: str | None
) -> None:
    named = {} if webhook_id is None else {"HTTP_WEBHOOK_ID": webhook_id}
    answer = ways.sent(source, body, opened(source, body) | named)
    well_named = not webhook_id or ID_GRAMMAR.fullmatch(webhook_id)
    assert answer.status == (202 if well_named else 401)


mapped_bodies = st.fixed_dictionaries(
    {},
    optional={
        name: st.one_of(json_values, st.text(max_size=8), st.just("2026-11-24 09:30:00"), st.integers())
        for name in ("a", "b", "id", "title", "description", "data")
    },
)


@MANY
@given(sent_by_city=mapped_bodies, dry=st.booleans())
def test_whatever_a_mapping_meets_is_said_in_words_and_kept(
    ways: Ways, sent_by_city: dict[str, Any], dry: bool
) -> None:
    body = json.dumps(sent_by_city).encode()
    answer = ways.sent("mapped", body, opened("mapped", body) | ({"QUERY_STRING": "dry_run"} if dry else {}))
    said = json.loads(answer.text)
    assert answer.status == (200 if dry else 202)
    assert said["status"].removeprefix("would_be_") == ("set_aside" if said.get("problems") else "accepted")


@MANY
@given(source=SOURCES, body=st.binary(min_size=1, max_size=100), flip=st.integers(min_value=0))
def test_one_changed_character_of_the_proof_is_a_strangers(ways: Ways, source: str, body: bytes, flip: int) -> None:
    ((name, value),) = opened(source, body).items()
    begin = value.index(" ") + 1 if " " in value else 0
    at = begin + flip % (len(value) - begin)
    changed = chr(0x21 + (ord(value[at]) - 0x21 + 1 + flip % 90) % 94)
    if source == "jaki" and changed.lower() == value[at].lower():
        changed = "-"
    assert ways.sent(source, body, {name: value[:at] + changed + value[at + 1 :]}).status == 401
