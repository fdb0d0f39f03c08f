"""`bridge forget`: nothing of what the citizen said is left in any table, the figures and the log are."""

import json
from dataclasses import replace
from typing import Any

import pytest

from bridge.broker.messages import Message, grouped
from bridge.forgetting import Forgotten, forget
from bridge.mapping import NEEDED, PayloadMapping
from bridge.reports.merging import NotPossible
from bridge.reports.moves import Actor, Details
from bridge.reports.setting_aside import ReasonMissing
from bridge.reports.states import Move, Outcome
from bridge.storage import escalations
from bridge.storage.tables import metadata
from bridge.worklist import Worklist
from consumers.runtime import DeadLetter
from consumers.set_aside import SetAside
from tests.storage.crashes import survives_every_crash
from tests.storage.office import ANI, ARRIVALS, SOURCE, Office, body, webhook

ADI = Actor("person:adi")
WORDS = ("Kenari", "0000-7777", "siti@", "Jl. Kenanga", "106.8", "foto-kenari")


def grievance(office: Office) -> str:
    """Take in a report full of personal data, with all that can come of it; returns its ticket, closed."""
    reporter = {"name": "Siti Kenari", "phone": "+62 812-0000-7777", "email": "siti@warga.example", "domicile": "31.74"}
    ticket = office.receive(
        "Q-1",
        title="Kenari",
        description="Saya, Siti Kenari",
        reporter=reporter,
        business={"name": "PT Maju", "address": "Jl. Kenanga"},
        location={"lat": -6.2, "lon": 106.8, "area": "31.74.05"},
        attachments=[{"url": "https://city.example/foto-kenari.jpg"}],
    )
    office.receive("Q-1", "report.amended", at="2026-11-23T11:00:00Z", title="Kenari lagi")
    office.pass_time(7200)
    office.tick_all()
    office.casework.acknowledge(ticket, ANI)
    office.casework.move(Move.CLOSE, ticket, ANI, Details(outcome=Outcome.REFERRED))
    return ticket


def left(office: Office) -> str:
    """Return all rows as text, what is sealed opened, nothing escaped."""
    found: dict[str, Any] = {name: office.rows(name) for name in metadata.tables}
    for name in ("webhooks", "set_aside"):
        for row in found[name]:
            for column in ("body", "mended"):
                if row.get(column):
                    row[column] = ARRIVALS.vault.open(row[column])
    for row in found["reports"]:
        row["reporter"] = (
            str(ARRIVALS.vault.open(row["reporter"]["sealed"].encode()))
            if "sealed" in row["reporter"]
            else row["reporter"]
        )
    return repr(found)


def test_nothing_the_citizen_said_is_left_in_any_table(office: Office) -> None:
    ticket = grievance(office)
    assert [word for word in WORDS if word not in left(office)] == []
    assert forget(office.database, ARRIVALS, ticket, ADI, "asked for") == Forgotten(True, webhooks=2)
    assert [word for word in WORDS if word in left(office)] == []
    (row,) = office.rows("reports")
    assert (row["consumer_mark"], row["business_name"], row["reporter"]) == (None, "maju", {"domicile": "31.74"})


def test_figures_clocks_history_and_the_chain_stay(office: Office) -> None:
    ticket = grievance(office)
    with office.database.write() as connection:
        sealed = escalations.seal(office.database, connection)
    assert sealed
    before = {
        name: office.rows(name) for name in ("obligations", "escalations", "escalation_seals", "delivery_attempts")
    }
    report = office.report(ticket)
    history = office.rows("history")
    forget(office.database, ARRIVALS, ticket, ADI, "asked for")
    assert {name: office.rows(name) for name in before} == before
    assert office.rows("history")[:-1] == history
    last = office.rows("history")[-1]
    assert (last["event"], last["actor"], last["data"]) == ("forgotten", "person:adi", {"reason": "asked for"})
    with office.database.read() as connection:
        assert escalations.verify(connection).broken_at is None
    after = office.report(ticket)
    for name in (
        "category",
        "office",
        "outcome",
        "status",
        "cycle",
        "received_at",
        "amount_idr",
        "assignee",
        "sequence",
    ):
        assert getattr(after, name) == getattr(report, name)
    assert all(webhook["sha256"] for webhook in office.rows("webhooks"))


def test_forgetting_again_changes_nothing_and_says_so(office: Office) -> None:
    ticket = grievance(office)
    forget(office.database, ARRIVALS, ticket, ADI, "asked for")
    before = {name: office.rows(name) for name in metadata.tables}
    assert forget(office.database, ARRIVALS, ticket, ADI, "again") == Forgotten(changed=False)
    assert {name: office.rows(name) for name in metadata.tables} == before


def test_open_report_is_left_whole(office: Office) -> None:
    ticket = office.receive("Q-1", title="Kenari")
    with pytest.raises(NotPossible):
        forget(office.database, ARRIVALS, ticket, ADI, "asked for")
    assert "Kenari" in left(office)
    assert forget(office.database, ARRIVALS, ticket, ADI, "asked for", even_open=True).changed
    assert office.clocks(ticket) == {"acknowledge": "running", "triage": "running"}


@pytest.mark.parametrize("kind", ["report.amended", "report.submitted"])
def test_what_comes_later_is_noted_and_kept_out(office: Office, kind: str) -> None:
    ticket = grievance(office)
    forget(office.database, ARRIVALS, ticket, ADI, "asked for")
    office.receive("Q-1", kind, webhook_id="msg-late", at="2026-11-24T11:00:00Z", title="Kenari", description="Kenari")
    (late,) = office.rows("webhooks", webhook_id="msg-late")
    assert (late["effect"], bytes(late["body"]), len(late["sha256"])) == ("late", b"", 64)
    assert "Kenari" not in left(office)
    assert office.rows("history")[-1]["event"] == "late_event"


def test_what_was_told_keeps_its_codes_and_loses_its_sentences(office: Office) -> None:
    ticket = grievance(office)
    told = office.rows("deliveries", purpose="callback")
    office.set("deliveries", {"state": "delivered", "finished_at": office.now()}, delivery_id=told[0]["delivery_id"])
    forget(office.database, ARRIVALS, ticket, ADI, "asked for")
    after = {row["delivery_id"]: row["payload"] for row in office.rows("deliveries")}
    bare = {name: value for name, value in told[0]["payload"].items() if name not in ("message", "next_step")}
    assert after.pop(told[0]["delivery_id"]) == bare
    assert all(after[row["delivery_id"]] == row["payload"] for row in told[1:])


def test_what_lies_aside_of_it_is_emptied_and_no_longer_waits(office: Office) -> None:
    office.receive("Q-1", webhook_id="msg-bad", title=None, description="Kenari")
    office.receive("Q-2", webhook_id="msg-other", title=None, description="Q-1 milik tetangga")
    ticket = grievance(office)
    office.handle([webhook(body("Q-1", title="Kenari"), "msg-Q-1-report.submitted")])  # an id used twice
    done = forget(office.database, ARRIVALS, ticket, ADI, "asked for")
    assert (done.webhooks, done.aside, done.shared) == (2, 2, ())
    rows = {(row["webhook_id"], row["state"], bool(row["body"])) for row in office.rows("set_aside")}
    assert rows == {
        ("msg-bad", "discarded", False),
        ("msg-Q-1-report.submitted", "discarded", False),
        ("msg-other", "waiting", True),
    }
    assert [(row["did"], row["actor"], row["reason"]) for row in office.rows("set_aside_decisions")] == [
        ("discarded", "person:adi", "asked for")
    ] * 2
    assert "Kenari" not in left(office)


def test_what_was_mended_into_it_is_emptied_though_it_came_without_its_id(office: Office) -> None:
    office.handle([webhook(b'{"title": "Kenari"}', "msg-bad")])
    office.set("set_aside", {"mended": ARRIVALS.vault.seal(body("Q-1", title="Kenari")), "state": "released"})
    done = forget(office.database, ARRIVALS, grievance(office), ADI, "asked for")
    (row,) = office.rows("set_aside")
    assert (done.aside, row["body"], row["mended"], row["state"]) == (1, b"", None, "released")
    assert "Kenari" not in left(office)


def test_dead_letter_of_it_alone_is_emptied_and_one_with_others_is_named(office: Office) -> None:
    messages = [
        ARRIVALS.sealed(SOURCE, f"m-{n}", "", office.now(), "0" * 64, body(f"Q-{n}", title="Kenari")) for n in (1, 2)
    ]
    letters = [DeadLetter("bridge.intake.dead", m.id, m.body().encode()) for m in (*messages, grouped(messages))]
    aside = SetAside(office.database, ARRIVALS.vault)
    aside.handle([{"id": letter.message_id, "type": "dead.letter", "data": letter} for letter in letters])
    done = forget(office.database, ARRIVALS, grievance(office), ADI, "asked for")
    first, _, both = (row["id"] for row in office.rows("set_aside"))
    assert (done.aside, done.shared) == (1, (both,))
    assert [row["id"] for row in office.rows("set_aside") if not row["body"]] == [first]


def _dead(office: Office, *messages: Message | bytes) -> list[int]:
    """Set messages aside as dead letters; returns their numbers."""
    bodies = [message if isinstance(message, bytes) else message.body().encode() for message in messages]
    letters = [DeadLetter("bridge.intake.dead", f"dead-{n}", one) for n, one in enumerate(bodies)]
    SetAside(office.database, ARRIVALS.vault).handle(
        [{"id": letter.message_id, "type": "dead.letter", "data": letter} for letter in letters]
    )
    return [row["id"] for row in office.rows("set_aside", why="dead_letter")]


def _letter(office: Office, source: str, external_id: str) -> Message:
    return ARRIVALS.sealed(source, f"m-{source}", "", office.now(), "0" * 64, body(external_id, title="Kenari"))


def _closed(office: Office, external_id: str) -> str:
    ticket = office.receive(external_id)
    office.casework.acknowledge(ticket, ANI)
    office.casework.move(Move.CLOSE, ticket, ANI, Details(outcome=Outcome.REFERRED))
    return ticket


def _bodies_left(office: Office) -> dict[int, tuple[str, bool]]:
    return {row["id"]: (row["state"], bool(row["body"])) for row in office.rows("set_aside")}


def test_strangers_whose_amount_or_words_hold_the_id_lose_nothing_and_who_cannot_be_told_is_named(
    office: Office,
) -> None:
    ticket = _closed(office, "7")
    office.receive("Q-9999", webhook_id="amount", title="Orang lain", description=None, amount_idr=7)
    office.handle([webhook(b'{"data": {"id": "Q-8", "title":"Rumah no 7 bocor",}}', "broken")])
    office.handle([webhook(b'{"data": {"title":"Rumah no 77 bocor",}}', "other word")])
    done = forget(office.database, ARRIVALS, ticket, ADI, "asked for")
    _, broken, _ = _bodies_left(office)
    assert (done.aside, done.shared, done.similar) == (0, (), (broken,))
    assert [*_bodies_left(office).values()] == [("waiting", True)] * 3
    assert all(row["body"] for row in office.rows("webhooks", effect="set_aside"))
    assert office.rows("set_aside_decisions") == []


def test_dead_letter_of_another_source_with_the_same_id_is_left(office: Office) -> None:
    ticket = _closed(office, "1001")
    theirs, ours = _dead(office, _letter(office, "jaki", "1001"), _letter(office, SOURCE, "1001"))
    both = grouped([_letter(office, "jaki", "1001"), _letter(office, SOURCE, "1001")])
    shared = _dead(office, both)[-1]
    done = forget(office.database, ARRIVALS, ticket, ADI, "asked for")
    assert (done.aside, done.shared, done.similar) == (1, (shared,), ())
    assert _bodies_left(office) == {
        theirs: ("waiting", True), ours: ("discarded", False), shared: ("waiting", True)
    }  # fmt: skip


def test_dead_letter_that_holds_only_this_report_several_times_is_emptied(office: Office) -> None:
    ticket = _closed(office, "Q-1")
    (number,) = _dead(office, grouped([_letter(office, SOURCE, "Q-1")] * 2))
    assert forget(office.database, ARRIVALS, ticket, ADI, "asked for").aside == 1
    assert _bodies_left(office) == {number: ("discarded", False)}


def test_letter_so_broken_that_it_names_no_source_is_named_not_emptied(office: Office) -> None:
    ticket = _closed(office, "Q-1")
    (number,) = _dead(office, _letter(office, SOURCE, "Q-1").body().encode() + b",")
    done = forget(office.database, ARRIVALS, ticket, ADI, "asked for")
    assert (done.aside, done.similar, _bodies_left(office)) == (0, (number,), {number: ("waiting", True)})


def test_what_a_person_mended_into_another_report_is_left(office: Office) -> None:
    ticket = _closed(office, "Q-1")
    office.handle([webhook(b'{"title": "like Q-1"}', "msg-bad")])
    office.set("set_aside", {"mended": ARRIVALS.vault.seal(body("Q-2")), "state": "released"})
    done = forget(office.database, ARRIVALS, ticket, ADI, "asked for")
    assert (done.aside, done.shared, done.similar) == (0, (), ())


def test_id_is_looked_for_where_the_sources_mapping_has_it(office: Office) -> None:
    mapping = PayloadMapping(dict.fromkeys(NEEDED, "teks") | {"data.id": "to_string(nomor)"})
    arrivals = replace(ARRIVALS, payloads={SOURCE: mapping})
    ticket = _closed(office, "88121")
    office.handle([webhook(b'{"nomor": 88121}', "ours"), webhook(b'{"nomor": 5, "harga": 88121}', "theirs")])
    assert forget(office.database, arrivals, ticket, ADI, "asked for").aside == 1
    assert [row["webhook_id"] for row in office.rows("set_aside") if row["body"]] == ["theirs"]


@pytest.mark.parametrize(("state", "after"), [("waiting", "discarded"), ("released", "released")])
def test_what_was_named_is_erased_by_hand_whatever_was_decided_before(office: Office, state: str, after: str) -> None:
    office.handle([webhook(b'{"title":"Kenari Q-1",}', "broken")])
    office.set("set_aside", {"state": state})
    ((number, _),) = _bodies_left(office).items()
    worklist = Worklist(office.database, ARRIVALS)
    with pytest.raises(ReasonMissing):
        worklist.erase(number, "person:adi", " ")
    assert "Kenari" in left(office)
    worklist.erase(number, "person:adi", "asked for")
    assert _bodies_left(office) == {number: (after, False)}
    assert "Kenari" not in left(office)
    (line,) = office.rows("set_aside_decisions")
    assert (line["did"], line["actor"], line["reason"]) == ("discarded", "person:adi", "asked for")


def test_death_between_any_two_statements_forgets_all_or_nothing(office: Office) -> None:
    ticket = grievance(office)
    before = office.snapshot()

    def whole() -> None:
        assert json.dumps(office.snapshot(), default=str) == json.dumps(before, default=str)

    assert (
        survives_every_crash(office.database, lambda: forget(office.database, ARRIVALS, ticket, ADI, "x"), whole) >= 6
    )
    assert "Kenari" not in left(office)
