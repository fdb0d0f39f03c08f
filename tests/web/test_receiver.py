"""The way in as it is shipped, over both its servers: what is answered 202 is durable, and nothing else is."""

import base64
import hashlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from bridge.receiver.webhooks import MAX_BODY_BYTES, RETRY_AFTER_S
from bridge.reports.tickets import read_ticket, report_id_for
from bridge.signing import TOLERANCE_S
from tests.servers import RabbitMQ, eventually, new_folder
from tests.web.doors import NEXT_KEY, SHORT_KEY, Door, open_full, open_small
from tests.web.processes import KEY, SECRET, Reply, ask, event, head, new_id, post, report, send, signed


@pytest.fixture(scope="module", params=["granian before rabbitmq", "waitress on the embedded queue"])
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    """The way in, in both shapes; the embedded half starts no server."""
    folder = new_folder("door")
    rabbitmq: RabbitMQ | None = request.getfixturevalue("rabbitmq") if "rabbitmq" in request.param else None
    opened: Door = open_full(folder, rabbitmq) if rabbitmq else open_small(folder)
    yield opened
    opened.bridge.close()


def lines(headers: dict[str, str]) -> list[str]:
    """Return headers as lines."""
    return [f"{name}: {value}" for name, value in headers.items()]


def assert_harmless(reply: Reply) -> None:
    """Check that an answer tells nothing it should not."""
    text = reply.body.decode()
    for secret in (SECRET, KEY.decode(), "Traceback", 'File "/', "bridge/receiver", "whsec_"):
        assert secret not in text


# --- accepted -------------------------------------------------------------------------------------------------------


def test_report_is_accepted_with_all_it_is_promised(door: Door) -> None:
    body = report("QL-88121")
    before = datetime.now(UTC)
    reply = post(door.port, body)
    answer = reply.json()
    assert (reply.status, answer["status"], reply.headers["content-type"]) == (202, "accepted", "application/json")
    assert set(answer) == {"report_id", "ticket", "status", "track_url", "received_at", "sha256"}
    assert answer["report_id"] == report_id_for("qlue", "QL-88121")
    assert read_ticket(answer["ticket"]) == answer["ticket"]
    assert answer["track_url"] == f"{door.bridge.url}/track/{answer['ticket']}"
    assert before <= datetime.fromisoformat(answer["received_at"]) <= datetime.now(UTC)
    assert answer["sha256"] == hashlib.sha256(body).hexdigest()


def test_same_report_again_has_the_same_ticket_and_id_whatever_the_webhook_id(door: Door) -> None:
    body = report()
    headers = signed(body)
    answers = [post(door.port, body, again).json() for again in (headers, headers, signed(body))]
    assert len({(answer["ticket"], answer["report_id"], answer["sha256"]) for answer in answers}) == 1


def test_other_reports_have_other_tickets(door: Door) -> None:
    tickets = {post(door.port, report()).json()["ticket"] for _ in range(20)}
    assert len(tickets) == 20


@pytest.mark.parametrize("kind", ["report.amended", "report.withdrawn"])
def test_later_events_are_accepted_under_the_ticket_of_their_report(door: Door, kind: str) -> None:
    first = post(door.port, report("QL-again")).json()
    later = post(door.port, event(type=kind, data={"id": "QL-again"})).json()
    assert (later["status"], later["ticket"]) == ("accepted", first["ticket"])


def test_both_keys_are_good_while_the_city_changes_from_one_to_the_other(door: Door) -> None:
    body = report()
    assert post(door.port, body, signed(body, key=NEXT_KEY)).status == 202
    assert post(door.port, body, signed(body, key=KEY)).status == 202


def test_one_right_signature_among_others_is_enough(door: Door) -> None:
    body = report()
    headers = signed(body)
    right = headers["webhook-signature"]
    wrong = "v1," + base64.b64encode(bytes(32)).decode()
    headers["webhook-signature"] = f"{wrong} v2,{right[3:]} v1a,AAAA {right} {wrong}"
    assert post(door.port, body, headers).status == 202


@pytest.mark.parametrize("offset_s", [-(TOLERANCE_S - 5), TOLERANCE_S - 5])
def test_clocks_may_differ_by_nearly_five_minutes(door: Door, offset_s: int) -> None:
    body = report()
    assert post(door.port, body, signed(body, at=int(time.time()) + offset_s)).status == 202


def test_types_that_end_in_json_are_json(door: Door) -> None:
    body = report()
    assert (
        post(door.port, body, {**signed(body), "content-type": "application/cloudevents+json; charset=utf-8"}).status
        == 202
    )


# --- set aside ------------------------------------------------------------------------------------------------------

DEEP = b'{"data":' + b"[" * 40 + b"]" * 40 + b"}"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (report(title=None), "data.title: Missing"),
        (report(title="  "), "data.title: must have"),
        (event(type="report.exploded"), "type: Must be one of"),
        (event(timestamp="2026-11-23T10:00:00"), "timestamp: "),
        (event(data=None), "data: "),
        (report(reporter={"domicile": "3171"}), "data.reporter.domicile: "),
        (report(reporter={"name": "a\x00b"}), "data.reporter.name: must not contain a NUL"),
        (report(title="half \ud83d"), "data.title: must not contain a NUL character or half a surrogate"),
        (report(attachments=[{"url": "javascript:alert(1)"}]), "data.attachments.0.url: "),
        (b'"a string"', "the body must be a JSON object"),
        (b"", "not JSON"),
        (b"not json", "not JSON"),
        (b'{"data": NaN}', "NaN is not JSON"),
        (b'{"data": -Infinity}', "-Infinity is not JSON"),
        (b'{"type": "a", "type": "b"}', "a key appears twice in one object: line 1 column 15"),
        (b'{"type": "\xff"}', "not UTF-8"),
        (DEEP, "nested more than 32 levels"),
        (b"[" * 100_000, "nested more than 32 levels"),
        (b"9" * 5_000, "not JSON"),
    ],
)
def test_authentic_but_invalid_is_set_aside_and_the_sender_is_told_why(door: Door, body: bytes, problem: str) -> None:
    headers = signed(body)
    reply = post(door.port, body, headers)
    answer = reply.json()
    assert (reply.status, answer["status"]) == (202, "set_aside")
    assert problem in "\n".join(answer["problems"])
    assert answer["sha256"] == hashlib.sha256(body).hexdigest()
    assert_harmless(reply)
    assert headers["webhook-id"] in door.kept(), "kept whole for a person"


# --- not authentic --------------------------------------------------------------------------------------------------

MAC = "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def altered(**changes: str | None) -> dict[str, str]:
    """Return authentic headers with some replaced ("_" for "-"; `{}` stands for the right value) or dropped (None)."""
    headers = signed(BODY)
    for name, value in changes.items():
        name = name.replace("_", "-")
        if value is None:
            del headers[name]
        else:
            headers[name] = value.replace("{}", headers[name])
    return headers


BODY = report("QL-not-authentic")
NOT_AUTHENTIC: dict[str, dict[str, str | None]] = {
    "no id": {"webhook_id": None},
    "empty id": {"webhook_id": ""},
    "id with a dot": {"webhook_id": "msg.1"},
    "id with a comma": {"webhook_id": "msg,1"},
    "id with a blank": {"webhook_id": "msg 1"},
    "id of 257": {"webhook_id": "m" * 257},
    "id not ascii": {"webhook_id": "msg_\xe9"},
    "another id": {"webhook_id": "msg_other"},
    "no timestamp": {"webhook_timestamp": None},
    "empty timestamp": {"webhook_timestamp": ""},
    "timestamp hello": {"webhook_timestamp": "hello"},
    "timestamp with a plus": {"webhook_timestamp": "+{}"},
    "timestamp with a minus": {"webhook_timestamp": "-{}"},
    "timestamp with a zero before": {"webhook_timestamp": "0{}"},
    "timestamp with a fraction": {"webhook_timestamp": "{}.0"},
    "timestamp with an underscore": {"webhook_timestamp": "1_{}"},
    "timestamp of 13 digits": {"webhook_timestamp": "{}000"},
    "timestamp twice": {"webhook_timestamp": "{},{}"},
    "no signature": {"webhook_signature": None},
    "empty signature": {"webhook_signature": ""},
    "v1 and nothing": {"webhook_signature": "v1,"},
    "no version": {"webhook_signature": MAC},
    "two commas": {"webhook_signature": "v1,,{}"},
    "another mac": {"webhook_signature": f"v1,{MAC}"},
    "truncated": {"webhook_signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ"},
    "unpadded": {"webhook_signature": f"v1,{MAC[:-1]}"},
    "not base64": {"webhook_signature": "v1,%%%%"},
    "not ascii": {"webhook_signature": "v1,\xe9\xe9"},
    "an unknown version": {"webhook_signature": f"v2,{MAC}"},
    "joined by a comma": {"webhook_signature": "{},{}"},
    "joined by two blanks": {"webhook_signature": f"v1,{MAC}  v1,{MAC}"},
    "upper case version": {"webhook_signature": f"V1,{MAC}"},
    "a thousand signatures": {"webhook_signature": " ".join([f"v1,{MAC}"] * 300)},
    "right only after a crowd": {"webhook_signature": " ".join([f"v1,{MAC}"] * 20) + " {}"},
}


def assert_refused_as_everybody(door: Door, reply: Reply) -> None:
    """Check that a refusal is the very answer a stranger gets: nobody learns what was wrong."""
    stranger = post(door.port, BODY, source="nobody")
    changing = ("date",)
    assert reply.status == stranger.status == 401
    assert reply.body == stranger.body
    assert reply.json() == {"status": "refused", "detail": "Not authentic."}
    assert {n: v for n, v in reply.headers.items() if n not in changing} == {
        n: v for n, v in stranger.headers.items() if n not in changing
    }


@pytest.mark.parametrize("changes", NOT_AUTHENTIC.values(), ids=NOT_AUTHENTIC)
def test_malformed_or_wrong_headers_are_refused_alike(door: Door, changes: dict[str, str | None]) -> None:
    assert_refused_as_everybody(door, post(door.port, BODY, altered(**changes)))


@pytest.mark.parametrize("offset_s", [-(TOLERANCE_S + 1), TOLERANCE_S + 5, -(10**6), 10**6])
def test_stale_and_future_webhooks_are_refused_alike(door: Door, offset_s: int) -> None:
    headers = signed(BODY, at=int(time.time()) + offset_s)
    assert_refused_as_everybody(door, post(door.port, BODY, headers))


@pytest.mark.parametrize("source", ["nobody", "keyless", "short", "QLUE", "qlue%00", "%ff%fe", "a" * 3_000])
def test_unknown_and_keyless_sources_are_refused_alike(door: Door, source: str) -> None:
    key = SHORT_KEY if source == "short" else KEY
    assert_refused_as_everybody(door, post(door.port, BODY, signed(BODY, key=key), source=source))


def test_key_of_nothing_opens_no_source(door: Door) -> None:
    for key in (b"", bytes(32)):
        for source in ("keyless", "nobody", "qlue"):
            assert_refused_as_everybody(door, post(door.port, BODY, signed(BODY, key=key), source=source))


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp"])
def test_signed_header_sent_twice_is_refused_alike(door: Door, name: str) -> None:
    headers = signed(BODY)
    twice = [*lines(headers), f"{name}: {headers[name]}", f"content-length: {len(BODY)}"]
    assert_refused_as_everybody(door, send(door.port, head("POST", "/webhooks/qlue", *twice) + BODY))


def test_body_changed_on_the_way_is_refused_alike(door: Door) -> None:
    assert_refused_as_everybody(door, post(door.port, BODY.replace(b"leasing", b"Leasing"), signed(BODY)))


# --- the body's length and kind -------------------------------------------------------------------------------------


def chunked(body: bytes) -> bytes:
    """Return a body in one chunk."""
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def test_body_without_a_length_is_asked_for_one(door: Door) -> None:
    body = report()
    reply = send(door.port, head("POST", "/webhooks/qlue", *lines(signed(body))) + body, end=True)
    assert (reply.status, reply.json()["status"]) == (411, "refused")


@pytest.mark.parametrize("also", [[], ["content-length: 4"]], ids=["chunked", "chunked and a length"])
def test_chunked_body_is_refused_or_read_whole_and_never_cut(door: Door, also: list[str]) -> None:
    # Granian hands chunks on as they come, so they are refused; waitress has gathered them before we see them.
    body = report(description="panjang " * 2_000)
    request = head("POST", "/webhooks/qlue", *lines(signed(body)), "transfer-encoding: chunked", *also)
    reply = send(door.port, request + chunked(body))
    whole = reply.status == 202 and reply.json()["sha256"] == hashlib.sha256(body).hexdigest()
    assert whole or reply.status in (400, 411)
    assert reply.headers["connection"] == "close"


def test_largest_body_passes_and_one_byte_more_does_not(door: Door) -> None:
    largest = b'"' + b"a" * (MAX_BODY_BYTES - 2) + b'"'
    assert post(door.port, largest).json()["status"] == "set_aside"
    assert post(door.port, largest + b" ").status == 413


def test_announced_giant_is_refused_before_it_is_sent(door: Door) -> None:
    request = head("POST", "/webhooks/qlue", *lines(signed(b"")), "content-length: 99999999999")
    assert send(door.port, request).status == 413


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "json", "text/json", ""])
def test_only_json_is_taken(door: Door, kind: str | None) -> None:
    headers = signed(BODY) | ({"content-type": kind} if kind is not None else {})
    if kind is None:
        del headers["content-type"]
    assert post(door.port, BODY, headers).status == 415


@pytest.mark.parametrize("length", ["-1", "+4", "0x10", "4 4", "4,4", "four", "1e3", "99999999999999999999999999"])
def test_length_that_is_none_is_refused(door: Door, length: str) -> None:
    reply = send(door.port, head("POST", "/webhooks/qlue", *lines(signed(BODY)), f"content-length: {length}") + BODY)
    assert reply.status in (400, 411, 413)


def test_two_lengths_are_refused(door: Door) -> None:
    two = [f"content-length: {len(BODY)}", "content-length: 4"]
    assert send(door.port, head("POST", "/webhooks/qlue", *lines(signed(BODY)), *two) + BODY).status == 400


def test_body_shorter_than_its_length_is_never_taken(door: Door) -> None:
    body = report()
    headers = signed(body)
    request = head("POST", "/webhooks/qlue", *lines(headers), f"content-length: {len(body) + 50}")
    try:
        status = send(door.port, request + body, end=True).status
    except ConnectionError:
        status = 0  # waitress waits for the rest, and hangs up when the sender does
    assert status in (0, 400)
    assert headers["webhook-id"] not in door.kept()


@pytest.mark.parametrize(
    "flood",
    [["x-long: " + "a" * 600_000], [f"x-{number}: " + "a" * 100 for number in range(5_000)]],
    ids=["a long line", "many lines"],
)
def test_flood_of_headers_is_refused_and_the_next_report_is_taken(door: Door, flood: list[str]) -> None:
    request = head("POST", "/webhooks/qlue", *lines(signed(BODY)), *flood, f"content-length: {len(BODY)}")
    assert send(door.port, request + BODY).status == 431
    assert post(door.port, report()).status == 202


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
def test_other_methods_are_told_which_is_right(door: Door, method: str) -> None:
    reply = ask(door.port, method, "/webhooks/qlue", "content-length: 0")
    assert (reply.status, "POST" in reply.headers["allow"]) == (405, True)


@pytest.mark.parametrize("path", ["/webhooks/", "/webhooks/qlue/", "/webhooks/../desk", "/webhooks/qlue/x", "/nothing"])
def test_other_paths_are_not_found_and_say_nothing(door: Door, path: str) -> None:
    reply = ask(door.port, "POST", path, "content-length: 0", "content-type: application/json")
    assert reply.status == 404
    assert_harmless(reply)


@pytest.mark.parametrize(
    "junk", [b"\x00\x01\x02\r\n\r\n", b"POST\r\n\r\n", b"\r\n\r\n\r\nPOST x\r\n\r\n", b"\x16\x03\x01\x02\r\n\r\n"]
)
def test_what_is_no_http_harms_nobody(door: Door, junk: bytes) -> None:
    try:
        assert 400 <= send(door.port, junk, end=True).status < 500
    except ConnectionError:
        pass  # hung up: also fine
    assert post(door.port, report()).status == 202


# --- what 202 means -------------------------------------------------------------------------------------------------


def test_all_that_was_answered_202_is_durable_and_nothing_else(door: Door) -> None:
    sent: dict[str, int] = {}
    for number in range(60):
        body = report(title=None) if number % 5 == 0 else report()
        headers = signed(body, new_id(), key=bytes(24) if number % 3 == 0 else KEY)
        sent[headers["webhook-id"]] = post(door.port, body, headers).status
    kept = door.kept()
    assert {status for status in sent.values()} == {202, 401}
    assert {webhook_id for webhook_id in sent if webhook_id in kept} == {
        i for i, status in sent.items() if status == 202
    }


def test_outcomes_are_counted_and_strangers_cannot_fill_the_figures_with_names(door: Door) -> None:
    post(door.port, report())
    post(door.port, BODY, source="nobody")
    figures = ask(door.port, "GET", "/metrics").body.decode()
    assert 'bridge_webhooks_total{outcome="accepted",source="qlue"}' in figures
    assert 'source="unknown"' in figures
    assert "nobody" not in figures


def test_without_its_queue_it_says_503_and_when_to_come_back_and_then_recovers(door: Door) -> None:
    body = report()
    with door.without_queue():
        refused = post(door.port, body)
        assert (refused.status, refused.headers["retry-after"]) == (503, str(RETRY_AFTER_S))
        assert refused.json() == {
            "status": "refused",
            "detail": "The report could not be stored safely. Send it again later.",
        }
        # Each process finds out for itself, and says so from then on.
        eventually(lambda: post(door.port, body).status == 503 and not door.ready(), 60, "a front must know")
        assert post(door.port, body, source="nobody").status == 401, "strangers still learn nothing"
    headers = signed(body)
    eventually(lambda: post(door.port, body, headers).status == 202, 30, "it takes reports again")
    eventually(lambda: headers["webhook-id"] in door.kept(), 30, "it is in the queue")
    assert door.ready()
