"""The siding: what nobody could take is on a person's worklist, whole, once; what a person released takes its normal way."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.arrivals import MAX_BODY_BYTES, Arrivals
from bridge.broker.messages import Message, grouped
from bridge.reports.setting_aside import DecidedBefore, ReasonMissing
from bridge.storage.set_aside import NothingAside
from bridge.worklist import StillWrong, Worklist
from consumers.runtime import DeadLetter
from consumers.set_aside import SetAside
from consumers.take_in import TakeIn
from schemas.messages import load_message
from tests.storage.crashes import Standstill, survives_every_crash, together
from tests.storage.office import ARRIVALS, SOURCE, Office, body, id_of, one_message, plain, webhook

DEAD = "bridge.notices.dead"
ADI, SEKAR = "person:adi", "person:sekar"


def _siding(office: Office, *letters: DeadLetter) -> None:
    messages: list[dict[str, Any]] = [{"id": one.message_id, "type": "dead.letter", "data": one} for one in letters]
    SetAside(office.database, ARRIVALS.vault).handle(messages)


def _worklist(office: Office) -> Worklist:
    return Worklist(office.database, ARRIVALS)


def _line(office: Office) -> dict[str, Any]:
    (row,) = office.rows("set_aside")
    return row


def _invalid(office: Office, content: bytes = body("Q-1", title=""), webhook_id: str = "msg-1") -> int:
    """Let something invalid arrive a day ago; returns its number."""
    office.handle([webhook(content, webhook_id)])
    row = office.rows("set_aside", webhook_id=webhook_id)[0]
    long_ago = office.now() - timedelta(days=1)
    office.set("set_aside", {"received_at": long_ago}, id=row["id"])
    return int(row["id"])


def _sent(office: Office) -> list[dict[str, Any]]:
    """Return what the outbox sends to the intake and other queues of releases, checked as a worker checks it."""
    rows = [row for row in office.rows("outbox") if {"released", "letter"} & set(row["data"]) or "body" in row["data"]]
    return [load_message(json.loads(Message(row["type"], row["data"]).body())) for row in rows]


def _decisions(office: Office) -> list[tuple[str, str, str]]:
    return [(row["did"], row["actor"], row["reason"]) for row in office.rows("set_aside_decisions")]


# --- dead letters come -----------------------------------------------------------------------------------------------


def test_dead_letter_is_kept_whole_with_its_queue_and_a_reason(office: Office) -> None:
    content = bytes(range(256))
    _siding(office, DeadLetter("bridge.intake.dead", "m1", content))
    row = _line(office)
    assert (row["source"], row["webhook_id"], row["why"], row["state"]) == (
        "bridge.intake.dead",
        "m1",
        "dead_letter",
        "waiting",
    )
    assert (plain(row), row["sha256"]) == (content, hashlib.sha256(content).hexdigest())
    assert "bridge.intake.dead" in row["reasons"][0]


def test_letter_that_comes_again_is_one_line(office: Office) -> None:
    letter = DeadLetter("bridge.intake.dead", "m1", b"x")
    for _ in range(3):
        _siding(office, letter, letter)
    assert len(office.rows("set_aside")) == 1


def test_letters_that_differ_in_anything_are_lines_of_their_own(office: Office) -> None:
    letters = [
        DeadLetter(queue, name, body) for queue in ("a.dead", "b.dead") for name in ("m1", "") for body in (b"x", b"y")
    ]
    _siding(office, *letters)
    assert len(office.rows("set_aside")) == 8


def test_letter_a_person_has_dealt_with_is_not_opened_again(office: Office) -> None:
    letter = DeadLetter("bridge.intake.dead", "m1", b"x")
    _siding(office, letter)
    office.set("set_aside", {"state": "discarded"})
    _siding(office, letter)
    assert [row["state"] for row in office.rows("set_aside")] == ["discarded"]


def _notice(number: int = 1, **more: Any) -> Message:
    return Message("notice.due", {"delivery_id": f"00000000-0000-0000-0000-{number:012}", **more})


def _letter(message: Message, queue: str = DEAD, died: str = "") -> DeadLetter:
    return DeadLetter(queue, message.id, message.body().encode(), died)


@pytest.mark.parametrize(
    ("letter", "said"),
    [
        (DeadLetter(DEAD, "m1", b'{"id": '), ["notify_office could not read", "the body is not JSON"]),
        (DeadLetter(DEAD, "m1", b"[]"), ["notify_office could not read", "a queue message is a JSON object"]),
        (_letter(_notice(new=1)), ["notify_office could not read", "?: Unknown field."]),
        (_letter(_notice(), "bridge.intake.dead"), ["take_in could not read", "do not lie in bridge.intake.dead"]),
        (_letter(_notice(), died="delivery_limit"), ["could not handle this message of bridge.notices.dead: it failed, or", "message_id"]),
        (_letter(_notice(), died="rejected"), ["taken by others again and again", "message_failed and message_id"]),
    ],
    ids=["no JSON", "no object", "a field too many", "another queue's", "failed too often", "conflicts for ever"],
)  # fmt: skip
def test_line_says_in_words_why_nobody_could_handle_the_letter(
    office: Office, letter: DeadLetter, said: list[str]
) -> None:
    _siding(office, letter)
    for part, reason in zip(said, _line(office)["reasons"], strict=True):
        assert part in reason


HOSTILE = [
    DeadLetter(DEAD, "\x00" * 300, b'{"data": {"letter": 99999999999999999999999}}'),
    DeadLetter(DEAD, "m2", json.dumps({"\x00\ud800" * 500: 1, "data": {"letter": True}}).encode()),
    DeadLetter(DEAD, "m3", b"[" * 50_000),
    DeadLetter(DEAD, "m4", json.dumps({f"key {n}\x00": 1 for n in range(500)}).encode()),
]


def test_letter_that_holds_anything_at_all_ends_on_the_list_and_holds_up_no_other(office: Office) -> None:
    _siding(office, *HOSTILE)
    assert sorted(plain(row) for row in office.rows("set_aside")) == sorted(letter.body for letter in HOSTILE)


def test_death_between_any_two_statements_sets_all_aside_or_none(office: Office) -> None:
    letters = DeadLetter("bridge.intake.dead", "m1", b"x"), DeadLetter("bridge.notices.dead", "m2", b"y")

    def none() -> None:
        assert office.rows("set_aside") == []

    assert survives_every_crash(office.database, lambda: _siding(office, *letters), none) >= 2
    assert len(office.rows("set_aside")) == 2


# --- reports are mended and released --------------------------------------------------------------------------------


def test_mended_and_released_report_is_taken_in_with_the_time_of_its_first_arrival(office: Office) -> None:
    number = _invalid(office)
    before = _line(office)
    _worklist(office).fix(number, body("Q-1", title="Klaim"), SEKAR, "judul kosong")
    _worklist(office).release(number, ADI, " sudah diperbaiki ")
    assert _line(office) == before | {"state": "released", "mended": _line(office)["mended"]}
    assert _decisions(office) == [("mended", SEKAR, "judul kosong"), ("released", ADI, "sudah diperbaiki")]

    office.handle(_sent(office))
    (report,), (clock, *_) = office.rows("reports"), office.rows("obligations")
    assert (report["report_id"], report["title"]) == (id_of("Q-1"), "Klaim")
    assert report["received_at"] == before["received_at"], "a day ago"
    assert clock["started_at"] > office.now() - timedelta(hours=1), "nobody could have acted before"


def test_release_has_a_row_of_its_own_beside_the_webhook_as_it_came(office: Office) -> None:
    number = _invalid(office)
    office.set("webhooks", {"key_id": "k1"})
    (original,) = office.rows("webhooks")
    mended = body("Q-1", title="Klaim")
    _worklist(office).release(number, ADI, "uji", body=mended)
    office.handle(_sent(office))
    release, kept = sorted(office.rows("webhooks"), key=lambda row: str(row["webhook_id"]))
    assert kept == original
    assert (release["webhook_id"], release["effect"], release["key_id"]) == (f"aside.{number}", "created", "k1")
    assert (plain(release), release["sha256"]) == (mended, hashlib.sha256(mended).hexdigest())


def test_release_that_is_delivered_twice_is_one_report(office: Office) -> None:
    number = _invalid(office)
    _worklist(office).release(number, ADI, "uji", body=body("Q-1", title="Klaim"))
    sent = _sent(office)
    office.handle([*sent, *sent])
    once = office.snapshot()
    office.handle(sent)
    assert office.snapshot() == once
    assert len(office.rows("reports")) == 1


def test_report_under_a_reused_id_is_released_as_it_came_and_not_set_aside_again(office: Office) -> None:
    office.receive("Q-1", webhook_id="msg-1")
    office.handle([webhook(body("Q-2"), "msg-1")])
    row = _line(office)
    _worklist(office).release(row["id"], ADI, "laporan lain")
    office.handle(_sent(office))
    assert {report["external_id"] for report in office.rows("reports")} == {"Q-1", "Q-2"}
    assert [line["state"] for line in office.rows("set_aside")] == ["released"]
    assert len([d for d in office.rows("deliveries", report_id=id_of("Q-2")) if d["purpose"] == "notice"]) == 1


def test_release_that_amends_tells_the_officer_although_the_id_was_told_of_before(office: Office) -> None:
    ticket = office.receive("Q-1", webhook_id="msg-1")
    for title in ("satu", "dua"):
        content = body("Q-1", "report.amended", at="2026-11-23T11:00:00+07:00", title=title)
        office.handle([webhook(content, "msg-2")])
    _worklist(office).release(_line(office)["id"], ADI, "perubahan kedua")
    office.handle(_sent(office))
    assert office.report(ticket).title == "dua"
    assert len([row for row in office.rows("deliveries") if row["event"] == "amended"]) == 2


def test_what_still_is_no_report_is_neither_kept_nor_released_and_the_faults_are_said(office: Office) -> None:
    number = _invalid(office)
    before = office.snapshot()
    for work in (
        lambda: _worklist(office).fix(number, b"{", ADI, "uji"),
        lambda: _worklist(office).release(number, ADI, "uji"),
        lambda: _worklist(office).release(number, ADI, "uji", body=b"{}"),
    ):
        with pytest.raises(StillWrong) as said:
            work()
        assert said.value.problems
    assert office.snapshot() == before


def test_release_the_way_in_refuses_all_the_same_comes_back_to_the_list_with_the_new_reasons(office: Office) -> None:
    """Released by a version, or under a mapping, that found nothing wrong with it."""
    number = _invalid(office)
    lenient = Worklist(office.database, Arrivals(ARRIVALS.ticket_key, ARRIVALS.vault, {SOURCE: _without_title}))
    lenient.release(number, ADI, "uji", body=b"{}")
    first = _sent(office)
    office.handle(first)
    row = _line(office)
    assert (row["state"], row["id"]) == ("waiting", number)
    assert any(reason.startswith("type: ") for reason in row["reasons"])
    assert [line["webhook_id"] for line in office.rows("webhooks")] == ["msg-1"], "its number stays free"

    office.set("outbox", {"type": "gone"})
    _worklist(office).release(number, ADI, "sekali lagi", body=body("Q-1", title="Klaim"))
    office.handle([one for one in _sent_of_type(office, "webhook.received")])
    assert len(office.rows("reports")) == 1
    assert _line(office)["state"] == "released"

    office.handle(first)
    assert len(office.rows("reports")) == 1
    assert _line(office)["state"] == "released", "a late copy of the first release changes nothing"


def _without_title(_: bytes, __: str) -> object:
    return json.loads(body("Q-1"))


def _sent_of_type(office: Office, type_: str) -> list[dict[str, Any]]:
    rows = office.rows("outbox", type=type_)
    return [load_message(json.loads(Message(row["type"], row["data"]).body())) for row in rows]


def test_discarded_report_stays_as_it_came_and_sends_nothing(office: Office) -> None:
    number = _invalid(office)
    before = _line(office)
    _worklist(office).discard(number, SEKAR, "kiriman uji")
    assert _line(office) == before | {"state": "discarded"}
    assert _decisions(office) == [("discarded", SEKAR, "kiriman uji")]
    assert office.rows("outbox") == []


def test_body_is_checked_as_its_source_writes_it(office: Office) -> None:
    """A source may have words of its own, and even take the report's id from the webhook's."""

    def theirs(content: bytes, webhook_id: str) -> object:
        return json.loads(body(webhook_id, title=json.loads(content)["judul"]))

    arrivals = Arrivals(ARRIVALS.ticket_key, ARRIVALS.vault, {SOURCE: theirs})
    office.take_in = TakeIn(office.database, office.rules, arrivals)
    number = _invalid(office, b'{"judul": ""}', "Q-77")
    worklist = Worklist(office.database, arrivals)
    worklist.release(number, ADI, "uji", body=b'{"judul": "Klaim"}')
    assert worklist.ticket(worklist.look(number, ADI)) is not None
    office.handle(_sent(office))
    assert [report["external_id"] for report in office.rows("reports")] == ["Q-77"], "not the id of the release"


@pytest.mark.parametrize("deed", ["fix", "release"])
def test_what_the_way_in_would_not_take_for_its_size_is_not_mended_into_it(office: Office, deed: str) -> None:
    number, worklist = _invalid(office), _worklist(office)
    report = body("Q-1", title="Klaim")
    fits, larger = report.ljust(MAX_BODY_BYTES), report.ljust(MAX_BODY_BYTES + 1)
    before = office.snapshot()
    with pytest.raises(StillWrong, match="the body has 262145 bytes; the way in takes 262144"):
        getattr(worklist, deed)(number, actor=ADI, reason="uji", body=larger)
    assert office.snapshot() == before
    getattr(worklist, deed)(number, actor=ADI, reason="uji", body=fits)


def test_what_was_taken_and_is_kept_in_a_longer_form_may_go_on(office: Office) -> None:
    larger = body("Q-1", title="Klaim").ljust(MAX_BODY_BYTES + 1)
    number = _invalid(office)
    office.set("set_aside", {"body": ARRIVALS.vault.seal(larger)})
    _worklist(office).release(number, ADI, "uji")
    assert len(_sent(office)) == 1


# --- deciding -------------------------------------------------------------------------------------------------------


def test_nothing_that_was_decided_is_decided_again_and_nothing_without_a_reason(office: Office) -> None:
    number, worklist = _invalid(office), _worklist(office)
    good = body("Q-1", title="Klaim")
    works = (
        lambda reason: worklist.fix(number, good, ADI, reason),
        lambda reason: worklist.release(number, ADI, reason, body=good),
        lambda reason: worklist.discard(number, ADI, reason),
    )
    before = office.snapshot()
    for work in works:
        with pytest.raises(ReasonMissing):
            work("  ")
    assert office.snapshot() == before
    worklist.release(number, ADI, "uji", body=good)
    released = office.snapshot()["outbox"], _decisions(office)
    for work in works:
        with pytest.raises(DecidedBefore):
            work("uji")
    assert (office.snapshot()["outbox"], _decisions(office)) == released
    with pytest.raises(NothingAside):
        worklist.discard(number + 1, ADI, "uji")


@pytest.mark.parametrize("first", ["release", "discard"])
def test_of_two_people_who_decide_at_once_one_wins_and_the_other_is_told(office: Office, first: str) -> None:
    number, worklist = _invalid(office), _worklist(office)

    def release() -> None:
        worklist.release(number, ADI, "uji", body=body("Q-1", title="Klaim"))

    def discard() -> None:
        worklist.discard(number, SEKAR, "uji")

    one, two = (release, discard) if first == "release" else (discard, release)
    with Standstill(office.database, "INSERT INTO set_aside_decisions", one) as held:
        other = held.meanwhile(two)
        held.go_on()
    with pytest.raises(DecidedBefore, match=f"number {number} was {first.rstrip('e')}ed already"):
        other.result()
    assert _line(office)["state"] == f"{first.rstrip('e')}ed"
    assert len(_sent(office)) == (first == "release")


def test_many_who_release_at_once_send_it_once(office: Office) -> None:
    number, worklist = _invalid(office), _worklist(office)

    def release() -> bool:
        try:
            worklist.release(number, ADI, "uji", body=body("Q-1", title="Klaim"))
        except DecidedBefore:
            return False
        return True

    assert sorted(together(*[release] * 6)) == [False] * 5 + [True]
    assert len(_sent(office)) == 1


def test_death_between_any_two_statements_of_a_release_leaves_it_waiting(office: Office) -> None:
    number = _invalid(office)
    before = office.snapshot()

    def waits() -> None:
        assert office.snapshot() == before

    def work() -> None:
        _worklist(office).release(number, ADI, "uji", body=body("Q-1", title="Klaim"))

    assert survives_every_crash(office.database, work, waits) >= 7
    assert len(_sent(office)) == 1
    assert [did for did, _, _ in _decisions(office)] == ["mended", "released"]


# --- dead letters are released --------------------------------------------------------------------------------------


def test_released_letter_goes_back_to_its_queue_and_comes_back_to_its_line_if_it_fails_again(office: Office) -> None:
    message = _notice()
    _siding(office, _letter(message))
    number = _line(office)["id"]
    _worklist(office).release(number, ADI, "server surat sudah jalan")
    (sent,) = _sent(office)
    assert (sent["type"], str(sent["data"]["delivery_id"])) == ("notice.due", message.data["delivery_id"])

    _siding(office, _letter(message))
    assert _line(office)["state"] == "released", "the same letter once more is not a failure of the release"
    again = _letter(Message("notice.due", message.data | {"letter": number}))
    for _ in range(2):
        _siding(office, again)
        row = _line(office)
        assert (row["id"], row["state"], row["reasons"][0]) == (number, "waiting", "it was released, and failed again")
    _worklist(office).release(number, ADI, "sekali lagi")
    assert [did for did, _, _ in _decisions(office)] == ["released", "released"]


def test_letter_that_fails_again_after_it_was_discarded_or_its_line_is_gone_is_a_new_line(office: Office) -> None:
    message = _notice()
    _siding(office, _letter(message))
    number = _line(office)["id"]
    _worklist(office).discard(number, ADI, "uji")
    _siding(office, *(_letter(Message("notice.due", message.data | {"letter": line})) for line in (number, 4711)))
    assert [row["state"] for row in office.rows("set_aside")] == ["discarded", "waiting", "waiting"]


def test_webhooks_that_travelled_together_are_released_apart_under_their_own_ids(office: Office) -> None:
    now = datetime.now(UTC)
    sealed = [
        ARRIVALS.sealed(SOURCE, f"msg-{n}", "k1", now, hashlib.sha256(body(f"Q-{n}")).hexdigest(), body(f"Q-{n}"))
        for n in range(3)
    ]
    _siding(office, _letter(grouped(sealed), "bridge.intake.dead"))
    _worklist(office).release(_line(office)["id"], ADI, "uji")
    sent = _sent(office)
    assert [one["type"] for one in sent] == ["webhook.received"] * 3
    office.handle(sent)
    assert {row["webhook_id"] for row in office.rows("webhooks")} == {"msg-0", "msg-1", "msg-2"}
    assert len(office.rows("reports")) == 3


def test_letter_nobody_can_read_is_not_released_but_can_be_mended(office: Office) -> None:
    _siding(office, DeadLetter(DEAD, "m1", b'{"id": '))
    number = _line(office)["id"]
    with pytest.raises(StillWrong, match="not JSON"):
        _worklist(office).release(number, ADI, "uji")
    _worklist(office).release(number, ADI, "uji", body=_notice(7).body().encode())
    assert [one["type"] for one in _sent(office)] == ["notice.due"]


def test_batch_with_a_release_that_comes_back_lives_through_every_crash(office: Office) -> None:
    number = _invalid(office)
    lenient = Worklist(office.database, Arrivals(ARRIVALS.ticket_key, ARRIVALS.vault, {SOURCE: _without_title}))
    lenient.release(number, ADI, "uji", body=b"{}")
    messages = [*_sent(office), one_message({"msg-9": body("Q-9")})]
    before = office.snapshot()

    def nothing() -> None:
        assert office.snapshot() == before

    assert survives_every_crash(office.database, lambda: office.take_in.handle(messages), nothing) >= 8
    assert _line(office)["state"] == "waiting"
    assert len(office.rows("reports")) == 1
