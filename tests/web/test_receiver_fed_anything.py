"""Whatever anybody sends to the way in: never a 500, never a 2xx for a stranger, always one for the city."""

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import create_environ, run_wsgi_app

from bridge.app import create_app
from bridge.service import Service
from bridge.signing import sign
from tests.web.processes import KEY, SECRET, event, new_id

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
