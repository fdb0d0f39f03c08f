"""What an operator sees of the sources: who was seen when, how much came, by which key, and what lies aside."""

from datetime import UTC, datetime, timedelta

import pytest

from bridge.storage import set_aside, webhooks
from tests.web.keyboard import Desk

NOW = datetime.now(UTC)


@pytest.fixture(scope="module", autouse=True)
def _sent(desk: Desk) -> None:
    """Three from jaki today, one of which lies aside, and one two days ago under the key before."""
    rows = [
        {"source": "jaki", "webhook_id": name, "sha256": "a" * 64, "received_at": NOW - timedelta(hours=hours), "effect": effect, "body": b"", "key_id": key}
        for name, hours, effect, key in (
            ("m1", 48, "created", "oldkey"), ("m2", 3, "created", "oldkey"), ("m3", 2, "set_aside", "newkey"), ("m4", 1, "created", "newkey"),
        )
    ]  # fmt: skip
    aside = [
        {"source": "jaki", "webhook_id": name, "sha256": "a" * 64, "why": "invalid", "reasons": [], "received_at": NOW - timedelta(hours=hours), "body": b""}
        for name, hours in (("m3", 2), ("m0", 48))
    ]  # fmt: skip
    database = desk.office.service.database
    with database.write() as connection:
        webhooks.remember(connection, rows)
        set_aside.put(database, connection, aside)


def test_sources_are_listed_with_what_came_in_a_day(desk: Desk) -> None:
    rows = {row["source"]: row for row in desk.rows("sources", "list")}
    jaki = rows["jaki"]
    assert (jaki["webhooks_24h"], jaki["set_aside_24h"], jaki["last_key"]) == (3, 1, "newkey")
    assert datetime.fromisoformat(jaki["last_seen"]) == NOW - timedelta(hours=1)
    assert (rows["open311"]["last_seen"], rows["open311"]["webhooks_24h"], rows["open311"]["last_key"]) == (
        None,
        0,
        None,
    )
    assert {"source", "name", "scheme", "last_seen", "webhooks_24h", "set_aside_24h", "last_key"} <= set(jaki)
    assert "newkey" in desk.run("sources", "list").output


def test_page_says_the_same_in_both_languages_and_where_refusals_are_counted(desk: Desk) -> None:
    admin = desk.office.inside("adi")
    indonesian = admin.get("/desk/sources").text
    assert all(
        said in indonesian
        for said in (
            "Sumber laporan",
            "JAKI",
            "newkey",
            "1 bukan laporan yang sah",
            "bridge_webhooks_total",
            "belum pernah",
        )
    )
    admin.post("/language/en")
    english = admin.get("/desk/sources").text
    admin.post("/language/id")
    assert all(said in english for said in ("Sources of reports", "1 no valid report", "never", "1 h"))
