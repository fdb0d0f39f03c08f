"""Sources as they are run: keys that come and go without a restart, a rate, dry runs, and payloads of their own."""

import base64
import hmac
import json
import re
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bridge.arrivals import MAX_BODY_BYTES
from bridge.cli import cli
from bridge.signing import signing_key
from config.settings import BadSettings
from tests.servers import RabbitMQ, eventually, new_folder
from tests.web.doors import CRM_KEY, JAKI_KEY, SLOW_KEY, Door, SmallDoor, open_full, open_small
from tests.web.processes import Bridge, Reply, head, new_id, post, report, send, signed


@pytest.fixture(scope="module", params=["granian before rabbitmq", "waitress on the embedded queue"])
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    """The way in, in both shapes."""
    folder = new_folder("sources")
    rabbitmq: RabbitMQ | None = request.getfixturevalue("rabbitmq") if "rabbitmq" in request.param else None
    opened: Door = open_full(folder, rabbitmq) if rabbitmq else open_small(folder)
    yield opened
    opened.bridge.close()


@pytest.fixture(scope="module")
def small() -> Iterator[SmallDoor]:
    """The way in with every step behind it."""
    opened = open_small(new_folder("sources-small"))
    yield opened
    opened.bridge.close()


def typed(bridge: Bridge, *words: str, answer: str = "") -> Result:
    """Type a `bridge …` command beside the running server, in its environment."""
    return CliRunner().invoke(cli, words, input=answer, env=bridge.environment())


def done(bridge: Bridge, *words: str, answer: str = "") -> str:
    """Return what a command that must not fail printed."""
    result = typed(bridge, *words, answer=answer)
    assert result.exit_code == 0, result.output
    return result.stdout


def keys(bridge: Bridge, source: str) -> dict[str, dict[str, Any]]:
    """Return the keys of a source, by id."""
    return {row["id"]: row for row in json.loads(done(bridge, "sources", "key", "list", source, "--json"))}


def new_key(bridge: Bridge, source: str, *options: str) -> str:
    """Make a key and return its text, which stands alone on its line."""
    found = re.search(r"^  (\S+)$", done(bridge, "sources", "key", "new", source, *options), re.MULTILINE)
    assert found
    return found[1]


def post_jaki(door: Door, body: bytes, path: str = "/webhooks/jaki", key: str = JAKI_KEY, **more: str) -> Reply:
    """Send as JAKI does."""
    mac = hmac.new(key.encode(), body, sha256).hexdigest()
    return post_to(door, path, body, {"x-hub-signature-256": f"sha256={mac}", **more})


def post_to(door: Door, path: str, body: bytes, headers: dict[str, str]) -> Reply:
    """Send a body to any path."""
    lines = {"content-type": "application/json", "content-length": str(len(body)), **headers}
    return send(door.port, head("POST", path, *(f"{name}: {value}" for name, value in lines.items())) + body)


def basic(credentials: str) -> dict[str, str]:
    """Return the header of RFC 7617."""
    return {"authorization": "Basic " + base64.b64encode(credentials.encode()).decode()}


CRM = {"nomor": 7, "judul": "Motor ditarik", "isi": "Tanpa surat.", "dibuat": "2026-11-24 09:30:00", "jenis": "leasing"}


# --- keys -----------------------------------------------------------------------------------------------------------


def test_new_key_counts_and_a_retired_one_ends_without_a_restart(door: Door) -> None:
    said = done(door.bridge, "sources", "key", "new", "qlue")
    text = re.search(r"whsec_\S+", said)
    name = re.search(r"Key (\w+) of qlue", said)
    assert text
    assert name
    body, key = report(), signing_key(text[0])

    eventually(lambda: post(door.port, body, signed(body, key=key)).status == 202, 10, "the new key counts")
    answer = post_to(door, "/webhooks/qlue?dry_run", body, signed(body, key=key)).json()
    assert answer["key_id"] == name[1]
    assert "counts until" in done(door.bridge, "sources", "key", "retire", "qlue", name[1])
    assert keys(door.bridge, "qlue")[name[1]]["counts_now"], "old and new overlap for a day"
    assert post(door.port, body, signed(body, key=key)).status == 202

    done(door.bridge, "sources", "key", "retire", "qlue", name[1], "--now")
    eventually(lambda: post(door.port, body, signed(body, key=key)).status == 401, 10, "the retired key has ended")
    assert post(door.port, body).status == 202, "the others go on"


def test_ended_key_is_not_brought_back_by_a_later_end(door: Door) -> None:
    new_key(door.bridge, "slow")
    name = list(keys(door.bridge, "slow"))[-1]
    done(door.bridge, "sources", "key", "retire", "slow", name, "--at", "2020-01-01")
    for later in (("--at", "2037-01-01"), ()):
        again = typed(door.bridge, "sources", "key", "retire", "slow", name, *later)
        assert (again.exit_code, "has not counted since" in again.stderr) == (1, True), again.output
        assert "an end never brings it back" in again.stderr
    assert not keys(door.bridge, "slow")[name]["counts_now"]


def test_key_of_the_environment_is_ended_too(door: Door) -> None:
    (name,) = keys(door.bridge, "jaki")
    body = report()
    said = typed(door.bridge, "sources", "key", "retire", "jaki", name, "--now")
    assert "answers 401 to everybody" in said.stderr
    eventually(lambda: post_jaki(door, body).status == 401, 10, "the key of JAKI_WEBHOOK_SECRET has ended")

    made = new_key(door.bridge, "jaki")
    eventually(lambda: post_jaki(door, body, key=made).status == 202, 10, "a made key opens in its place")
    done(door.bridge, "sources", "key", "new", "jaki", "--key", "-", answer=JAKI_KEY + "\n")
    eventually(lambda: post_jaki(door, body).status == 202, 10, "it is taken back")


def test_keys_are_kept_for_their_owner_alone_and_never_listed(door: Door) -> None:
    made = new_key(door.bridge, "crm", "--until", "2030-01-01")
    assert made.startswith("crm:")
    file = door.bridge.folder / "var" / "keys" / "crm.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    shown = done(door.bridge, "sources", "key", "list", "crm") + done(
        door.bridge, "sources", "key", "list", "crm", "--json"
    )
    assert made not in shown
    assert CRM_KEY not in shown
    assert {row["kept_in"] for row in keys(door.bridge, "crm").values()} == {"data folder", "CRM_SECRET"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("key new nobody", "no source 'nobody'"),
        ("key list nobody", "no source 'nobody'"),
        ("key retire qlue nothing", "has no key 'nothing'"),
        ("key new qlue --key short", "not base64; expected whsec_"),
        ("key new qlue --key whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==", "private key"),
        ("key new crm --key without-a-colon-but-long-enough", "user:password"),
        ("key new qlue --from 2030-01-02 --until 2030-01-01", "it would end before it begins"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_about_a_key_is_refused_in_one_message(small: SmallDoor, words: str, said: str) -> None:
    result = typed(small.bridge, "sources", *words.split())
    assert result.exit_code == 1
    assert said in result.output + str(result.exception)


def test_sources_are_listed_with_how_each_proves_itself(small: SmallDoor) -> None:
    rows = {row["source"]: row for row in json.loads(done(small.bridge, "sources", "list", "--json"))}
    assert set(rows) == {"qlue", "jaki", "open311", "short", "keyless", "crm", "slow"}
    assert rows["crm"] == {
        "source": "crm", "name": "CRM", "path": "/webhooks/crm", "scheme": "basic", "live_keys": 1, "mapped": True,
        "rate": None, "callback_url": None, "last_seen": rows["crm"]["last_seen"], "webhooks_24h": rows["crm"]["webhooks_24h"],
        "set_aside_24h": rows["crm"]["set_aside_24h"], "last_key": rows["crm"]["last_key"],
    }  # fmt: skip
    assert (rows["qlue"]["live_keys"], rows["short"]["live_keys"], rows["slow"]["rate"]) == (2, 0, 1)


# --- rate -----------------------------------------------------------------------------------------------------------


def test_over_its_rate_a_source_is_told_when_to_come_back_and_strangers_use_none_of_it(door: Door) -> None:
    def post_slow(token: str, webhook_id: str) -> Reply:
        headers = {"authorization": f"Bearer {token}", "webhook-id": webhook_id}
        return post_to(door, "/webhooks/slow", report(), headers)

    for _ in range(10):
        assert post_slow("somebody else's token", new_id()).status == 401
    ids = [new_id() for _ in range(30)]
    answers = {webhook_id: post_slow(SLOW_KEY, webhook_id) for webhook_id in ids}
    assert [answers[webhook_id].status for webhook_id in ids[:2]] == [202, 202], "twice the rate at once"
    refused = {webhook_id: answer for webhook_id, answer in answers.items() if answer.status == 429}
    assert refused
    assert {answer.status for answer in answers.values()} == {202, 429}
    assert {answer.headers["retry-after"] for answer in refused.values()} == {"1"}
    assert door.kept() & set(ids) == set(ids) - set(refused)
    assert post(door.port, report()).status == 202, "others have a rate of their own"
    again = next(iter(refused))
    eventually(lambda: post_slow(SLOW_KEY, again).status == 202, 10, "it is taken later, under the same id")


# --- dry runs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked", ["dry_run", "dry_run=1", "dry_run=true", "dry_run=True", "dry_run=yes", "a=b&dry_run"]
)
def test_dry_run_says_what_would_happen_and_stores_nothing(door: Door, asked: str) -> None:
    body, bad = report(), report(title=None)
    good, set_aside = signed(body), signed(bad)
    reply = post_to(door, f"/webhooks/qlue?{asked}", body, good)
    answer = reply.json()
    assert (reply.status, answer["status"], answer["dry_run"]) == (200, "would_be_accepted", True)
    assert answer["key_id"] in keys_once(door)
    assert answer["ticket"] == post(door.port, body).json()["ticket"], "the ticket it would really get"
    reply = post_to(door, f"/webhooks/qlue?{asked}", bad, set_aside)
    assert (reply.status, reply.json()["status"]) == (200, "would_be_set_aside")
    assert reply.json()["problems"]
    assert not door.kept() & {good["webhook-id"], set_aside["webhook-id"]}


_known: dict[Path, set[str]] = {}


def keys_once(door: Door) -> set[str]:
    """Return the ids of the keys of qlue, asked for once."""
    if door.bridge.folder not in _known:
        _known[door.bridge.folder] = set(keys(door.bridge, "qlue"))
    return _known[door.bridge.folder]


@pytest.mark.parametrize("asked", ["", "dry_run=0", "dry_run=false", "dry_run=no", "dryrun", "x=dry_run"])
def test_what_does_not_ask_for_a_dry_run_is_stored(door: Door, asked: str) -> None:
    body = report()
    headers = signed(body)
    assert post_to(door, f"/webhooks/qlue?{asked}", body, headers).status == 202
    assert headers["webhook-id"] in door.kept()


@pytest.mark.parametrize("path", ["/webhooks/qlue?dry_run", "/webhooks/keyless?dry_run", "/webhooks/nobody?dry_run"])
def test_dry_run_tells_strangers_nothing(door: Door, path: str) -> None:
    body = report()
    real = post_to(door, path.removesuffix("?dry_run"), body, {})
    dry = post_to(door, path, body, {})
    assert (dry.status, dry.body) == (real.status, real.body) == (401, real.body)


# --- other schemes, other words -------------------------------------------------------------------------------------


def stored(door: SmallDoor, source: str, webhook_id: str) -> dict[str, Any]:
    """Return the row of a webhook as soon as it is there."""

    def row() -> dict[str, Any]:
        with closing(sqlite3.connect(door.bridge.folder / "var" / "bridge.sqlite3", timeout=30)) as facts:
            facts.row_factory = sqlite3.Row
            query = "SELECT * FROM webhooks WHERE source = ? AND webhook_id = ?"
            return dict(facts.execute(query, (source, webhook_id)).fetchone() or {})

    found: dict[str, Any] = eventually(row, 20, f"{webhook_id} of {source} is stored")
    return found


def test_report_of_jaki_is_taken_in_and_which_key_it_came_by_is_kept(small: SmallDoor) -> None:
    body = report("JAKI-1")
    answer = post_jaki(small, body).json()
    row = stored(small, "jaki", f"sha256-{sha256(body).hexdigest()}")
    assert (row["report_id"], row["sha256"], [row["key_id"]]) == (
        answer["report_id"],
        answer["sha256"],
        [*keys(small.bridge, "jaki")],
    )
    shown = json.loads(done(small.bridge, "reports", "show", answer["ticket"], "--json"))
    assert (shown["source"], shown["external_id"]) == ("jaki", "JAKI-1")
    assert post_jaki(small, body).json()["ticket"] == answer["ticket"]


def test_payload_of_another_shape_becomes_a_report(small: SmallDoor) -> None:
    answer = post_to(small, "/webhooks/crm", json.dumps(CRM).encode(), {**basic(CRM_KEY), "x-delivery": "D-1"}).json()
    assert answer["status"] == "accepted"
    assert [stored(small, "crm", "D-1")["key_id"]] == [*keys(small.bridge, "crm")]
    shown = json.loads(done(small.bridge, "reports", "show", answer["ticket"], "--json"))
    assert (shown["external_id"], shown["category"], shown["title"]) == ("7", "PEMBIAYAAN", "Motor ditarik")


def test_payload_that_does_not_fit_its_mapping_is_set_aside_and_nothing_of_it_is_repeated(small: SmallDoor) -> None:
    odd = json.dumps(CRM | {"dibuat": "kemarin sore", "jenis": {"Siti": "Kenari"}}).encode()
    reply = post_to(small, "/webhooks/crm", odd, {**basic(CRM_KEY), "x-delivery": "D-2"})
    assert (reply.status, reply.json()["status"]) == (202, "set_aside")
    assert [line.partition(":")[0] for line in reply.json()["problems"]] == ["timestamp", "data.category"]
    assert not [word for word in ("kemarin", "Siti", "Kenari") if word in reply.body.decode()]
    eventually(lambda: "D-2" in done(small.bridge, "set-aside", "list", "--json"), 20, "it lies aside")


@pytest.mark.parametrize("headers", [{}, basic("crm:another password, long enough"), {"authorization": "Bearer x"}])
def test_stranger_at_another_scheme_is_told_what_every_stranger_is_told(door: Door, headers: dict[str, str]) -> None:
    for path in ("/webhooks/crm", "/webhooks/jaki", "/webhooks/slow", "/webhooks/open311"):
        reply = post_to(door, path, b"{}", headers)
        assert (reply.status, reply.json()) == (401, {"status": "refused", "detail": "Not authentic."})


# --- trying a payload -----------------------------------------------------------------------------------------------


def test_payload_is_tried_at_the_keyboard_without_sending_it(small: SmallDoor, tmp_path: Path) -> None:
    file = tmp_path / "payload.json"
    file.write_text(json.dumps(CRM))
    good = typed(small.bridge, "sources", "test", "crm", str(file))
    assert good.exit_code == 0, good.stderr
    assert json.loads(good.stdout)["data"]["category"] == "PEMBIAYAAN"
    assert "would be accepted as a report of crm" in good.stderr

    file.write_text(json.dumps(CRM | {"judul": "", "dibuat": "kemarin"}))
    bad = typed(small.bridge, "sources", "test", "crm", str(file))
    assert bad.exit_code == 1
    assert "- timestamp: the mapping does not fit what was sent (ValueError)" in bad.stderr
    assert "would be set aside" in bad.stderr

    file.write_bytes(report(title=None))
    ours = typed(small.bridge, "sources", "test", "qlue", str(file))
    assert "data.title: Missing data for required field." in ours.stderr
    file.write_text("{")
    assert "not JSON" in typed(small.bridge, "sources", "test", "qlue", str(file)).stderr


@pytest.mark.parametrize(
    ("mapping", "said"), [("titel = 'a'", "no such place"), ("timestamp = 'upper(a)'", "no function upper()")]
)
def test_fault_of_a_mapping_stops_the_start_and_says_where(
    small: SmallDoor, tmp_path: Path, mapping: str, said: str
) -> None:
    config = tmp_path / "config"
    config.mkdir()
    for path in (small.bridge.folder / "config").iterdir():
        (config / path.name).symlink_to(path)
    (config / "sources.toml").unlink()
    (config / "sources.toml").write_text(
        f'[odd]\nname = "Odd"\nscheme = "bearer"\nsecret = "ODD_SECRET"\n[odd.mapping]\n{mapping}\n'
    )
    result = CliRunner().invoke(
        cli, ["sources", "list"], env=small.bridge.environment() | {"BRIDGE_CONFIG_DIR": str(config)}
    )
    assert isinstance(result.exception, BadSettings)
    assert "sources.toml: odd.mapping: " in str(result.exception)
    assert said in str(result.exception)


def test_payload_too_large_for_the_way_in_is_told_before_it_is_sent(small: SmallDoor, tmp_path: Path) -> None:
    file = tmp_path / "payload.json"
    file.write_bytes(report().ljust(MAX_BODY_BYTES))
    assert typed(small.bridge, "sources", "test", "qlue", str(file)).exit_code == 0
    file.write_bytes(report().ljust(MAX_BODY_BYTES + 1))
    refused = typed(small.bridge, "sources", "test", "qlue", str(file))
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "the way in takes 262144 and answers 413" in refused.stderr
    body = file.read_bytes()
    assert post(small.port, body, signed(body)).status == 413
