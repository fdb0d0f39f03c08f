"""People are told by their channels in order, once by each; not when they sleep, not in a flood, never not at all."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from bridge.delivery.outlets import ByWebhook
from bridge.delivery.smtp import SmtpMailer
from bridge.delivery.webhook import CityWebhook
from bridge.reports.breakers import TRIP_AFTER
from bridge.reports.channels import Channel, Flood, Ways
from bridge.reports.clocks import Kind
from bridge.resending import resend
from bridge.signing import signing_key, verify
from bridge.storage import outbox
from bridge.storage.told import Wanted
from consumers.notify_office import NotifyOffice
from schemas.office import NoticeSchema, OfficeNoticeSchema
from tests.servers import CityReceiver, Mail, Mailed
from tests.storage.crashes import Killed, killed_before, statements, together
from tests.storage.office import ANI, KEY, PEOPLE, Office, by_mail

CHANNELS = {"email": Channel("email"), "office": Channel("office")}
#: Quiet at every time of the day but one minute, and so whenever the test runs.
ALWAYS_QUIET = "00:01-00:00"


@pytest.fixture
def system() -> Iterator[CityReceiver]:
    """The office's own system."""
    server = CityReceiver()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def notify(office: Office, mail: Mail, system: CityReceiver) -> Iterator[NotifyOffice]:
    """The step, with mail and the office's own system."""
    made = step(office, SmtpMailer(mail.url), system)
    yield made
    made.close()


def step(office: Office, mailer: Any, system: CityReceiver, flood: Flood = Flood(0)) -> NotifyOffice:  # noqa: B008
    """Return the step as a process has it."""
    own = ByWebhook(CityWebhook(system.url, signing_key(KEY)))
    return by_mail(office, mailer, Ways(CHANNELS, flood=flood), office=own)


def due(office: Office) -> list[dict[str, Any]]:
    """Take the notices' messages whose time has come."""
    now = office.now()
    rows = [row for row in office.rows("outbox", type="notice.due") if row["available_at"] <= now]
    with office.database.write() as connection:
        outbox.forget(connection, [row["id"] for row in rows])
    return [{"id": str(row["id"]), "type": row["type"], "data": row["data"]} for row in rows]


def work(office: Office, notify: NotifyOffice) -> None:
    """Handle what is due until nothing is."""
    while messages := due(office):
        notify.handle(messages)


def wish(office: Office, person_id: str = "ani", **wishes: Any) -> None:
    office.set("people", wishes, person_id=person_id)


def only_ani(office: Office) -> None:
    """Let every report lie on Ani's desk."""
    for person in ("budi", "citra"):
        office.set("people", {"active": 0}, person_id=person)


def until_tomorrow(office: Office) -> None:
    """Let a day pass in which no clock fires: only what waited is due."""
    office.pass_time(86_400)
    office.set("obligations", {"next_due": None})


def text_of(mailed: Mailed) -> str:
    """Return the words of a mail."""
    return str(mailed.message.get_body(("plain",)).get_content())  # type: ignore[union-attr]


def notices(office: Office, **wanted: Any) -> list[dict[str, Any]]:
    return office.rows("deliveries", purpose="notice", **wanted)


# -- by which channel ---------------------------------------------------------------------------------------------


def test_person_is_told_by_their_first_channel_signed_and_without_the_citizens_data(
    office: Office, notify: NotifyOffice, mail: Mail, system: CityReceiver
) -> None:
    only_ani(office)
    wish(office, channels=["office", "email"])
    ticket = office.receive("Q-1", reporter={"name": "Sri Kanaria", "phone": "+62 812-0000-7777"})
    work(office, notify)
    (posted,) = system.requests
    event = json.loads(posted.body)
    assert verify([signing_key(KEY)], posted.headers, posted.body, now_s=float(posted.headers["webhook-timestamp"]))
    assert (event["type"], event["data"]["ticket"], event["data"]["to"]["person_id"]) == (
        "notice.new_report",
        ticket,
        "ani",
    )
    assert event["data"]["acknowledge_url"].startswith("https://jembatan.example/a/")
    assert OfficeNoticeSchema().validate(event) == {}
    assert NoticeSchema(unknown="exclude").validate(event["data"]) == {}
    assert b"Kanaria" not in posted.body
    assert b"0000-7777" not in posted.body
    (row,) = notices(office)
    assert (row["channel"], row["state"], mail.messages) == ("office", "delivered", [])


def test_notice_that_a_channel_refuses_for_good_goes_on_by_the_next(
    office: Office, notify: NotifyOffice, mail: Mail, system: CityReceiver
) -> None:
    only_ani(office)
    wish(office, channels=["email", "office"])
    office.receive("Q-1")
    mail.refuse("550 5.1.1 no such mailbox")
    work(office, notify)
    rows = {row["channel"]: row for row in notices(office)}
    assert (rows["email"]["state"], rows["email"]["fell_back_to"], rows["email"]["fault"]) == (
        "given_up",
        "office",
        "refused",
    )
    assert (rows["office"]["state"], len(system.requests)) == ("delivered", 1)


def test_notice_goes_on_by_the_next_channel_when_the_first_one_has_failed_for_so_long(
    office: Office, notify: NotifyOffice, mail: Mail, system: CityReceiver
) -> None:
    only_ani(office)
    wish(office, channels=["email", "office"])
    office.receive("Q-1")
    mail.refuse("451 4.3.0 later")
    waited = 0
    while not system.requests:
        work(office, notify)
        office.pass_time(60)
        waited += 60
        assert waited < 2000, "told nobody"
    assert CHANNELS["email"].fallback_s - 1800 <= waited <= CHANNELS["email"].fallback_s + 60
    assert Counter(row["state"] for row in notices(office)) == {"given_up": 1, "delivered": 1}


def test_channel_that_keeps_failing_sends_everything_by_the_next_at_once(
    office: Office, notify: NotifyOffice, mail: Mail, system: CityReceiver
) -> None:
    only_ani(office)
    wish(office, channels=["office", "email"])
    office.receive_many(TRIP_AFTER)
    system.answer_always(503)
    work(office, notify)
    assert (len(system.requests), len(mail.messages)) == (TRIP_AFTER, 0)
    office.receive("Q-100")
    work(office, notify)
    assert (len(system.requests), len(mail.messages)) == (TRIP_AFTER, 1), "asked a channel known to be away"


def test_last_channel_that_fails_leaves_it_on_the_list_of_what_nobody_heard(
    office: Office, notify: NotifyOffice, mail: Mail, system: CityReceiver
) -> None:
    only_ani(office)
    wish(office, channels=["email", "office"])
    office.receive("Q-1")
    mail.refuse("550 5.1.1 no such mailbox")
    system.answer_always(410)
    work(office, notify)
    rows = {row["channel"]: row["fell_back_to"] for row in notices(office, state="given_up")}
    assert rows == {"email": "office", "office": None}


def test_nobody_is_told_twice_by_one_channel_whatever_comes_again(
    office: Office, notify: NotifyOffice, mail: Mail, system: CityReceiver
) -> None:
    only_ani(office)
    wish(office, channels=["email", "office"])
    office.receive("Q-1")
    mail.refuse("550 5.1.1 no such mailbox")
    messages = due(office)
    for _ in range(3):
        notify.handle(messages)
        work(office, notify)
    assert (len(system.requests), len(notices(office))) == (1, 2)


def test_notice_sent_once_more_that_fails_again_is_not_told_twice_by_the_next_channel(
    office: Office, notify: NotifyOffice, mail: Mail, system: CityReceiver
) -> None:
    only_ani(office)
    wish(office, channels=["email", "office"])
    office.receive("Q-1")
    mail.refuse("550 5.1.1 no such mailbox")
    work(office, notify)
    (first,) = notices(office, channel="email")
    resend(office.database, Wanted(delivery_ids=[first["delivery_id"]]), actor="cli:uji", reason="uji")
    work(office, notify)
    assert (len(system.requests), len(notices(office))) == (1, 2)


# -- not now ------------------------------------------------------------------------------------------------------


def test_what_has_no_hurry_waits_for_the_end_of_quiet_hours_and_comes_together(
    office: Office, notify: NotifyOffice, mail: Mail
) -> None:
    only_ani(office)
    wish(office, quiet=ALWAYS_QUIET)
    tickets = office.receive_many(3)
    work(office, notify)
    assert (mail.messages, {row["held"] for row in notices(office)}) == ([], {"quiet"})
    until_tomorrow(office)
    work(office, notify)
    (mailed,) = mail.messages
    text = text_of(mailed)
    assert all(ticket in text for ticket in tickets)
    assert {(row["state"], row["held"]) for row in notices(office)} == {("delivered", None)}


def test_what_climbed_to_somebody_wakes_them(office: Office, notify: NotifyOffice, mail: Mail) -> None:
    wish(office, "kartika", quiet=ALWAYS_QUIET)
    office.use({Kind.ACKNOWLEDGE: [(3600, "role:chair", "notify")]})
    office.receive("Q-1")
    office.pass_time(4000)
    office.tick_all()
    work(office, notify)
    assert [mailed.recipients for mailed in mail.messages if "kartika@bpsk.example" in mailed.recipients]


def test_digest_comes_at_its_time_without_what_was_done_meanwhile(
    office: Office, notify: NotifyOffice, mail: Mail
) -> None:
    only_ani(office)
    wish(office, digest="00:00")
    first, second, third = office.receive_many(3)
    work(office, notify)
    assert {row["held"] for row in notices(office)} == {"digest"}
    office.casework.acknowledge(second, ANI)
    until_tomorrow(office)
    work(office, notify)
    (mailed,) = mail.messages
    text = text_of(mailed)
    assert [ticket in text for ticket in (first, second, third)] == [True, False, True]
    assert Counter(row["state"] for row in notices(office)) == {"delivered": 2, "suppressed": 1}


def test_burst_becomes_a_few_mails_and_one_digest_while_every_clock_runs(
    office: Office, mail: Mail, system: CityReceiver
) -> None:
    only_ani(office)
    notify = step(office, SmtpMailer(mail.url), system, Flood(20, 600, 60))
    tickets = office.receive_many(200)
    work(office, notify)
    assert len(mail.messages) == 20
    clocks = office.rows("obligations", kind="acknowledge")
    assert len(clocks) == 200
    assert {clock["state"] for clock in clocks} == {"running"}
    office.pass_time(60)
    work(office, notify)
    assert len(mail.messages) == 21
    texts = " ".join(text_of(one) for one in mail.messages)
    assert [ticket for ticket in tickets if ticket not in texts] == []
    assert {row["state"] for row in notices(office)} == {"delivered"}
    notify.close()


def test_two_processes_at_once_send_no_more_single_notices_than_one(
    office: Office, mail: Mail, system: CityReceiver
) -> None:
    only_ani(office)
    one, other = (step(office, SmtpMailer(mail.url), system, Flood(3, 600, 60)) for _ in range(2))
    office.receive_many(30)
    messages = due(office)
    together(lambda: one.handle(messages[::2]), lambda: other.handle(messages[1::2]))
    assert len(mail.messages) == 3
    one.close()
    other.close()


def test_two_processes_gather_one_persons_notices_into_one_digest(
    office: Office, mail: Mail, system: CityReceiver
) -> None:
    only_ani(office)
    one, other = (step(office, SmtpMailer(mail.url), system, Flood(2, 600, 60)) for _ in range(2))
    office.receive_many(40)
    work(office, one)
    assert len(mail.messages) == 2
    office.pass_time(60)
    messages = due(office)
    together(lambda: one.handle(messages[::2]), lambda: other.handle(messages[1::2]))
    work(office, one)
    assert len(mail.messages) == 3
    one.close()
    other.close()


def test_digest_to_an_offices_own_system_holds_each_notice(
    office: Office, notify: NotifyOffice, system: CityReceiver
) -> None:
    only_ani(office)
    wish(office, digest="00:00", channels=["office"])
    tickets = office.receive_many(3)
    work(office, notify)
    until_tomorrow(office)
    work(office, notify)
    (posted,) = system.requests
    event = json.loads(posted.body)
    assert OfficeNoticeSchema().validate(event) == {}
    assert (event["type"], sorted(one["ticket"] for one in event["data"]["notices"])) == (
        "notice.digest",
        sorted(tickets),
    )


def test_digest_that_failed_comes_again_whole_and_under_the_same_id(
    office: Office, notify: NotifyOffice, mail: Mail
) -> None:
    only_ani(office)
    wish(office, digest="00:00")
    office.receive_many(3)
    work(office, notify)
    until_tomorrow(office)
    mail.answer_next("451 4.3.0 later")
    work(office, notify)
    (digest_id,) = {row["digest_id"] for row in notices(office)}
    office.pass_time(400)
    work(office, notify)
    (mailed,) = mail.messages
    assert mailed.message["Message-ID"].startswith(f"<{digest_id}@")
    assert {(row["state"], row["attempts"]) for row in notices(office)} == {("delivered", 2)}


def test_death_after_sending_a_digest_repeats_it_once_under_the_same_id(
    office: Office, notify: NotifyOffice, mail: Mail, system: CityReceiver
) -> None:
    only_ani(office)
    wish(office, digest="00:00")
    office.receive_many(3)
    work(office, notify)
    until_tomorrow(office)

    def die_when_sent(_: str) -> None:
        if mail.messages:
            raise Killed

    with pytest.raises(Killed), statements(office.database, die_when_sent):
        notify.handle(due(office))
    another = step(office, SmtpMailer(mail.url), system)
    for row in notices(office):
        another.handle([{"data": {"delivery_id": row["delivery_id"]}}])
    office.pass_time(100)
    work(office, another)
    assert len(mail.messages) == 2
    assert len({mailed.message["Message-ID"] for mailed in mail.messages}) == 1
    assert {row["state"] for row in notices(office)} == {"delivered"}
    another.close()


@pytest.mark.parametrize("gather", [Flood(2, 600, 60), Flood(0)])
def test_death_between_any_two_statements_loses_nobody(
    office: Office, mail: Mail, system: CityReceiver, gather: Flood
) -> None:
    only_ani(office)
    wish(office, channels=["office", "email"])
    system.answer_always(410)
    made: list[NotifyOffice] = []

    def opened() -> NotifyOffice:
        made.append(step(office, SmtpMailer(mail.url), system, gather))
        return made[-1]

    number, died = 0, True
    while died and number < 60:
        number += 1
        office.receive(f"Q-{number}")
        messages = due(office)
        died = killed_before(office.database, number, partial(opened().handle, messages))
        again = opened()
        again.handle(messages)
        office.pass_time(100)
        work(office, again)
    office.pass_time(100)
    work(office, opened())
    told = " ".join(text_of(one) for one in mail.messages)
    assert [row["ticket"] for row in office.rows("reports") if row["ticket"] not in told] == []
    assert number > 6
    for one in made:
        one.close()


# -- in somebody's place ------------------------------------------------------------------------------------------


def test_while_somebody_is_absent_whoever_stands_in_is_told_and_the_mail_says_for_whom(
    office: Office, notify: NotifyOffice, mail: Mail
) -> None:
    only_ani(office)
    office.receive("Q-1")
    now = office.now()
    wish(office, stand_in="sekar", absent_from=now - timedelta(hours=1), absent_until=now + timedelta(days=3))
    work(office, notify)
    (mailed,) = mail.messages
    assert mailed.recipients == ("sekar@bpsk.example",)
    assert PEOPLE[0].name in text_of(mailed)
    assert {row["recipient"]: row["state"] for row in notices(office)} == {"ani": "suppressed", "sekar": "delivered"}


def test_who_stands_in_and_is_told_anyway_is_told_once(office: Office, notify: NotifyOffice, mail: Mail) -> None:
    office.use({Kind.ACKNOWLEDGE: [(3600, "role:officer", "notify")]})
    office.receive("Q-1")
    work(office, notify)
    before = len(mail.messages)
    office.pass_time(4000)
    office.tick_all()
    now = office.now()
    wish(office, "ani", stand_in="budi", absent_from=now - timedelta(hours=1), absent_until=now + timedelta(days=3))
    work(office, notify)
    told = [mailed.recipients[0] for mailed in mail.messages[before:]]
    assert sorted(told) == ["budi@bpsk.example", "citra@bpsk.example"]


def test_what_somebody_turned_off_is_not_sent_but_an_assignment_is(
    office: Office, notify: NotifyOffice, mail: Mail
) -> None:
    only_ani(office)
    wish(office, turned_off=["amended", "new_report", "escalation"])
    office.receive("Q-1")
    office.receive("Q-1", "report.amended", title="Lain")
    work(office, notify)
    assert {row["event"]: row["state"] for row in notices(office)} == {
        "new_report": "delivered",
        "amended": "suppressed",
    }
    assert len(mail.messages) == 1
