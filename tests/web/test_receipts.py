"""Receipts over HTTP: only for the source that sent, one answer for everybody else, and nothing said that is not known."""

import base64
import hashlib
import hmac
import itertools
import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from sqlalchemy import event
from werkzeug.test import TestResponse

from bridge.storage import webhooks
from tests.servers import eventually, new_folder
from tests.web.office import Office
from tests.web.processes import ROOT, Bridge, ask, head, new_id, post, report, send, signed

JAKI = "the-secret-jaki-signs-with"
BASIC = "kota:kata-sandi-yang-panjang"
BEARER = "a-bearer-token-long-enough"
OLD = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)
_SCHEME = '[{name}]\nname = "{name}"\nscheme = "{name}"\nsecret = "{secret}"\n'


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """An office with a source of every scheme."""
    folder = tmp_path_factory.mktemp("receipts")
    config = folder / "config"
    shutil.copytree(ROOT / "config", config, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    with (config / "sources.toml").open("a") as file:
        file.write(_SCHEME.format(name="basic", secret="KOTA") + _SCHEME.format(name="bearer", secret="TOKEN"))
    variables = {"BRIDGE_CONFIG_DIR": str(config), "JAKI_WEBHOOK_SECRET": JAKI, "KOTA": BASIC, "TOKEN": BEARER}
    made = Office(folder, **variables)
    yield made
    made.close()


_numbers = itertools.count()


def remember(office: Office, names: list[str], source: str = "qlue", at: datetime | None = None) -> datetime:
    """Let webhooks be accepted, a second apart, in a week no other test has; returns when the first came."""
    begin = at or OLD + 7 * DAY * next(_numbers)
    rows = [
        {
            "source": source,
            "webhook_id": name,
            "sha256": sha(name),
            "received_at": begin + timedelta(seconds=n),
            "effect": "created",
            "body": b"",
        }
        for n, name in enumerate(names)
    ]
    with office.service.database.write() as connection:
        webhooks.remember(connection, rows)
    return begin


def sha(text: str) -> str:
    """Return the hash of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def get(office: Office, target: str, headers: dict[str, str] | None = None) -> TestResponse:
    """Ask as qlue does, unless the headers say otherwise."""
    return office.visitor().get(target, headers=signed(b"") if headers is None else headers)


def manifest(office: Office, begin: datetime, days: float = 1, source: str = "qlue", **more: Any) -> TestResponse:
    """Ask for the manifest of a span."""
    asked = {"since": begin.isoformat(), "until": (begin + days * DAY).isoformat(), **more}
    return get(office, f"/webhooks/{source}/receipts?{urlencode(asked)}")


def hub(target: str, key: str = JAKI) -> dict[str, str]:
    """Return what jaki shows: its HMAC of the request's target."""
    return {"x-hub-signature-256": "sha256=" + hmac.digest(key.encode(), target.encode(), "sha256").hex()}


# --- receipts -------------------------------------------------------------------------------------------------------


def test_city_sees_the_receipt_of_what_it_sent(office: Office) -> None:
    ticket = office.new_report()
    with office.service.database.read() as connection:
        name = connection.exec_driver_sql("SELECT webhook_id FROM webhooks ORDER BY received_at DESC LIMIT 1").scalar()
    answer = get(office, f"/webhooks/qlue/receipts/{name}")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    promised = "webhook_id source sha256 received_at report_id ticket type effect aside key_id other_bodies".split()
    assert set(answer.json or {}) == set(promised)
    assert {key: (answer.json or {})[key] for key in ("ticket", "effect", "aside", "type")} == {
        "ticket": ticket,
        "effect": "created",
        "aside": None,
        "type": "report.submitted",
    }
    assert datetime.fromisoformat((answer.json or {})["received_at"]).tzinfo


@pytest.mark.parametrize(
    "name", ["a/b", "a//b", "/", "%2e", "a?b=c", "a#b", "a b+c".replace(" ", "%20"), "~!$&'()*;=:@"]
)
def test_id_may_be_anything_the_grammar_lets_in(office: Office, name: str) -> None:
    name = f"{name}{new_id('/x')}"
    remember(office, [name])
    answer = get(office, f"/webhooks/qlue/receipts/{quote(name, safe='')}")
    assert (answer.status_code, (answer.json or {})["webhook_id"]) == (200, name)


def test_unknown_webhook_is_404_and_says_up_to_when_that_means_something(office: Office) -> None:
    before = datetime.now(UTC)
    answer = get(office, "/webhooks/qlue/receipts/never-sent")
    said = answer.json or {}
    assert (answer.status_code, said["status"]) == (404, "unknown")
    assert before - timedelta(minutes=1) < datetime.fromisoformat(said["complete_until"]) < before
    assert said["complete_until"] in said["detail"]


def test_what_another_source_sent_is_as_unknown_as_what_nobody_sent(office: Office) -> None:
    remember(office, ["of-jaki"], source="jaki")
    theirs, nobodys = (get(office, f"/webhooks/qlue/receipts/{name}") for name in ("of-jaki", "nobodys"))
    for answer in (theirs, nobodys):
        said = answer.json or {}
        assert (answer.status_code, set(said), said["status"]) == (
            404,
            {"status", "detail", "complete_until"},
            "unknown",
        )


# --- who may --------------------------------------------------------------------------------------------------------

PATHS = ["/webhooks/{}/receipts/of-somebody", "/webhooks/{}/receipts?since=2026-11-01T00:00:00Z&until=2026-11-02T00:00:00Z",
         "/webhooks/{}/receipts?since=nonsense"]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_whoever_is_not_the_source_gets_one_answer_and_the_database_is_not_asked(office: Office, path: str) -> None:
    other_key = base64.b64encode(b"another key of the right length")
    strangers: list[tuple[str, dict[str, str]]] = [
        ("qlue", {}),
        ("qlue", signed(b"", key=other_key)),
        ("qlue", signed(b"", at=1_700_000_000)),
        ("qlue", signed(b"{}")),
        ("qlue", hub(path.format("qlue"))),
        ("nobody", signed(b"")),
        ("nobody", {}),
        ("jaki", signed(b"")),
        ("jaki", hub("")),
        ("jaki", hub("/webhooks/jaki/receipts/something-else")),
        ("jaki", hub(path.format("jaki"), key="another-secret-of-24-bytes")),
        ("basic", {"Authorization": "Basic " + base64.b64encode(b"kota:falsch").decode()}),
        ("bearer", {"Authorization": "Bearer "}),
        ("open311", {"Authorization": "Bearer " + BEARER}),
    ]
    asked: list[object] = []
    engine = office.service.database.engine
    event.listen(engine, "before_cursor_execute", lambda *found: asked.append(found[2]))
    answers = [get(office, path.format(source), headers) for source, headers in strangers]
    assert {answer.status_code for answer in answers} == {401}
    assert len({(answer.data, tuple(sorted(answer.headers.items()))) for answer in answers}) == 1
    assert asked == []


@pytest.mark.parametrize("source", ["qlue", "jaki", "basic", "bearer"])
def test_every_scheme_opens_its_own_receipts(office: Office, source: str) -> None:
    (name,) = names = [new_id()]
    begin = remember(office, names, source)
    span = urlencode({"since": begin.isoformat(), "until": (begin + DAY).isoformat()})
    for target in (f"/webhooks/{source}/receipts/{name}", f"/webhooks/{source}/receipts?{span}"):
        shown = {
            "qlue": signed(b""),
            "jaki": hub(target),
            "basic": {"Authorization": "Basic " + base64.b64encode(BASIC.encode()).decode()},
            "bearer": {"Authorization": f"Bearer {BEARER}"},
        }
        answer = get(office, target, shown[source])
        assert (answer.status_code, name in answer.text) == (200, True)


def test_receipts_are_only_read(office: Office) -> None:
    assert office.visitor().bare_post("/webhooks/qlue/receipts/x", headers=signed(b"")).status_code == 405


# --- the manifest ---------------------------------------------------------------------------------------------------


def test_manifest_counts_lists_and_sums_up_a_span(office: Office) -> None:
    names = sorted(new_id(letter) for letter in "Zab-~")
    begin = remember(office, names)
    said = manifest(office, begin).json or {}
    lines = "".join(sorted(f"{name} {sha(name)}\n" for name in names))
    assert (said["count"], said["digest"], said["next"]) == (len(names), sha(lines), None)
    assert [item["webhook_id"] for item in said["items"]] == names
    assert set(said["items"][0]) == {"webhook_id", "sha256", "received_at", "ticket", "effect"}
    assert (said["source"], said["since"], said["until"]) == ("qlue", begin.isoformat(), (begin + DAY).isoformat())
    assert (manifest(office, begin, days=2 / 86400).json or {})["count"] == 2, "until itself is not in it"


def test_pages_of_a_manifest_make_it_whole(office: Office) -> None:
    names = [new_id() for _ in range(7)]
    begin = remember(office, names)
    found: list[str] = []
    place = {}
    for number in itertools.count():
        said = manifest(office, begin, limit=3, **place).json or {}
        found += [item["webhook_id"] for item in said["items"]]
        assert ("count" in said, "digest" in said) == ((True, True) if number == 0 else (False, False))
        if said["next"] is None:
            break
        place = {"after": said["next"]}
    assert (found, number) == (names, 2)


def test_plus_that_was_not_encoded_is_understood(office: Office) -> None:
    begin = remember(office, [new_id()])
    since, until = (at.astimezone().strftime("%Y-%m-%dT%H:%M:%S+00:00") for at in (begin, begin + DAY))
    assert (get(office, f"/webhooks/qlue/receipts?since={since}&until={until}").json or {})["count"] == 1


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("", "since"),
        ("since=2026-11-01T00:00:00Z", "until"),
        ("since=2026-11-01&until=2026-11-02", "zone"),
        ("since=2026-11-01T00:00:00Z&until=yesterday", "until"),
        ("since=2026-11-02T00:00:00Z&until=2026-11-02T00:00:00Z", "later"),
        ("since=2026-11-01T00:00:00Z&until=2026-12-02T00:00:01Z", "31 days"),
        ("since=0001-01-01T00:00:00%2B14:00&until=2026-12-02T00:00:01Z", "since"),
        ("since=2026-11-01T00:00:00Z&until=2026-11-02T00:00:00Z&limit=0", "limit"),
        ("since=2026-11-01T00:00:00Z&until=2026-11-02T00:00:00Z&limit=10001", "limit"),
        ("since=2026-11-01T00:00:00Z&until=2026-11-02T00:00:00Z&limit=%D9%A1", "limit"),
        ("since=2026-11-01T00:00:00Z&until=2026-11-02T00:00:00Z&after=nonsense", "after"),
        ("since=2026-11-01T00:00:00Z&until=2026-11-02T00:00:00Z&after=W10", "after"),
        ("since=2026-11-01T00:00:00Z&until=2026-11-02T00:00:00Z&after=%00", "after"),
    ],
)
def test_bad_question_is_400_and_says_what_would_be_right(office: Office, asked: str, said: str) -> None:
    answer = get(office, f"/webhooks/qlue/receipts?{asked}")
    assert (answer.status_code, answer.content_type) == (400, "application/problem+json")
    assert said in json.loads(answer.data)["detail"]


# --- as it is run ---------------------------------------------------------------------------------------------------


def test_signature_over_the_target_holds_as_the_server_hands_it_on() -> None:
    bridge = Bridge(new_folder("receipts"), "up", JAKI_WEBHOOK_SECRET=JAKI)
    bridge.start()
    try:
        body, name = report(), "kirim/1 dari jaki?".replace(" ", "+")
        mac = "sha256=" + hmac.digest(JAKI.encode(), body, "sha256").hex()
        headers = {"content-type": "application/json", "webhook-id": name, "x-hub-signature-256": mac}
        eventually(lambda: ask(bridge.port, "GET", "/readyz").status == 200, 30, bridge.log_end())
        accepted = post(bridge.port, body, headers, source="jaki").json()

        def receipt() -> Any:
            target = f"/webhooks/jaki/receipts/{quote(name, safe='')}"
            reply = send(bridge.port, head("GET", target, *(f"{key}: {value}" for key, value in hub(target).items())))
            assert reply.status in (200, 404), reply.body
            return reply.json() if reply.status == 200 else None

        found = eventually(receipt, 20, "the receipt")
    finally:
        bridge.close()
    assert {key: found[key] for key in ("ticket", "sha256", "received_at", "report_id")} == {
        key: accepted[key] for key in ("ticket", "sha256", "received_at", "report_id")
    }
