"""Steps 3 and 5: the office and the city are told once, again when it failed, and not when the reason has gone."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bridge.delivery.email import FileMailer
from bridge.delivery.errors import Taken
from bridge.delivery.smtp import SmtpMailer
from bridge.delivery.webhook import CityWebhook
from bridge.reports.channels import RETRY_AFTER_S
from bridge.reports.clocks import Kind
from bridge.reports.moves import Details
from bridge.reports.states import Move, Outcome
from bridge.reports.telling import JITTER
from bridge.signing import sending_key, signing_key, verify, verifying_key
from bridge.storage import deliveries as stored
from bridge.storage import outbox
from bridge.storage.database import DatabaseAway
from bridge.storage.deliveries import Begun
from consumers.attempts import Sending
from consumers.notify_office import NotifyOffice
from consumers.report_back import ReportBack
from consumers.telling import LEASE_S
from tests.servers import Answer, CityReceiver, Mail, Mailed, eventually
from tests.storage.crashes import LIMIT_S, Killed, killed_before, statements, together
from tests.storage.office import ANI, KEY, LINKS, PEOPLE, SOURCE, Office, by_mail

Opened = Callable[[], NotifyOffice]


@pytest.fixture
def new_notify(office: Office, mail: Mail) -> Iterator[Opened]:
    """Opens the step that tells the office, over a real mail server, as a process that starts does."""
    with ExitStack() as stack:

        def opened() -> NotifyOffice:
            mailer = SmtpMailer(mail.url)
            stack.callback(mailer.close)
            return by_mail(office, mailer)

        yield opened


@pytest.fixture
def notify(new_notify: Opened) -> NotifyOffice:
    """The step that tells the office."""
    return new_notify()


@pytest.fixture
def report_back(office: Office, city: CityReceiver) -> Iterator[ReportBack]:
    """The step that tells the city, over a real receiver."""
    step = ReportBack(office.database, {SOURCE: CityWebhook(city.url, signing_key(KEY))}, LINKS)
    yield step
    step.close()


def _due(office: Office, purpose: str) -> list[dict[str, Any]]:
    """Take the messages of a purpose whose time has come out of the outbox."""
    now = office.now()
    rows = [row for row in office.rows("outbox", type=f"{purpose}.due") if row["available_at"] <= now]
    with office.database.write() as connection:
        outbox.forget(connection, [row["id"] for row in rows])
    return [{"id": str(row["id"]), "type": row["type"], "data": row["data"]} for row in rows]


def _one(office: Office, purpose: str) -> dict[str, Any]:
    (row,) = office.rows("deliveries", purpose=purpose)
    return row


def test_notice_is_mailed_once_to_the_officer(office: Office, notify: NotifyOffice, mail: Mail) -> None:
    ticket = office.receive("Q-1", category="ASURANSI")
    notify.handle(_due(office, "notice"))
    (mailed,) = mail.messages
    row = _one(office, "notice")
    assert (mailed.recipients, row["state"], row["attempts"], row["channel"]) == (
        ("ani@bpsk.example",),
        "delivered",
        1,
        "email",
    )
    assert mailed.message["Message-ID"] == f"<{row['delivery_id']}@bpsk.example>"
    assert ticket in mailed.message["Subject"]
    assert (row["finished_at"] is not None, row["lease_until"], row["next_attempt_at"]) == (True, None, None)
    assert [(a["number"], a["outcome"]) for a in office.rows("delivery_attempts")] == [(1, "delivered")]


def test_mail_that_stands_for_several_steps_says_so(office: Office, notify: NotifyOffice, mail: Mail) -> None:
    office.use({Kind.ACKNOWLEDGE: [(3600, "role:chair", "notify"), (7200, "role:chair", "notify")]})
    office.receive("Q-1")
    notify.handle(_due(office, "notice"))
    office.pass_time(10_000)
    office.tick_all()
    notify.handle(_due(office, "notice"))
    first, digest = mail.messages
    assert "langkah" not in _text(first)
    assert "Sekaligus : 2 langkah yang terlewat" in _text(digest)


def _text(mailed: Mailed) -> str:
    part = mailed.message.get_body(("plain",))
    assert part
    return str(part.get_content())


def test_message_that_comes_again_sends_no_second_mail(office: Office, notify: NotifyOffice, mail: Mail) -> None:
    office.receive("Q-1")
    messages = _due(office, "notice")
    for _ in range(3):
        notify.handle(messages)
    assert len(mail.messages) == 1
    assert office.rows("outbox", type="notice.due") == []


def test_notice_is_suppressed_when_acknowledged_meanwhile(office: Office, notify: NotifyOffice, mail: Mail) -> None:
    ticket = office.receive("Q-1")
    messages = _due(office, "notice")
    office.casework.acknowledge(ticket, ANI)
    notify.handle(messages)
    row = _one(office, "notice")
    assert (row["state"], row["attempts"], mail.messages) == ("suppressed", 0, [])
    assert "person:ani" in row["last_error"]


def test_escalation_is_suppressed_when_acknowledged_between_firing_and_sending(
    office: Office, notify: NotifyOffice, mail: Mail
) -> None:
    ticket = office.receive("Q-1", category="ASURANSI")
    _due(office, "notice")
    office.pass_time(20_000)
    office.tick_all()
    messages = _due(office, "notice")
    office.casework.acknowledge(ticket, ANI)
    notify.handle(messages)
    states = {(row["event"], row["state"]) for row in office.rows("deliveries", event="escalation")}
    assert (states, mail.messages, len(messages)) == ({("escalation", "suppressed")}, [], 5)


@pytest.mark.parametrize("meanwhile", ["closed", "reopened", "assigned"])
def test_notice_whose_reason_has_gone_is_suppressed(
    office: Office, notify: NotifyOffice, mail: Mail, meanwhile: str
) -> None:
    ticket = office.receive("Q-1", category="ASURANSI")
    messages = _due(office, "notice")
    if meanwhile == "assigned":
        office.casework.assign(ticket, PEOPLE[1], ANI, "cuti")
    else:
        office.casework.acknowledge(ticket, ANI)
        office.casework.move(Move.CLOSE, ticket, ANI, Details(outcome=Outcome.SETTLED))
    if meanwhile == "reopened":
        office.casework.move(Move.REOPEN, ticket, ANI, Details(reason="belum"))
    notify.handle(messages)
    first = next(row for row in office.rows("deliveries") if row["delivery_id"] == messages[0]["data"]["delivery_id"])
    assert (first["state"], mail.messages) == ("suppressed", [])


def test_failed_mail_is_tried_again_on_schedule_under_the_same_id(
    office: Office, notify: NotifyOffice, mail: Mail
) -> None:
    office.receive("Q-1")
    mail.answer_next("451 4.3.0 later")
    notify.handle(_due(office, "notice"))
    row = _one(office, "notice")
    assert (row["state"], row["attempts"], row["last_error"][:3]) == ("failed", 1, "451")
    wait_s = (row["next_attempt_at"] - office.rows("delivery_attempts")[0]["at"]).total_seconds()
    assert RETRY_AFTER_S[0] <= wait_s <= RETRY_AFTER_S[0] * (1 + JITTER) + 60
    assert _due(office, "notice") == []
    office.pass_time(wait_s)
    notify.handle(_due(office, "notice"))
    assert (_one(office, "notice")["state"], len(mail.messages)) == ("delivered", 1)
    assert [a["outcome"] for a in office.rows("delivery_attempts")] == ["failed", "delivered"]


def test_old_message_of_a_failed_delivery_neither_sends_early_nor_doubles_the_retry(
    office: Office, notify: NotifyOffice, mail: Mail
) -> None:
    office.receive("Q-1")
    mail.answer_next("451 4.3.0 later")
    messages = _due(office, "notice")
    for _ in range(3):
        notify.handle(messages)
    assert (_one(office, "notice")["attempts"], len(office.rows("outbox", type="notice.due")), mail.messages) == (
        1,
        1,
        [],
    )


def test_delivery_is_given_up_after_the_last_try_and_stays_visible(
    office: Office, notify: NotifyOffice, mail: Mail
) -> None:
    office.receive("Q-1")
    mail.refuse()
    tries = 0
    while messages := _due(office, "notice"):
        notify.handle(messages)
        tries += 1
        office.pass_time(200_000)
        office.set("obligations", {"next_due": None})
    row = _one(office, "notice")
    assert (tries, row["attempts"], row["state"]) == (len(RETRY_AFTER_S) + 1, len(RETRY_AFTER_S) + 1, "given_up")
    assert {a["outcome"] for a in office.rows("delivery_attempts")} == {"failed", "given_up"}
    assert row["finished_at"] is not None


def test_permanent_refusal_is_given_up_at_once(office: Office, notify: NotifyOffice, mail: Mail) -> None:
    office.receive("Q-1")
    mail.refuse("550 5.1.1 no such mailbox")
    notify.handle(_due(office, "notice"))
    assert (_one(office, "notice")["state"], _due(office, "notice")) == ("given_up", [])


def test_person_who_has_left_is_given_up(office: Office, notify: NotifyOffice, mail: Mail) -> None:
    office.receive("Q-1", category="ASURANSI")
    office.set("people", {"active": 0}, person_id="ani")
    notify.handle(_due(office, "notice"))
    row = _one(office, "notice")
    assert (row["state"], row["last_error"], mail.messages) == ("given_up", "ani is no longer here", [])


def test_person_without_an_address_finds_it_on_the_desk(office: Office, notify: NotifyOffice, mail: Mail) -> None:
    office.set("people", {"email": ""})
    office.receive("Q-1")
    notify.handle(_due(office, "notice"))
    row = _one(office, "notice")
    assert (row["state"], row["channel"], mail.messages) == ("delivered", "desk", [])


def test_message_that_comes_again_while_it_is_being_sent_is_put_off(
    office: Office, notify: NotifyOffice, mail: Mail
) -> None:
    office.receive("Q-1")
    messages = _due(office, "notice")
    mail.delay_s = 0.5
    together(lambda: notify.handle(messages), lambda: _again_while_sending(office, messages))
    assert (len(mail.messages), _one(office, "notice")["state"]) == (1, "delivered")
    (put_off,) = office.rows("outbox", type="notice.due")
    lease = timedelta(seconds=LEASE_S)
    assert lease - timedelta(seconds=60) < put_off["available_at"] - office.now() <= lease + timedelta(seconds=2)
    office.pass_time(LEASE_S + 2)
    notify.handle(_due(office, "notice"))
    assert len(mail.messages) == 1


def _again_while_sending(office: Office, messages: list[dict[str, Any]]) -> None:
    eventually(lambda: _one(office, "notice")["state"] == "sending", LIMIT_S)
    other = by_mail(office, _Nobody())
    other.handle(messages)


class _Nobody:
    def send(self, message: Any) -> None:
        raise AssertionError("sent although somebody else is at it")


def test_death_between_sending_and_recording_repeats_the_mail_under_the_same_id(
    office: Office, notify: NotifyOffice, new_notify: Opened, mail: Mail
) -> None:
    office.receive("Q-1")
    messages = _due(office, "notice")

    def die_when_sent(_: str) -> None:
        if mail.messages:
            raise Killed

    with pytest.raises(Killed), statements(office.database, die_when_sent):
        notify.handle(messages)
    assert _one(office, "notice")["state"] == "sending"
    another = new_notify()
    another.handle(messages)  # comes again, as nobody acked it: somebody may still be at it
    assert len(mail.messages) == 1
    office.pass_time(LEASE_S + 2)
    another.handle(_due(office, "notice"))
    assert (_one(office, "notice")["state"], len(mail.messages)) == ("delivered", 2)
    assert len({mailed.message["Message-ID"] for mailed in mail.messages}) == 1


def test_database_that_goes_away_after_sending_costs_no_second_mail(
    office: Office, notify: NotifyOffice, mail: Mail
) -> None:
    office.receive_many(3)
    messages = _due(office, "notice")

    def break_when_sent(_: str) -> None:
        if len(mail.messages) == 2:
            raise sa.exc.OperationalError("", {}, Exception("gone"))

    with pytest.raises(DatabaseAway), statements(office.database, break_when_sent):
        notify.handle(messages)
    notify.handle(messages)  # as the worker does, until it is back
    assert len(mail.messages) == 3
    rows = office.rows("deliveries", purpose="notice")
    assert [(row["state"], row["attempts"]) for row in rows] == [("delivered", 1)] * 3


def test_what_was_sent_while_the_database_was_away_is_written_without_another_message(
    office: Office, notify: NotifyOffice, mail: Mail
) -> None:
    office.receive("Q-1")
    messages = _due(office, "notice")

    def break_when_sent(_: str) -> None:
        if mail.messages:
            raise sa.exc.OperationalError("", {}, Exception("gone"))

    with statements(office.database, break_when_sent):
        with pytest.raises(DatabaseAway):
            notify.handle(messages)
        assert not notify.settled()
    assert notify.settled()
    assert (len(mail.messages), _one(office, "notice")["state"]) == (1, "delivered")


def test_what_waits_behind_a_slow_one_is_looked_at_again(
    office: Office, notify: NotifyOffice, mail: Mail, monkeypatch: pytest.MonkeyPatch
) -> None:
    tickets = office.receive_many(2)
    monkeypatch.setattr("consumers.telling.LOOK_AGAIN_S", 0.0)
    send = notify.send

    def acknowledged_while_sending(sending: Sending) -> Taken:
        taken = send(sending)
        other = next(ticket for ticket in tickets if ticket != sending.first.row["ticket"])
        office.casework.acknowledge(other, ANI)
        return taken

    monkeypatch.setattr(notify, "send", acknowledged_while_sending)
    notify.handle(_due(office, "notice"))
    rows = office.rows("deliveries", event="new_report")
    assert sorted((row["state"], row["attempts"]) for row in rows) == [("delivered", 1), ("suppressed", 1)]
    assert len(mail.messages) == 1


def test_death_between_any_two_statements_loses_no_notice(office: Office, new_notify: Opened, mail: Mail) -> None:
    number, died = 0, True
    while died:
        number += 1
        office.receive(f"Q-{number}")
        messages = _due(office, "notice")
        died = killed_before(office.database, number, partial(new_notify().handle, messages))
        notify = new_notify()
        notify.handle(messages)
        office.pass_time(LEASE_S + 2)
        notify.handle(_due(office, "notice"))
    sent = Counter(str(mailed.message["Message-ID"]) for mailed in mail.messages)
    assert number > 8
    assert {row["state"] for row in office.rows("deliveries", purpose="notice")} == {"delivered"}
    assert len(sent) == number
    assert set(sent.values()) <= {1, 2}


@pytest.mark.parametrize("step", ["before the attempt is noted", "after it is noted"])
def test_death_before_sending_only_delays_the_mail(office: Office, notify: NotifyOffice, mail: Mail, step: str) -> None:
    office.receive("Q-1")
    messages = _due(office, "notice")
    if step == "before the attempt is noted":
        assert killed_before(office.database, 2, lambda: notify.handle(messages))
        assert _one(office, "notice")["state"] == "pending"
    else:
        row = _one(office, "notice")
        with office.database.write() as connection:
            until = office.now() + timedelta(seconds=LEASE_S)
            begun = Begun(row["delivery_id"], 1, "email")
            stored.begin(office.database, connection, [begun], now=office.now(), lease_until=until)
        office.pass_time(LEASE_S + 2)
    notify.handle(messages)
    assert (_one(office, "notice")["state"], len(mail.messages)) == ("delivered", 1)


def test_notice_that_cannot_be_written_is_tried_on_schedule_and_given_up(office: Office, notify: NotifyOffice) -> None:
    """A fault of ours must not come back for ever, nor be lost without a word."""
    office.receive("Q-1")
    office.set("deliveries", {"payload": {"deadline_at": "no instant"}}, purpose="notice")
    tries = 0
    while messages := _due(office, "notice"):
        notify.handle(messages)
        tries += 1
        assert tries < 20, "it never ends"
        office.pass_time(200_000)
        office.set("obligations", {"next_due": None})
    row = _one(office, "notice")
    assert (row["state"], row["attempts"]) == ("given_up", len(RETRY_AFTER_S) + 1)
    assert "no instant" in row["last_error"]


def test_mail_in_a_folder_is_whole_and_one_per_notice(office: Office, tmp_path: Path) -> None:
    notify = by_mail(office, FileMailer(tmp_path / "mail"))
    office.receive_many(3)
    notify.handle(_due(office, "notice"))
    names = {f"{row['delivery_id']}.eml" for row in office.rows("deliveries", purpose="notice")}
    assert {path.name for path in (tmp_path / "mail").iterdir()} == names
    assert {row["state"] for row in office.rows("deliveries", purpose="notice")} == {"delivered"}


def test_city_is_told_once_signed_and_with_the_state(
    office: Office, report_back: ReportBack, city: CityReceiver
) -> None:
    ticket = office.receive("Q-1")
    messages = _due(office, "callback")
    for _ in range(2):
        report_back.handle(messages)
    (posted,) = city.requests
    event = json.loads(posted.body)
    assert verify([signing_key(KEY)], posted.headers, posted.body, now_s=float(posted.headers["webhook-timestamp"]))
    assert posted.headers["webhook-id"] == _one(office, "callback")["delivery_id"]
    assert (event["data"]["ticket"], event["data"]["sequence"], event["data"]["status"]) == (ticket, 1, "received")
    assert _one(office, "callback")["state"] == "delivered"


def test_city_that_trusts_a_public_key_verifies_what_only_ours_can_sign(office: Office, city: CityReceiver) -> None:
    private = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
    public = verifying_key("whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=")
    office.receive("Q-1")
    step = ReportBack(office.database, {SOURCE: CityWebhook(city.url, sending_key(private))}, LINKS)
    step.handle(_due(office, "callback"))
    step.close()
    (posted,) = city.requests
    assert posted.headers["webhook-signature"].startswith("v1a,")
    assert verify([public], posted.headers, posted.body, now_s=float(posted.headers["webhook-timestamp"]))


def test_city_is_told_everything_even_when_it_is_no_longer_so(
    office: Office, report_back: ReportBack, city: CityReceiver
) -> None:
    ticket = office.receive("Q-1")
    office.casework.acknowledge(ticket, ANI)
    while messages := _due(office, "callback"):
        report_back.handle(messages)
    assert [json.loads(posted.body)["data"]["status"] for posted in city.requests] == ["received", "acknowledged"]


def test_answer_no_database_can_keep_holds_up_nobody_else(
    office: Office, report_back: ReportBack, city: CityReceiver
) -> None:
    """PostgreSQL takes no NUL: one city's garbage must not stop all that this worker has to tell."""
    office.receive_many(2)
    city.answer_next(Answer(500, body=b"\0 oops \xff"))
    report_back.handle(_due(office, "callback"))
    first, second = sorted(office.rows("deliveries", purpose="callback"), key=lambda row: str(row["state"]))
    assert (first["state"], second["state"]) == ("delivered", "failed")
    assert "oops" in second["last_error"]


def test_outcome_that_cannot_be_written_stands_in_nobodys_way(
    office: Office, notify: NotifyOffice, mail: Mail, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = office.receive("Q-1")
    messages = _due(office, "notice")
    write = notify._write

    def refuse_the_first(outcome: Any) -> None:
        if outcome.sending.first.row["ticket"] == first:
            raise ZeroDivisionError
        write(outcome)

    monkeypatch.setattr(notify, "_write", refuse_the_first)
    with pytest.raises(ZeroDivisionError):
        notify.handle(messages)
    second = office.receive("Q-2")
    notify.handle(_due(office, "notice"))
    states = {row["ticket"]: row["state"] for row in office.rows("deliveries", purpose="notice")}
    assert states == {first: "sending", second: "delivered"}
    monkeypatch.undo()
    office.pass_time(LEASE_S + 2)
    notify.handle(messages)
    assert {row["state"] for row in office.rows("deliveries", purpose="notice")} == {"delivered"}
    assert len(mail.messages) == 3


def test_retry_after_of_the_city_is_kept(office: Office, report_back: ReportBack, city: CityReceiver) -> None:
    office.receive("Q-1")
    city.answer_next(Answer(503, {"Retry-After": "1200"}))
    report_back.handle(_due(office, "callback"))
    row = _one(office, "callback")
    assert 1100 <= (row["next_attempt_at"] - office.now()).total_seconds() <= 1200
    office.pass_time(1200)
    report_back.handle(_due(office, "callback"))
    assert (_one(office, "callback")["state"], len(city.requests)) == ("delivered", 2)
    assert len({posted.headers["webhook-id"] for posted in city.requests}) == 1


def test_source_without_an_address_any_more_is_given_up(office: Office) -> None:
    office.receive("Q-1")
    ReportBack(office.database, {}, LINKS).handle(_due(office, "callback"))
    assert _one(office, "callback")["state"] == "given_up"


def test_message_for_a_delivery_that_does_not_exist_is_dropped(office: Office, report_back: ReportBack) -> None:
    report_back.handle(
        [{"id": "1", "type": "callback.due", "data": {"delivery_id": "00000000-0000-0000-0000-000000000000"}}]
    )
    assert office.rows("deliveries") == []
