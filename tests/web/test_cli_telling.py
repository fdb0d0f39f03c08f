"""How people are told, and what became of it, from the command line."""

import pytest

from bridge.reports.breakers import TRIP_AFTER, failed
from bridge.storage.destinations import begin_trouble, end_trouble, save
from bridge.storage.told import replays_listed
from tests.web.keyboard import Desk


def notices(desk: Desk, *words: str) -> list[dict[str, str]]:
    return desk.rows("deliveries", "list", "--purpose", "notice", *words)


def test_wishes_of_a_person_are_set_shown_and_kept_apart_from_who_they_are(desk: Desk) -> None:
    words = ["--channels", "telegram:8123 email", "--quiet", "20:00-06:00", "--digest", "07:30 13:00"]
    said = desk.run("people", "tell", "ani", *words, "--off", "amended", "--stand-in", "budi")
    assert said.exit_code == 0, said.output
    again = desk.run("people", "tell", "ani").output
    for shown in ("telegram:8123 email", "20:00-06:00", "07:30 13:00", "amended", "budi"):
        assert shown in again
    change = ["people", "add", "ani", "--name", "Ani R", "--role", "officer", "--office", "bpsk-dki"]
    assert desk.run(*change).exit_code == 0
    assert "telegram:8123 email" in desk.run("people", "tell", "ani").output
    assert desk.run("people", "tell", "ani", "--quiet", "", "--stand-in", "").exit_code == 0
    assert "20:00" not in desk.run("people", "tell", "ani").output


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["--channels", "fax:1"], "no channel 'fax'; channels.toml has email"),
        (["--quiet", "night"], "write it like 20:00-06:00"),
        (["--digest", "7:30"], "write it like 07:30"),
        (["--off", "escalation"], "only warning, amended, withdrawn can"),
        (["--stand-in", "nobody"], "No person has the id nobody"),
        (["--stand-in", "ani"], "nobody stands in for themselves"),
    ],
)
def test_wish_that_cannot_be_is_refused_with_what_can(desk: Desk, words: list[str], remedy: str) -> None:
    before = desk.run("people", "tell", "ani").output
    refused = desk.run("people", "tell", "ani", *words)
    assert refused.exit_code == 1
    assert remedy in refused.output or remedy in str(refused.exception) or "nobody" in str(refused.exception)
    assert desk.run("people", "tell", "ani").output == before


def test_channels_are_listed_with_what_is_missing(desk: Desk) -> None:
    rows = {row["channel"]: row for row in desk.rows("channels", "list")}
    assert (rows["email"]["kind"], rows["email"]["state"]) == ("email", "closed")
    assert rows["email"]["people"] > 0
    assert rows["telegram"]["state"] == "TELEGRAM_URL is not set"


def test_channel_is_tried_and_says_what_was_answered(desk: Desk) -> None:
    words = ["--name", "Rini", "--role", "officer", "--office", "bpsk-dki"]
    assert desk.run("people", "add", "rini", *words).exit_code == 0
    nowhere = desk.run("channels", "test", "email", "--to", "rini")
    assert (nowhere.exit_code, "rini has no address on email" in nowhere.output) == (1, True)
    assert desk.run("people", "add", "rini", *words, "--email", "rini@bpsk.example").exit_code == 0
    taken = desk.run("channels", "test", "email", "--to", "rini")
    assert (taken.exit_code, "Taken by email" in taken.output) == (0, True)
    assert desk.run("people", "remove", "rini").exit_code == 0
    for words, said in ((["telegram"], "TELEGRAM_URL is not set"), (["fax"], "no channel 'fax'")):
        refused = desk.run("channels", "test", *words, "--to", "ani")
        assert (refused.exit_code, said in refused.output) == (1, True)


def test_doctor_names_a_destination_that_is_left_alone(desk: Desk) -> None:
    database = desk.office.service.database
    with database.write() as connection:
        breaker = begin_trouble(database, connection, "qlue")
        for _ in range(TRIP_AFTER):
            breaker = failed(breaker, now=database.now(connection), error="HTTP 503")
        save(connection, breaker)
    said = desk.run("doctor")
    assert said.exit_code == 1
    assert "FAIL destinations" in said.output
    assert "qlue failed 5 times in a row (HTTP 503)" in said.output
    with database.write() as connection:
        end_trouble(connection, "qlue")
    assert "ok   destinations" in desk.run("doctor").output


def test_delivery_is_shown_with_every_attempt(desk: Desk) -> None:
    row = notices(desk)[0]
    shown = desk.rows("deliveries", "show", row["id"])
    assert (shown["id"], shown["attempts_made"]) == (row["id"], [])
    assert row["ticket"] in desk.run("deliveries", "show", row["id"]).output
    refused = desk.run("deliveries", "show", "nothing")
    assert (refused.exit_code, "see: bridge deliveries list" in refused.output) == (1, True)


def test_delivery_is_sent_once_more_with_a_reason_and_pressed_twice_only_once(desk: Desk) -> None:
    row = notices(desk)[0]
    words = ["deliveries", "retry", row["id"], "--reason", "kotak surat diperbaiki"]
    assert "1 deliveries will be sent once more" in desk.run(*words).output
    assert "0 deliveries" in desk.run(*words).output
    assert "1 deliveries" in desk.run(*words, "--again").output
    assert desk.run("deliveries", "retry", row["id"]).exit_code == 2
    assert desk.run("deliveries", "retry", "nothing", "--reason", "x").exit_code == 1


def test_span_of_time_is_counted_then_sent_once_more_and_noted(desk: Desk) -> None:
    span = ["--purpose", "notice", "--since", "2020-01-01", "--until", "2099-01-01", "--reason", "server surat mati"]
    count = len(notices(desk))
    # Another test may have sent one of them once more a moment ago.
    assert f"{count} deliveries would be" in desk.run("deliveries", "replay", *span, "--dry-run", "--again").output
    assert f"{count} deliveries will be" in desk.run("deliveries", "replay", *span, "--again").output
    assert "0 deliveries" in desk.run("deliveries", "replay", *span).output
    with desk.office.service.database.read() as connection:
        note = replays_listed(connection)[0]
    assert (note["deliveries"], note["reason"], note["actor"].startswith("cli:")) == (count, "server surat mati", True)
    assert note["wanted"]["purpose"] == "notice"


def test_replay_without_a_beginning_is_wrong_usage(desk: Desk) -> None:
    assert desk.run("deliveries", "replay", "--reason", "x").exit_code == 2
    refused = desk.run("deliveries", "replay", "--reason", "x", "--since", "2026-11-02", "--until", "2026-11-01")
    assert (refused.exit_code, "--until must be later" in refused.output) == (1, True)


def test_deliveries_are_filtered_by_everything_one_asks_for(desk: Desk) -> None:
    rows = desk.rows("deliveries", "list")
    one = rows[0]
    for words in (
        ["--to", one["to"]],
        ["--channel", one["channel"]],
        ["--state", one["state"]],
        ["--ticket", one["ticket"]],
    ):
        found = desk.rows("deliveries", "list", *words)
        assert one["id"] in {row["id"] for row in found}
        key = {"--to": "to", "--channel": "channel", "--state": "state", "--ticket": "ticket"}[words[0]]
        assert {row[key] for row in found} == {one[key]}
    assert desk.rows("deliveries", "list", "--unheard") == []
    assert desk.rows("deliveries", "list", "--until", "2020-01-01") == []
