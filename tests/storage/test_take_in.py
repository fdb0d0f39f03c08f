"""Step 1: whatever the city sends, in whatever order and however often: one report, nothing lost."""

import hashlib
from collections import Counter
from datetime import timedelta

import pytest
import sqlalchemy as sa

from bridge.reports.states import Outcome, Status
from bridge.reports.tickets import ticket_for
from bridge.storage import people
from bridge.storage.database import Conflict
from bridge.storage.tables import metadata
from tests.storage.crashes import together
from tests.storage.office import SOURCE, TICKET_KEY, Office, body, id_of, one_message, plain, webhook

#: What a city may send that is authentic and no report.
NOT_REPORTS = {
    "not json": b'{"type": ',
    "not utf-8": b"\xff\xfe{}",
    "nothing": b"",
    "no object": b"[1, 2]",
    "not a number": b'{"data": NaN}',
    "too deep": b"[" * 3000,
    "key with NUL twice": b'{"a\\u0000": 1, "a\\u0000": 2}',
    "key with half a character twice": b'{"\\ud800": 1, "\\ud800": 2}',
    "unknown type": b'{"type": "report.\\u0000", "timestamp": "2026-11-23T10:00:00Z", "data": {}}',
    "no title": b'{"type": "report.submitted", "timestamp": "2026-11-23T10:00:00Z", "data": {"id": "Q-1"}}',
    "NUL in the title": body("Q-1", title="a\x00b"),
    "a time without zone": body("Q-1", at="2026-11-23T10:00:00"),
}


def test_webhook_is_stored_byte_for_byte(office: Office) -> None:
    content = b'  {"type" : "report.submitted","timestamp":"2026-11-23T10:00:00+07:00",\n "data": {"id":"Q-1","title":"\xc3\xa9",  "description":"x","new":1e3}}\r\n'
    office.handle([webhook(content, "msg-1")])
    (kept,) = office.rows("webhooks")
    assert (plain(kept), kept["sha256"]) == (content, hashlib.sha256(content).hexdigest())
    assert (kept["source"], kept["webhook_id"], kept["report_id"], kept["effect"]) == (
        SOURCE,
        "msg-1",
        id_of("Q-1"),
        "created",
    )


def test_report_clocks_history_notice_and_callback_are_there_after_one_message(office: Office) -> None:
    ticket = office.receive("Q-1", category="ASURANSI", amount_idr=12_500_000, reporter={"domicile": "31.74"})
    report = office.report(ticket)
    assert (report.status, report.assignee, report.amount_idr, report.sequence) == (
        Status.RECEIVED,
        "ani",
        12_500_000,
        1,
    )
    assert report.routing[-1].startswith("jasa keuangan")
    assert office.clocks(ticket) == {"acknowledge": "running", "triage": "running"}
    assert [line["event"] for line in office.rows("history")] == ["received", "routed"]
    told = {(d["purpose"], d["recipient"], d["state"]) for d in office.rows("deliveries")}
    assert told == {("notice", "ani", "pending"), ("callback", SOURCE, "pending")}
    messages = {(m["type"], m["data"]["delivery_id"]) for m in office.rows("outbox")}
    assert messages == {(f"{d['purpose']}.due", d["delivery_id"]) for d in office.rows("deliveries")}


def test_clock_starts_when_the_office_has_the_report_not_when_the_city_says(office: Office) -> None:
    before = office.now()
    office.receive("Q-1", at="2020-01-01T00:00:00Z")
    for clock in office.rows("obligations"):
        assert before <= clock["started_at"] <= office.now()
    acknowledge = office.rows("obligations", kind="acknowledge")[0]
    assert acknowledge["next_due"] - acknowledge["started_at"] == timedelta(hours=1)


def test_same_webhook_again_is_one_report_and_one_notice(office: Office) -> None:
    content = body("Q-1")
    office.handle([webhook(content, "msg-1")])
    before = office.snapshot()
    office.handle([webhook(content, "msg-1")])
    assert office.snapshot() == before


def test_same_webhook_twice_in_one_batch_is_one_report(office: Office) -> None:
    content = body("Q-1")
    office.handle(
        [webhook(content, "msg-1"), one_message({"msg-1": content, "msg-2": body("Q-2")}), webhook(content, "msg-1")]
    )
    assert [row["external_id"] for row in sorted(office.rows("reports"), key=lambda r: r["external_id"])] == [
        "Q-1",
        "Q-2",
    ]
    assert [row["webhook_id"] for row in office.rows("webhooks")] == ["msg-1", "msg-2"]


def test_same_webhooks_from_four_workers_at_once_are_one_report_each(office: Office) -> None:
    messages = [webhook(body(f"Q-{number}"), f"msg-{number}") for number in range(20)]
    together(*(lambda o=order: office.handle(o) for order in (messages, messages[::-1], messages, messages[::-1])))
    assert len(office.rows("reports")) == len(office.rows("webhooks")) == 20
    assert Counter(d["purpose"] for d in office.rows("deliveries")) == {"notice": 20, "callback": 20}
    assert len(office.rows("outbox")) == 40
    assert office.rows("set_aside") == []


def test_same_id_with_another_body_is_set_aside_once_and_changes_nothing(office: Office) -> None:
    office.handle([webhook(body("Q-1"), "msg-1")])
    before = office.snapshot()
    other = body("Q-2")
    for _ in range(3):
        office.handle([webhook(other, "msg-1"), webhook(other, "msg-1")])
    (aside,) = office.rows("set_aside")
    assert (aside["why"], aside["state"], plain(aside), aside["webhook_id"]) == (
        "id_reused",
        "waiting",
        other,
        "msg-1",
    )
    assert {**office.snapshot(), "set_aside": []} == before


def test_same_id_with_another_body_in_one_batch_keeps_the_first(office: Office) -> None:
    office.handle([webhook(body("Q-1"), "msg-1"), webhook(body("Q-2"), "msg-1")])
    assert [row["external_id"] for row in office.rows("reports")] == ["Q-1"]
    assert [row["why"] for row in office.rows("set_aside")] == ["id_reused"]


def test_same_webhook_id_of_another_source_is_another_webhook(office: Office) -> None:
    other = webhook(body("Q-1"), "msg-1")
    other["data"]["source"] = "jaki"
    office.handle([webhook(body("Q-1"), "msg-1"), other])
    assert len(office.rows("reports")) == len(office.rows("webhooks")) == 2
    assert office.rows("set_aside") == []


@pytest.mark.parametrize("content", NOT_REPORTS.values(), ids=NOT_REPORTS)
def test_what_is_no_report_is_kept_whole_and_set_aside_with_the_reason(office: Office, content: bytes) -> None:
    office.handle([webhook(content, "msg-1")])
    (aside,), (kept,) = office.rows("set_aside"), office.rows("webhooks")
    assert plain(aside) == plain(kept) == content
    assert not content or content not in bytes(kept["body"])
    assert (aside["why"], kept["effect"], kept["report_id"]) == ("invalid", "set_aside", None)
    assert all(aside["reasons"]) and aside["reasons"]
    assert office.rows("reports") == []


def test_one_that_is_no_report_among_a_hundred_stops_no_other(office: Office) -> None:
    contents = {f"msg-{number}": body(f"Q-{number}") for number in range(99)}
    office.handle([webhook(content, key) for key, content in contents.items()] + [webhook(b"{}", "msg-bad")])
    assert len(office.rows("reports")) == 99
    assert [row["webhook_id"] for row in office.rows("set_aside")] == ["msg-bad"]
    assert len(office.rows("webhooks")) == 100


def test_second_submission_under_another_webhook_id_amends_and_is_no_second_report(office: Office) -> None:
    ticket = office.receive("Q-1", title="lama")
    office.receive("Q-1", webhook_id="msg-2", title="baru", at="2026-11-23T11:00:00+07:00")
    assert (len(office.rows("reports")), office.report(ticket).title) == (1, "baru")
    assert [d["event"] for d in office.rows("deliveries", event="amended")] == ["amended"]


def test_two_reports_never_share_a_ticket(office: Office) -> None:
    office.receive("Q-1")
    office.set("reports", {"ticket": ticket_for(TICKET_KEY, SOURCE, "Q-2")}, external_id="Q-1")
    before = office.snapshot()
    with pytest.raises(Conflict):
        office.take_in.handle([webhook(body("Q-2"), "msg-2")])
    assert office.snapshot() == before
    assert office.report(ticket_for(TICKET_KEY, SOURCE, "Q-2")).external_id == "Q-1"


def test_amendment_and_withdrawal_before_the_submission_wait_for_it(office: Office) -> None:
    ticket = office.receive("Q-1", "report.withdrawn", at="2026-11-23T12:00:00+07:00")
    office.receive("Q-1", "report.amended", title="baru", at="2026-11-23T11:00:00+07:00")
    assert office.rows("reports") == []
    assert {row["effect"] for row in office.rows("webhooks")} == {"waiting"}
    office.receive("Q-1", title="lama", at="2026-11-23T10:00:00+07:00")
    report = office.report(ticket)
    assert (report.title, report.status, report.outcome) == ("baru", Status.CLOSED, Outcome.WITHDRAWN)
    assert set(office.clocks(ticket).values()) == {"cancelled"}
    assert Counter(row["effect"] for row in office.rows("webhooks")) == {"applied": 2, "created": 1}


def test_amendment_and_withdrawal_before_the_submission_in_one_batch_are_applied(office: Office) -> None:
    early = [("report.withdrawn", "12"), ("report.amended", "11"), ("report.submitted", "10")]
    contents = {
        f"msg-{hour}": body("Q-1", kind, at=f"2026-11-23T{hour}:00:00Z", **({} if hour == "12" else {"title": hour}))
        for kind, hour in early
    }
    office.handle([one_message(contents)])
    (report,) = office.rows("reports")
    assert (report["title"], report["status"], report["outcome"]) == ("11", "closed", "withdrawn")
    assert {row["state"] for row in office.rows("obligations")} == {"cancelled"}
    assert Counter(row["effect"] for row in office.rows("webhooks")) == {"applied": 2, "created": 1}


def test_withdrawal_ends_every_clock_and_tells_the_officer(office: Office) -> None:
    ticket = office.receive("Q-1")
    office.receive("Q-1", "report.withdrawn")
    assert office.report(ticket).outcome == Outcome.WITHDRAWN
    assert set(office.clocks(ticket).values()) == {"cancelled"}
    assert [d["recipient"] for d in office.rows("deliveries", event="withdrawn")] == [office.report(ticket).assignee]


def test_older_amendment_is_kept_but_changes_nothing(office: Office) -> None:
    ticket = office.receive("Q-1", title="sekarang", at="2026-11-23T10:00:00Z")
    office.receive("Q-1", "report.amended", title="dulu", at="2026-11-23T09:00:00Z")
    assert office.report(ticket).title == "sekarang"
    assert [row["effect"] for row in office.rows("webhooks", type="report.amended")] == ["late"]


def test_new_report_goes_to_the_desk_with_the_fewest_open_also_within_a_batch(office: Office) -> None:
    office.receive_many(30)
    assert Counter(row["assignee"] for row in office.rows("reports")) == {"ani": 10, "budi": 10, "citra": 10}


def test_closed_reports_do_not_count_as_load(office: Office) -> None:
    office.receive_many(6)
    office.set("reports", {"status": "closed", "outcome": "settled"}, assignee="citra")
    office.receive("Q-new")
    assert office.rows("reports", external_id="Q-new")[0]["assignee"] == "citra"


def test_absent_officer_gets_no_report(office: Office) -> None:
    with office.database.write() as connection:
        people.set_absence(connection, "ani", office.now() - timedelta(days=1), office.now() + timedelta(days=1))
    office.receive_many(4)
    assert Counter(row["assignee"] for row in office.rows("reports")) == {"budi": 2, "citra": 2}


def test_report_with_nobody_present_is_taken_in_without_an_assignee(office: Office) -> None:
    office.set("people", {"active": 0})
    ticket = office.receive("Q-1")
    assert office.report(ticket).assignee is None
    assert office.clocks(ticket)["acknowledge"] == "running"


def test_every_webhook_has_exactly_one_fate(office: Office) -> None:
    """Nothing in `webhooks` without a report, a place aside, or a reason to wait; nothing beside it."""
    contents = {"msg-bad": b"{}", "msg-wait": body("Q-late", "report.amended", title="x")}
    contents |= {f"msg-{number}": body(f"Q-{number % 7}", at=f"2026-11-23T10:00:{number:02}Z") for number in range(20)}
    office.handle([one_message(contents)])
    assert Counter(r["effect"] for r in office.rows("webhooks")) == {
        "set_aside": 1,
        "waiting": 1,
        "created": 7,
        "unchanged": 13,
    }
    joined = metadata.tables["webhooks"].join(
        metadata.tables["reports"], sa.text("webhooks.report_id = reports.report_id")
    )
    with office.database.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(joined)).scalar_one() == 20
