"""What `bridge` commands print and do, and the `--json` keys scripts hold on to."""

import csv
import io
import json
from pathlib import Path

import pytest

from bridge.broker.embedded import QueueStore, payload_of
from bridge.open311.amending import UPDATES
from bridge.open311.form import Form
from bridge.storage import webhooks
from bridge.vault import data_key, new_data_key
from config.settings import SETTINGS
from tests.broker.queues import webhook
from tests.servers import free_port
from tests.web.keyboard import Desk, assert_refused
from tests.web.office import CANARIES
from tests.web.processes import ROOT, report

# --- looking --------------------------------------------------------------------------------------------------------


def test_reports_have_the_promised_keys_and_no_contacts(desk: Desk) -> None:
    promised = "ticket report_id source external_id status office assignee cycle received_at obligations".split()
    rows, shown = desk.rows("reports", "list"), desk.rows("reports", "show", desk.ticket.lower())
    assert all(set(promised) <= set(row) for row in rows)
    assert set(promised) | {"history"} <= set(shown)
    assert {"kind", "state", "next_due", "level"} <= set(shown["obligations"][0])
    texts = json.dumps([rows, shown]) + desk.run("reports", "show", desk.ticket).output
    assert not [canary for canary in CANARIES.values() if canary in texts]


def test_contact_is_masked_unless_revealed_and_each_look_is_kept(desk: Desk) -> None:
    masked = {"name": "S••• K•••", "phone": "+6••••••77", "email": "s•••@warga.example"}
    assert desk.rows("reports", "show", desk.ticket)["contact"] == masked
    assert desk.rows("reports", "looks", desk.ticket) == []
    assert CANARIES["phone"] in desk.run("reports", "show", desk.ticket, "--reveal").output
    assert desk.rows("reports", "show", desk.ticket, "--reveal")["contact"]["name"] == CANARIES["name"]
    looks = desk.rows("reports", "looks", desk.ticket)
    assert [(look["actor"].partition(":")[0], look["what"]) for look in looks] == [("cli", "contact")] * 2
    assert "cli:" in desk.run("reports", "looks", desk.ticket).output


def test_what_citizens_added_by_open311_is_shown_whole_and_without_who_sent_it(desk: Desk) -> None:
    service, report = desk.office.service, desk.office.report(desk.ticket)
    posted = [("status", "OPEN"), ("description", "y" * 25_000), ("media_url", "https://foto.example/1.jpg")]
    bodies = [Form.posted([*posted, ("email", CANARIES["email"])]).body(report.received_at), b"sealed elsewhere"]
    rows = [
        {"source": "qlue", "webhook_id": f"{UPDATES}{n}", "report_id": report.report_id, "effect": "amended", "sha256": "0" * 64}
        | {"received_at": report.received_at, "body": body if n else service.arrivals.vault.seal(body)}
        for n, body in enumerate(bodies)
    ]  # fmt: skip
    with service.database.write() as connection:
        webhooks.remember(connection, rows)
    shown = desk.run("reports", "updates", desk.ticket).output
    assert "y" * 25_000 in shown
    assert "https://foto.example/1.jpg" in shown
    assert "sealed with a key that is not here" in shown
    assert CANARIES["email"] not in shown
    assert [row.get("status") for row in desk.rows("reports", "updates", desk.ticket)] == ["OPEN", None]


def test_escalations_have_the_promised_keys_newest_first(desk: Desk) -> None:
    promised = "seq ticket cycle kind level due_at fired_at lateness_s to did delivered hash".split()
    rows = desk.rows("escalations", "list", "--ticket", desk.ticket.replace("-", "").lower())
    assert all(set(promised) <= set(row) for row in rows)
    assert [row["level"] for row in rows] == [3, 2, 1]
    assert [row["level"] for row in desk.rows("escalations", "list", "--level", "2", "--ticket", desk.ticket)] == [2]


def test_log_is_exported_whole_and_in_order_as_csv_and_json(desk: Desk) -> None:
    rows = json.loads(desk.run("escalations", "export", "--format", "json").stdout)
    lines = list(csv.DictReader(io.StringIO(desk.run("escalations", "export").stdout)))
    assert [line["fired_at"] for line in lines] == sorted(line["fired_at"] for line in lines)
    assert [(line["ticket"], int(line["level"])) for line in lines] == [(row["ticket"], row["level"]) for row in rows]
    assert {row["level"] for row in rows} >= {0, 1, 2, 3}, "warnings too"


def test_changed_row_of_the_log_is_found_by_verify(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    assert "The chain is whole: 5 rows" in desk.run("escalations", "verify").output
    with desk.office.service.database.write() as connection:
        for (trigger,) in connection.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            connection.exec_driver_sql(f"DROP TRIGGER {trigger}")
        connection.exec_driver_sql("UPDATE escalations SET told = '[]' WHERE level = 2")
    broken = desk.run("escalations", "verify")
    desk.office.close()
    assert (broken.exit_code, "broken at number 4" in broken.output) == (1, True)


def test_deliveries_have_the_promised_keys(desk: Desk) -> None:
    promised = "id ticket purpose channel to state attempts next_attempt_at".split()
    rows = desk.rows("deliveries", "list", "--state", "pending")
    assert rows
    assert all(set(promised) <= set(row) and row["state"] == "pending" for row in rows)


def test_tail_ends_when_its_time_is_over(desk: Desk) -> None:
    assert desk.run("escalations", "tail", "--limit-s", "0.1").exit_code == 0


def test_route_of_a_report_is_explained(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_bytes(report(category="ASURANSI"))
    answer = desk.rows("routes", "test", str(file))
    assert (answer["office"], answer["element"], answer["policy"]) == ("bpsk-dki", "consumer", "default")
    assert answer["explanation"]
    file.write_bytes(report(category="AIR"))
    assert "selebihnya" in desk.run("routes", "test", str(file)).output
    file.write_bytes(report(title=None))
    refused = desk.run("routes", "test", str(file))
    assert (refused.exit_code, "data.title" in refused.output) == (1, True)


# --- people ---------------------------------------------------------------------------------------------------------


def test_person_is_added_changed_and_let_go(desk: Desk) -> None:
    words = ["people", "add", "rina", "--name", "Rina", "--role", "officer", "--office", "bpsk-dki"]
    assert desk.run(*words).exit_code == 0
    assert desk.run(*words, "--email", "rina@bpsk.example").exit_code == 0
    rina = [person for person in desk.rows("people", "list") if person["person_id"] == "rina"]
    assert [(r["name"], r["email"], r["present"], r["open_reports"]) for r in rina] == [
        ("Rina", "rina@bpsk.example", True, 0)
    ]
    assert "password_hash" not in rina[0]
    assert desk.run("people", "remove", "rina").exit_code == 0
    assert "rina" not in {person["person_id"] for person in desk.rows("people", "list")}
    for wrong in (["--email", "no address"], ["--office", "nowhere"]):
        assert desk.run(*words, *wrong).exit_code == 1


def test_absence_says_from_when_until_when_and_is_taken_back(desk: Desk) -> None:
    def present() -> bool:
        return bool({person["person_id"]: person["present"] for person in desk.rows("people", "list")}["budi"])

    said = desk.run("people", "absent", "budi", "--until", "2030-12-28").output
    assert "until Saturday, 28 Dec 2030 00:00 WIB" in said
    assert not present()
    assert desk.run("people", "absent", "budi", "--back").exit_code == 0
    assert present()
    for wrong in (
        ["--until", "2020-01-01"],
        ["--from", "2030-02-02", "--until", "2030-02-01"],
        ["--until", "tomorrow"],
    ):
        assert desk.run("people", "absent", "budi", *wrong).exit_code == 1
    assert present()


def test_password_lets_in_and_short_ones_are_refused(desk: Desk) -> None:
    assert desk.run("people", "password", "darma", "--stdin", typed="kurang\n").exit_code == 1
    assert desk.run("people", "password", "darma", "--stdin", typed="sandi yang panjang\n").exit_code == 0
    assert desk.office.visitor().log_in("darma", "sandi yang panjang").status_code == 302
    twice = desk.run("people", "password", "darma", typed="sandi lain panjang\nsandi lain panjang\n")
    assert (twice.exit_code, "sandi lain" in twice.output) == (0, False)


def test_token_opens_the_api_and_the_one_before_no_longer_does(desk: Desk) -> None:
    tokens = [desk.run("people", "token", "kartika").output.strip() for _ in range(2)]
    client = desk.office.visitor().client
    statuses = [
        client.get("/api/v1/reports", headers={"Authorization": f"Bearer {token}"}).status_code for token in tokens
    ]
    assert statuses == [401, 200]


def test_report_is_acknowledged_moved_and_assigned_from_the_keyboard(desk: Desk) -> None:
    ticket = desk.office.new_report()
    for words, said in (
        (["ack", ticket, "--person", "ani"], "is acknowledged."),
        (["ack", ticket], "acknowledged before"),
        (["assign", ticket, "budi", "--reason", "cuti"], "is with Budi"),
        (["move", ticket, "register", "--case-number", "1/REG"], "is registered."),
        (["meet", ticket, "summons"], "summons is met"),
        (["move", ticket, "close", "--outcome", "settled"], "is closed (settled)."),
    ):
        assert said in desk.run("reports", *words).output
    shown = desk.rows("reports", "show", ticket)
    assert (shown["assignee"], shown["case_number"], shown["outcome"]) == ("budi", "1/REG", "settled")
    assert desk.run("reports", "meet", ticket, "summons").exit_code == 1


# --- configuration and health ---------------------------------------------------------------------------------------


def test_settings_lists_every_setting_and_never_a_secret(desk: Desk) -> None:
    rows = desk.rows("settings")
    assert [row["name"] for row in rows] == [setting.name for setting in SETTINGS]
    assert all({"name", "meaning", "unit", "default", "set"} == set(row) for row in rows)
    text = desk.run("settings", BRIDGE_SECRET_KEY="this must not be printed").output
    assert "BRIDGE_SECRET_KEY [24+ bytes]  (set)" in text
    assert "this must not be printed" not in text


def test_config_check_lists_all_faults_of_all_files_with_their_places(desk: Desk, tmp_path: Path) -> None:
    for file in ("sources.toml", "offices.toml", "policies.toml", "routing.toml"):
        (tmp_path / file).write_text((ROOT / "config" / file).read_text())
    (tmp_path / "calendars").mkdir()
    (tmp_path / "calendars/jakarta.toml").write_text('zone = "Mars"\nhours = {}\n')
    (tmp_path / "sources.toml").write_text('[qlue]\nname = "Qlue"\nscheme = "none"\n')
    (tmp_path / "offices.toml").write_text('[bpsk-dki]\nname = "BPSK"\ncalendar = "bandung"\nphoen = "1"\n')
    (tmp_path / "policies.toml").write_text(
        '[default.acknowledge]\nspan = "four hours"\nladder = []\n[default.tea]\nspan = "1 hour"\n'
    )
    (tmp_path / "routing.toml").write_text('[[rule]]\nname = "x"\noffice = "bpsk-dki"\nwhen = {colour = ["red"]}\n')
    done = desk.really_run("config", "check", BRIDGE_CONFIG_DIR=str(tmp_path))
    for place in (
        "calendars/jakarta.toml: zone: 'Mars'",
        "sources.toml: qlue.scheme: ",
        "sources.toml: qlue.secret: ",
        "offices.toml: bpsk-dki.phoen: ",
        "policies.toml: default.acknowledge.span: 'four hours'",
        "policies.toml: default.acknowledge.ladder: ",
        "policies.toml: default.tea: no such clock",
        "routing.toml: rule[1].when",
    ):
        assert place in done.stderr
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)


def test_config_check_of_an_empty_folder_names_every_missing_file(desk: Desk, tmp_path: Path) -> None:
    done = desk.really_run("config", "check", BRIDGE_CONFIG_DIR=str(tmp_path))
    assert_refused(done, f"missing from {tmp_path}; copy the shipped one and edit it")
    for file in ("sources.toml", "offices.toml", "policies.toml", "routing.toml"):
        assert f"{file}: missing" in done.stderr


def test_config_check_of_the_shipped_files_is_good_and_notes_missing_keys(desk: Desk) -> None:
    every = {"JAKI_WEBHOOK_SECRET": "j" * 24, "OPEN311_API_KEY": "o" * 24}
    *notes, last = desk.run("config", "check", **every).output.splitlines()
    assert last.startswith("All good: 3 sources")
    assert [note[:40] for note in notes] == ["Note: calendars/jakarta.toml: holidays o"], (
        "nobody has confirmed 2027 yet"
    )
    noted = desk.run("config", "check", QLUE_WEBHOOK_SECRET="").output
    assert "QLUE_WEBHOOK_SECRET is not set, so it answers 401 to everybody" in noted


def test_doctor_names_each_fault_and_what_to_do(desk: Desk, tmp_path: Path) -> None:
    smtp = f"smtp://127.0.0.1:{free_port()}"
    result = desk.run("doctor", BRIDGE_DATA_DIR=str(tmp_path), QLUE_WEBHOOK_SECRET="", BRIDGE_SMTP_URL=smtp)
    assert result.exit_code == 1
    for said in (
        "FAIL configuration",
        "FAIL database",
        "run: bridge migrate",
        "FAIL mail",
        "check BRIDGE_SMTP_URL",
        "ok   queue",
    ):
        assert said in result.output
    late = desk.run("doctor").output
    assert "start: bridge work watch_clocks" in late


def test_new_data_key_is_printed_alone_with_where_to_put_it_beside(desk: Desk) -> None:
    made = desk.run("data-key", "new")
    data_key(made.stdout.strip())
    assert "BRIDGE_DATA_KEY" in made.stderr


def test_keys_are_rotated_and_the_doctor_says_when_one_is_missing(tmp_path: Path) -> None:
    desk, old, new = Desk(tmp_path), new_data_key(), new_data_key()
    both = f"{new} {old}"
    assert "2 looked at, sealed 2: " in desk.run("data-key", "apply", BRIDGE_DATA_KEY=old).output
    counted = desk.run("data-key", "apply", "--dry-run", BRIDGE_DATA_KEY=both)
    assert "2 looked at, would seal 2: " in counted.output
    assert "sealed with a key that is not here" in desk.run("doctor", BRIDGE_DATA_KEY=new).output
    lost = desk.run("data-key", "apply", BRIDGE_DATA_KEY=new)
    assert (lost.exit_code, "2 remain that no key opens" in lost.output) == (1, True)
    refused = desk.really_run("reports", "show", desk.ticket, "--reveal", BRIDGE_DATA_KEY=new)
    assert_refused(refused, "no key in BRIDGE_DATA_KEY opens this")
    assert desk.run("data-key", "apply", BRIDGE_DATA_KEY=both).exit_code == 0
    assert "ok   data key" in desk.run("doctor", BRIDGE_DATA_KEY=new).output
    assert CANARIES["phone"] in desk.run("reports", "show", desk.ticket, "--reveal", BRIDGE_DATA_KEY=new).output
    desk.office.close()


def test_doctor_finds_what_lies_in_clear(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with desk.office.service.database.write() as connection:
        connection.exec_driver_sql('UPDATE reports SET reporter = \'{"name": "Siti"}\'')
    assert "1 of 2 looked at lie in clear; run: bridge data-key apply" in desk.run("doctor").output
    desk.office.close()


def test_doctor_counts_the_reports_that_wait_for_the_queue(desk: Desk, tmp_path: Path) -> None:
    away = f"amqp://guest:guest@127.0.0.1:{free_port()}/x"
    keys = {"BRIDGE_SECRET_KEY": "s" * 24, "BRIDGE_TICKET_KEY": "t" * 24}
    before = desk.run("doctor", BRIDGE_BROKER_URL=away, BRIDGE_DATA_DIR=str(tmp_path), **keys).output
    assert "ok   spool" in before
    store = QueueStore(tmp_path / "spool.sqlite3")
    store.put([("bridge.intake", payload_of(webhook("w1")))] * 3)
    store.close()
    floor = {"BRIDGE_SPOOL_FLOOR_MB": "1000000"}
    said = desk.run("doctor", BRIDGE_BROKER_URL=away, BRIDGE_DATA_DIR=str(tmp_path), **keys, **floor).output
    assert "FAIL spool" in said
    assert "3 reports have waited since" in said
    assert "the disk is down to BRIDGE_SPOOL_FLOOR_MB" in said
    assert "cannot be" not in said.partition("spool")[2].partition("clocks")[0]


@pytest.mark.parametrize("damage", ["row", "file"])
def test_doctor_says_what_to_do_about_a_damaged_spool(desk: Desk, tmp_path: Path, damage: str) -> None:
    away = f"amqp://guest:guest@127.0.0.1:{free_port()}/x"
    keys = {"BRIDGE_SECRET_KEY": "s" * 24, "BRIDGE_TICKET_KEY": "t" * 24}
    path = tmp_path / "spool.sqlite3"
    if damage == "row":
        store = QueueStore(path)
        store.put([("bridge.intake", "damaged"), ("bridge.intake", payload_of(webhook("w1")))])
        store.close()
        expected = ["2 reports have waited since", "1 reports in the spool cannot be read"]
    else:
        path.write_bytes(b"no database at all" * 1000)
        expected = ["the spool's file cannot be used (file is not a database)", "it is left as it is"]
    result = desk.run("doctor", BRIDGE_BROKER_URL=away, BRIDGE_DATA_DIR=str(tmp_path), **keys)
    assert (result.exit_code, "FAIL spool" in result.output) == (1, True)
    for part in [*expected, "docs/operations.md, A damaged spool"]:
        assert part in result.output


def test_doctor_finds_a_queue_that_is_away(desk: Desk) -> None:
    away = f"amqp://guest:guest@127.0.0.1:{free_port()}//"
    result = desk.run("doctor", BRIDGE_BROKER_URL=away, BRIDGE_SECRET_KEY="s" * 24, BRIDGE_TICKET_KEY="t" * 24)
    assert (result.exit_code, "FAIL queue" in result.output) == (1, True)


def test_escalations_can_be_asked_for_what_is_still_open(desk: Desk) -> None:
    everything, still_open = desk.rows("escalations", "list"), desk.rows("escalations", "list", "--open")
    assert {row["ticket"] for row in still_open} == {row["ticket"] for row in everything if not row["answered"]}
    assert desk.rows("escalations", "list", "--office", "nowhere") == []


# --- forgetting -----------------------------------------------------------------------------------------------------


def test_report_is_forgotten_after_a_yes_and_every_page_says_so(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    forget = ["forget", desk.ticket, "--reason", "permintaan pelapor"]
    assert desk.run(*forget, typed="n\n").exit_code == 1
    assert_refused(desk.really_run(*forget, "--yes"), "the report is open")
    assert "1 webhooks emptied" in desk.run(*forget, "--even-open", typed="y\n").output
    again = desk.run(*forget, "--yes")
    assert (again.exit_code, "was forgotten before" in again.output) == (0, True)
    page = desk.office.inside("sekar").get(f"/desk/reports/{desk.ticket}").text
    citizen = desk.office.visitor().get(f"/track/{desk.ticket}").text
    assert "Data pribadi laporan ini dihapus pada" in page
    assert "permintaan pelapor" in page
    assert "Data pribadi Anda dalam laporan ini sudah dihapus" in citizen
    kept = json.dumps(desk.rows("reports", "show", desk.ticket, "--reveal"))
    gone = [CANARIES[name] for name in ("name", "phone", "email", "description")]
    assert [canary for canary in gone if canary in page + citizen + kept] == []
    assert "The chain is whole: 5 rows" in desk.run("escalations", "verify").output
    desk.office.close()
