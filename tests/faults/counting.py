"""Counting what a storm left: sent, answered 202, stored, escalated, told, called back; lost 0, twice 0."""

import random
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import requests
import sqlalchemy as sa

from bridge.reports.states import MoveRefused
from bridge.storage import escalations
from bridge.storage.database import Conflict, DatabaseAway
from bridge.storage.reports import NoSuchReport
from bridge.storage.tables import deliveries, obligations, outbox, reports, set_aside
from bridge.storage.tables import escalations as log
from tests.running import FAST, LADDER, Running
from tests.servers import eventually

#: Lanes of notify_office to the mail server, each with at most one mail in hand.
TELLERS = 4


@dataclass
class Sent:
    """What the city knows: which reports were answered 202, and with which ticket."""

    accepted: dict[str, str] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)
    kills: int = 0
    acknowledged: set[str] = field(default_factory=set)


def send(running: Running, external_id: str, sent: Sent) -> None:
    """Send a report; a city app that gets no answer sends it again, as the specification wants."""
    for _ in range(3):
        try:
            answer = running.send(external_id, category=FAST)
        except (requests.RequestException, AssertionError):
            sent.unanswered.add(external_id)
            continue
        sent.accepted[external_id] = answer.json()["ticket"]
        return


def acknowledge_some(running: Running, sent: Sent, over: threading.Event, rng: random.Random) -> None:
    while not over.wait(0.7):
        waiting = [ticket for ticket in sent.accepted.copy().values() if ticket not in sent.acknowledged]
        for ticket in rng.sample(waiting, min(1, len(waiting))):
            try:
                running.acknowledge(ticket, rng.choice(["ani", "budi", "citra"]))
            except (NoSuchReport, DatabaseAway, Conflict, MoveRefused):
                continue  # not taken in yet, or the database was busy: an officer would try again
            sent.acknowledged.add(ticket)


def settle(running: Running, sent: Sent) -> None:
    """Wait until everything that is due has happened: ladders finished, outbox and deliveries empty."""
    running.wait_ready()
    eventually(lambda: _stored(running) >= len(sent.accepted), 60, "every accepted report stored")
    try:
        eventually(lambda: _unfinished(running) == (0, 0, 0), 150)
    except AssertionError as error:
        raise AssertionError(f"not quiet: {_unfinished(running)}; {_left(running)}") from error


def _left(running: Running) -> list[dict[str, Any]]:
    """Return what is not finished, for the message of a failure."""
    statement = sa.select(deliveries.c.purpose, deliveries.c.state, deliveries.c.attempts, deliveries.c.lease_until)
    with running.service.database.read() as connection:
        return [dict(row) for row in connection.execute(statement.where(_open).limit(10)).mappings()]


def _stored(running: Running) -> int:
    with running.service.database.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(reports)).scalar_one()


_announces = outbox.c.data["delivery_id"].as_string() == deliveries.c.delivery_id
_open = deliveries.c.finished_at.is_(None)


def _unfinished(running: Running) -> tuple[int, int, int]:
    acknowledge = obligations.c.kind == "acknowledge"
    counts = (
        sa.select(sa.func.count()).select_from(obligations).where(obligations.c.next_due.is_not(None), acknowledge),
        # A repeat that finds its delivery done changes nothing, and may come a lease later.
        sa.select(sa.func.count()).select_from(outbox).join(deliveries, _announces).where(_open),
        sa.select(sa.func.count()).select_from(deliveries).where(_open),
    )
    with running.service.database.read() as connection:
        one, two, three = (connection.execute(statement).scalar_one() for statement in counts)
    return one, two, three


@dataclass(frozen=True)
class Facts:
    """All that is in the database at the end."""

    reports: list[dict[str, Any]]
    owed: list[dict[str, Any]]
    log: list[dict[str, Any]]
    deliveries: list[dict[str, Any]]
    aside: int
    chain_broken_at: int | None

    def repeated_mails(self, running: Running) -> int:
        ids = Counter(str(m.message["Message-ID"]) for m in running.mail.messages)
        return sum(count - 1 for count in ids.values())


def gather(running: Running) -> Facts:
    with running.service.database.write() as connection:
        escalations.seal(running.service.database, connection, most=100_000)
    with running.service.database.read() as connection:
        rows = [
            [dict(row) for row in connection.execute(statement).mappings()]
            for statement in (
                sa.select(reports),
                sa.select(obligations).where(obligations.c.kind == "acknowledge"),
                sa.select(log).order_by(log.c.id),
                sa.select(deliveries),
            )
        ]
        aside = connection.execute(sa.select(sa.func.count()).select_from(set_aside)).scalar_one()
        verdict = escalations.verify(connection)
    return Facts(rows[0], rows[1], rows[2], rows[3], aside, verdict.broken_at)


def _nothing_lost(sent: Sent, facts: Facts) -> None:
    stored = {row["external_id"]: row["ticket"] for row in facts.reports}
    assert {k: v for k, v in sent.accepted.items() if stored.get(k) != v} == {}, "answered 202 but not stored"
    assert set(stored) <= set(sent.accepted) | sent.unanswered, "stored but never sent"
    assert len(stored) == len(facts.reports), "stored twice"
    assert facts.aside == 0


def _everything_escalated_once_and_in_order(facts: Facts) -> None:
    ended = {row["report_id"]: row["ended_at"] for row in facts.owed}
    steps: dict[tuple[str, str, int], list[int]] = {}
    for row in facts.log:
        steps.setdefault((row["report_id"], row["kind"], row["cycle"]), []).append(row["step"])
        assert row["fired_at"] >= row["due_at"], "fired early"
        met_at = ended[row["report_id"]]
        assert row["kind"] != "acknowledge" or met_at is None or row["fired_at"] <= met_at, "fired after the ack"
    assert all(found == list(range(1, len(found) + 1)) for found in steps.values()), "twice, or out of order"
    assert facts.chain_broken_at is None


def _log_state_and_deliveries_agree(facts: Facts) -> None:
    fired = Counter(row["report_id"] for row in facts.log if row["kind"] == "acknowledge")
    for row in facts.owed:
        assert row["step"] == fired[row["report_id"]], "the clock and the log disagree"
        assert row["state"] == "met" or row["step"] == len(LADDER), "somebody was overlooked"
    notices = [d for d in facts.deliveries if d["event"] == "escalation"]
    # One notice may stand for several steps that were passed while everything was down.
    noticed = {(d["report_id"], n, d["recipient"]) for d in notices for n in d["payload"].get("steps", [d["step"]])}
    told = {(row["report_id"], row["step"], person) for row in facts.log for person in row["told"]}
    assert noticed == told, "log and notices disagree"


def _everybody_told_once(running: Running, facts: Facts, sent: Sent) -> None:
    mailed = Counter(str(m.message["Message-ID"]).strip("<>").split("@")[0] for m in running.mail.messages)
    notices = {d["delivery_id"]: d for d in facts.deliveries if d["purpose"] == "notice"}
    # Of what comes in a flood several are in one mail, which has an id of its own.
    delivered = {d["digest_id"] or i for i, d in notices.items() if d["state"] == "delivered"}
    digests = {d["digest_id"] for d in notices.values() if d["digest_id"]}
    assert {d["state"] for d in notices.values()} <= {"delivered", "suppressed"}
    assert delivered <= set(mailed), "marked delivered but never mailed"
    assert set(mailed) <= set(notices) | digests, "mailed but not known"
    assert len({d["dedupe_key"] for d in notices.values()}) == len(notices)
    # A kill between sending and recording may repeat the one mail each teller had in hand, under the same Message-ID.
    assert sum(count - 1 for count in mailed.values()) <= sent.kills * TELLERS
    first = Counter(d["report_id"] for d in notices.values() if d["event"] == "new_report")
    assert all(first[row["report_id"]] == 1 for row in facts.reports)


def _city_told_everything_in_sequence(running: Running, facts: Facts) -> None:
    for row in facts.reports:
        came = [c["sequence"] for c in running.callbacks(row["external_id"])]
        assert came == sorted(came), f"{row['ticket']}: an older state came after a newer one"
        told = {c["sequence"]: c for c in running.callbacks(row["external_id"])}
        assert sorted(told) == list(range(1, row["sequence"] + 1)), f"{row['ticket']}: a callback is missing"
        assert told[row["sequence"]]["status"] == row["status"]


def counted(running: Running, sent: Sent, facts: Facts) -> str:
    """Return the figures in words: the claim is counted, never asserted in prose."""
    return (
        f"\n{running.name}: {sent.kills} kills; {len(sent.accepted)} answered 202, {len(facts.reports)} stored, "
        f"{len(facts.log)} escalations, {len(sent.acknowledged)} acknowledged, {len(running.mail.messages)} mails, "
        f"{len(running.city.requests)} callbacks; repeated under the same id: {facts.repeated_mails(running)} mails"
    )


def check(running: Running, sent: Sent, facts: Facts) -> None:
    """Hold the three promises against the figures."""
    _nothing_lost(sent, facts)
    _everything_escalated_once_and_in_order(facts)
    _log_state_and_deliveries_agree(facts)
    _everybody_told_once(running, facts, sent)
    _city_told_everything_in_sequence(running, facts)
