"""One test per promise to a user, on both engines, with real processes from the webhook to the callback."""

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Any

import requests

from bridge.reports.states import Move, Outcome
from bridge.reports.tickets import ticket_for
from bridge.signing import signing_key, verify
from tests.running import FAST, KEY, LADDER, Running
from tests.servers import eventually


def test_report_nobody_acknowledges_reaches_the_chair_and_the_citizen_sees_it(running: Running) -> None:
    ticket = running.send("J-1", category=FAST).json()["ticket"]

    eventually(lambda: len(running.escalations(ticket)) >= len(LADDER), 60, "every rung of the ladder")
    rows = running.escalations(ticket)
    eventually(lambda: running.mails_to("kartika", ticket), 20, "mail to the chair")
    page = running.track(ticket)

    assert [row["target"] for row in rows] == list(LADDER)
    assert [row["level"] for row in rows] == [1, 2, 3, 4, 5]
    assert "Ketua BPSK" in page
    assert 'class="status merah"' in page


def test_who_does_not_answer_is_replaced_by_the_next_member(running: Running) -> None:
    ticket = running.send("J-2", category=FAST).json()["ticket"]
    eventually(lambda: running.escalations(ticket), 30, "the first rung")

    report = running.report(ticket)
    routed = next(line["data"] for line in report["history"] if line["event"] == "routed")
    handed_over = next(line["data"] for line in report["history"] if line["event"] == "reassigned")

    assert handed_over["of"] == routed["to"]
    assert report["assignee"] == handed_over["to"] != routed["to"]
    eventually(lambda: running.mails_to(report["assignee"], ticket), 20, "mail to the new assignee")


def test_acknowledged_report_escalates_no_further_and_the_city_is_told(running: Running) -> None:
    ticket = running.send("J-3").json()["ticket"]
    eventually(lambda: running.callbacks("J-3"), 20, "the first callback")

    running.command("reports", "ack", ticket, "--person", "ani")

    last = eventually(lambda: [c for c in running.callbacks("J-3") if c["status"] == "acknowledged"], 20)[-1]
    assert (last["colour"], last["sequence"]) == ("kuning", 2)
    assert 'class="status kuning"' in running.track(ticket)
    assert running.report(ticket)["owed"]["acknowledge"] == "met"


def test_officer_acknowledges_with_the_link_in_the_mail(running: Running) -> None:
    ticket = running.send("J-4").json()["ticket"]
    assignee = eventually(lambda: running.report(ticket), 20)["assignee"]
    mail = eventually(lambda: running.mails_to(assignee, ticket), 20, "the notice")[0]
    link = re.search(r"http\S+/a/\S+", mail.get_body(("plain",)).get_content())
    assert link

    with requests.Session() as browser:
        shown = browser.get(link[0], timeout=10)
        assert running.report(ticket)["status"] == "received", "looking must not acknowledge"
        token = re.search(r'name="csrf_token" value="([^"]+)"', shown.text)
        assert token
        browser.post(link[0], data={"csrf_token": token[1]}, headers={"Referer": link[0]}, timeout=10)

    assert running.report(ticket)["status"] == "acknowledged"


def test_same_webhook_sent_twice_is_one_report_and_one_notice(running: Running) -> None:
    first, second = running.send("J-5"), running.send("J-5")
    ticket = first.json()["ticket"]
    marker = running.send("J-5-after").json()["ticket"]
    eventually(lambda: [m for p in ("ani", "budi", "citra") for m in running.mails_to(p, marker)], 20)

    notices = [m for p in ("ani", "budi", "citra") for m in running.mails_to(p, ticket)]

    assert {key: first.json()[key] for key in ("ticket", "report_id", "status", "sha256")} == {
        key: second.json()[key] for key in ("ticket", "report_id", "status", "sha256")
    }
    assert len(notices) == 1


def test_authentic_but_invalid_report_is_kept_whole_and_listed(running: Running) -> None:
    answer = running.post(b'{"type": "report.submitted", "data": {"id": "J-6"}}', "msg-J-6")

    listed = eventually(lambda: "msg-J-6" in running.command("set-aside", "list"), 20)

    assert listed
    assert (answer.status_code, answer.json()["status"]) == (202, "set_aside")
    assert answer.json()["problems"]


def test_invalid_report_is_mended_and_released_on_the_page_and_keeps_the_time_it_first_came(running: Running) -> None:
    invalid = {"type": "report.submitted", "timestamp": "2026-11-23T10:00:00+07:00", "data": {"id": "J-6b"}}
    answer = running.post(json.dumps(invalid).encode(), "msg-J-6b").json()
    assert answer["status"] == "set_aside"
    listed = eventually(lambda: _aside(running, "msg-J-6b"), 20, "it is on the list")

    invalid["data"] |= {"title": "Klaim ditolak", "description": "Tanpa alasan."}  # type: ignore[operator]
    page = f"{running.desk}/desk/set-aside/{listed['id']}"
    with requests.Session() as browser:
        _log_in(running, browser, "sekar")
        form = {"csrf_token": _token(browser.get(page, timeout=10).text), "reason": "judul dari telepon"}
        form |= {"body": json.dumps(invalid)}
        done = browser.post(f"{page}/release", data=form, headers={"Referer": page}, timeout=10)
    assert "judul dari telepon" in done.text

    ticket = ticket_for(running.service.settings.ticket_key, "qlue", "J-6b")
    report = eventually(lambda: running.report(ticket), 20, "the report")
    assert report["received_at"].isoformat() == answer["received_at"]
    assert report["owed"] == {"acknowledge": "running", "triage": "running"}
    assert 'class="status merah"' in running.track(ticket)
    eventually(lambda: running.callbacks("J-6b"), 20, "the city is told")
    again = running.post(json.dumps(invalid).encode(), "msg-J-6c").json()
    assert (again["status"], again["ticket"]) == ("accepted", ticket)


def test_message_an_older_version_left_in_the_queue_is_mended_at_the_keyboard_and_taken_in(running: Running) -> None:
    body = json.dumps(
        {"type": "report.submitted", "timestamp": "2026-11-23T10:00:00+07:00",
         "data": {"id": "J-6d", "title": "Klaim", "description": "Ditolak."}}
    ).encode()  # fmt: skip
    digest = hashlib.sha256(body).hexdigest()
    old = running.service.arrivals.sealed("qlue", "msg-J-6d", "", datetime.now(UTC), digest, body)
    del old.data["key_id"]
    running.service.publisher.publish([old], timeout_s=20)
    listed = eventually(lambda: _aside(running, old.id), 40, "it is on the list")
    assert listed["source"] == "bridge.intake.dead"
    assert "key_id: Missing data for required field." in listed["reasons"][1]

    number = str(listed["id"])
    letter = json.loads(running.command("set-aside", "show", number, "--raw"))
    letter["data"]["key_id"] = ""
    running.command("set-aside", "fix", number, "-", "--reason", "dari versi lama", stdin=json.dumps(letter))
    running.command("set-aside", "release", number, "--reason", "dari versi lama")

    ticket = ticket_for(running.service.settings.ticket_key, "qlue", "J-6d")
    eventually(lambda: running.report(ticket), 20, "the report")
    assert number not in {str(row["id"]) for row in json.loads(running.command("set-aside", "list", "--json"))}


def _aside(running: Running, webhook_id: str) -> dict[str, Any]:
    """Return the line of what waits under an id; empty while it is not there."""
    rows = json.loads(running.command("set-aside", "list", "--json"))
    return next((row for row in rows if row["webhook_id"] == webhook_id), {})


def _token(page: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found
    return found[1]


def _log_in(running: Running, browser: requests.Session, name: str) -> None:
    running.command("people", "password", name, "--stdin", stdin="kata sandi yang panjang\n")
    address = f"{running.desk}/desk/login"
    form = {
        "csrf_token": _token(browser.get(address, timeout=10).text),
        "name": name,
        "password": "kata sandi yang panjang",
    }
    assert browser.post(address, data=form, headers={"Referer": address}, timeout=10).status_code == 200


def test_report_withdrawn_before_it_arrives_is_closed_at_once(running: Running) -> None:
    running.send("J-7", type_="report.withdrawn", data={}, at="2026-11-23T10:05:00+07:00")
    ticket = running.send("J-7", at="2026-11-23T10:00:00+07:00").json()["ticket"]

    report = eventually(lambda: running.report(ticket), 20)

    assert (report["status"], report["outcome"]) == ("closed", "withdrawn")
    assert set(report["owed"].values()) == {"cancelled"}


def test_amendment_changes_the_report_and_tells_the_officer(running: Running) -> None:
    ticket = running.send("J-8").json()["ticket"]
    eventually(lambda: running.report(ticket), 20)

    running.send("J-8", type_="report.amended", data={"title": "Judul baru J-8"}, at="2026-11-23T11:00:00+07:00")

    report = eventually(lambda: (r := running.report(ticket))["title"] == "Judul baru J-8" and r, 20)
    assert [line["data"]["fields"] for line in report["history"] if line["event"] == "amended"] == [["title"]]
    eventually(lambda: any("diperbarui" in str(m["Subject"]) for m in running.mails_to(report["assignee"], ticket)), 20)


def test_reopened_report_starts_a_new_cycle_with_a_new_clock(running: Running) -> None:
    ticket = running.send("J-9").json()["ticket"]
    eventually(lambda: running.report(ticket), 20)
    running.acknowledge(ticket)
    running.move(Move.CLOSE, ticket, outcome=Outcome.SETTLED)

    running.move(Move.REOPEN, ticket, reason="belum selesai")

    report = running.report(ticket)
    assert (report["status"], report["cycle"]) == ("received", 2)
    assert report["owed"] == {"acknowledge": "running", "triage": "running"}
    eventually(lambda: len(running.callbacks("J-9")) >= 4, 20, "four callbacks")
    in_order = sorted(running.callbacks("J-9"), key=lambda c: int(c["sequence"]))
    assert [c["colour"] for c in in_order] == ["merah", "kuning", "hijau", "merah"]


def test_citizen_who_never_completes_is_reminded_then_closed_as_incomplete(running: Running) -> None:
    ticket = running.send("J-10", category=FAST).json()["ticket"]
    eventually(lambda: running.report(ticket), 20)
    running.acknowledge(ticket)

    running.move(Move.ASK_COMPLETION, ticket, missing=("bukti pembelian",))

    assert running.report(ticket)["owed"]["triage"] == "paused"
    report = eventually(lambda: (r := running.report(ticket))["status"] == "closed" and r, 40)
    assert report["outcome"] == "incomplete"
    assert "bukti pembelian" in str([c["next_step"] for c in running.callbacks("J-10")])


def test_registered_case_starts_the_statutory_clock_and_never_earlier(running: Running) -> None:
    ticket = running.send("J-11").json()["ticket"]
    before = eventually(lambda: running.report(ticket), 20)["owed"]
    running.acknowledge(ticket)

    running.command("reports", "move", ticket, "register", "--case-number", "017/REG/BPSK-DKI/XI/2026")

    after = running.report(ticket)["owed"]
    assert "decision" not in before
    assert (after["decision"], after["triage"]) == ("running", "met")


def test_callbacks_are_signed_and_rise_in_sequence(running: Running) -> None:
    ticket = running.send("J-12", category=FAST).json()["ticket"]
    eventually(lambda: len(running.callbacks("J-12")) >= 6, 60, "received and five escalations")

    posted = [p for p in list(running.city.requests) if ticket.encode() in p.body]

    for one in posted:
        at = float(one.headers["webhook-timestamp"])
        assert verify([signing_key(KEY)], one.headers, one.body, now_s=at)
    sequences = sorted(c["sequence"] for c in running.callbacks("J-12"))
    assert sequences == list(range(1, len(sequences) + 1))


def test_citizens_page_holds_nothing_personal(running: Running) -> None:
    ticket = running.send("J-13").json()["ticket"]
    eventually(lambda: running.report(ticket), 20)

    page = running.track(ticket)

    for canary in ("Sri Kanaria", "0000-7777", "PT Kenari", "Klaim ditolak"):
        assert canary not in page


def test_office_system_acknowledges_through_the_api(running: Running) -> None:
    ticket = running.send("J-14").json()["ticket"]
    eventually(lambda: running.report(ticket), 20)
    token = running.command("people", "token", "budi").strip()

    answer = requests.post(
        f"{running.desk}/api/v1/reports/{ticket}/acknowledge", headers={"Authorization": f"Bearer {token}"}, timeout=10
    )

    assert (answer.status_code, answer.json()["status"], answer.json()["changed"]) == (200, "acknowledged", True)
    assert running.report(ticket)["assignee"] == "budi"


def test_doctor_finds_nothing_wrong_with_a_running_installation(running: Running) -> None:
    said = running.command("doctor", check=False)

    assert "ok   database" in said
    assert "ok   queue" in said
    assert "no watcher" not in said


def test_auditor_finds_nobody_overlooked_in_a_running_installation(running: Running) -> None:
    def state() -> dict[str, object]:
        return dict(json.loads(running.command("engine", "status", "--json")))

    eventually(lambda: state()["audited_at"], 20, "the first audit")
    eventually(lambda: not state()["findings"], 40, "an audit without findings")


def test_escalation_log_is_a_whole_chain(running: Running) -> None:
    said = running.command("escalations", "verify")

    assert "The chain is whole" in said
