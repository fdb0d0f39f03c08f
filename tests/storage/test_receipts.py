"""Proof of acceptance: every webhook taken in has its receipt, and nobody is told more than can be known."""

import contextlib
import hashlib
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.broker.embedded import QueueStore, payload_of
from bridge.receipts.comparing import Comparison, Difference, Hint, What
from bridge.receipts.proof import Proofs, proofs
from bridge.receipts.watermark import INTAKE, UNDER_WAY, Complete, seen_now
from bridge.reports.setting_aside import released_as
from bridge.service import Service
from bridge.storage import webhooks
from bridge.storage.listed import Entry, Listed
from bridge.storage.receipts import Span
from bridge.storage.tables import webhooks as kept
from consumers.runtime import DeadLetter
from consumers.set_aside import SetAside
from tests.storage.office import ARRIVALS, SOURCE, Office, body, webhook

T0 = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
ALWAYS = Span()
NOW = Complete(datetime(2100, 1, 1, tzinfo=UTC))


@pytest.fixture
def service(office: Office, tmp_path: Path) -> Iterator[Service]:
    """The office's database beside an embedded queue of its own."""
    made = Service.from_environment(
        {
            "BRIDGE_DATABASE_URL": office.database.url,
            "BRIDGE_BROKER_URL": f"embedded://{tmp_path}/queue.sqlite3",
            "BRIDGE_DATA_DIR": str(tmp_path),
            "BRIDGE_SECRET_KEY": "s" * 32,
            "BRIDGE_TICKET_KEY": "t" * 32,
        }
    )
    yield made
    made.close()


def sha(content: bytes) -> str:
    """Return the hash a receipt has."""
    return hashlib.sha256(content).hexdigest()


def remember(office: Office, *rows: tuple[str, str, datetime], source: str = SOURCE) -> None:
    """Put webhooks there as take_in leaves them: (webhook_id, sha256, received_at)."""
    with office.database.write() as connection:
        values = [
            {
                "source": source,
                "webhook_id": name,
                "sha256": digest,
                "received_at": at,
                "effect": "created",
                "body": b"",
            }
            for name, digest, at in rows
        ]
        webhooks.remember(connection, values)


def empty(office: Office) -> None:
    """Forget what remember() put there."""
    with office.database.write() as connection:
        connection.execute(sa.delete(kept))


def dead_letter(office: Office, content: bytes) -> None:
    """Let the siding find a message nobody could handle."""
    letter = DeadLetter(INTAKE.dead, sha(content)[:8], content)
    message = {"id": letter.message_id, "type": "dead.letter", "data": letter}
    SetAside(office.database, ARRIVALS.vault).handle([message])


def sent(content: bytes, webhook_id: str, at: datetime = T0) -> Any:
    """Return the message of one webhook as the receiver publishes it."""
    return ARRIVALS.sealed(SOURCE, webhook_id, "k1", at, sha(content), content)


# --- one receipt ----------------------------------------------------------------------------------------------------


def test_receipt_says_what_was_accepted_and_what_became_of_it(office: Office, service: Service) -> None:
    first, early, wrong = body("Q-1"), body("Q-2", "report.withdrawn"), b"{}"
    office.handle([webhook(first, "m1"), webhook(early, "m2"), webhook(wrong, "m3")])
    with proofs(service, SOURCE) as found:
        created, waiting, aside = (found.one(name) or {} for name in ("m1", "m2", "m3"))
    ticket = office.rows("reports")[0]["ticket"]
    assert (created["sha256"], created["ticket"], created["type"], created["effect"], created["aside"]) == (
        sha(first),
        ticket,
        "report.submitted",
        "created",
        None,
    )
    assert created["received_at"] == office.rows("webhooks", webhook_id="m1")[0]["received_at"]
    assert (waiting["effect"], waiting["ticket"], bool(waiting["report_id"])) == ("waiting", None, True)
    assert (aside["sha256"], aside["effect"], aside["aside"]) == (sha(wrong), "set_aside", "waiting")
    office.set("set_aside", {"state": "discarded"})
    with proofs(service, SOURCE) as found:
        assert (found.one("m3") or {})["aside"] == "discarded"


def test_second_body_under_an_id_is_named_beside_the_first(office: Office, service: Service) -> None:
    office.handle([webhook(body("Q-1"), "m1")])
    office.handle([webhook(body("Q-2"), "m1")])
    with proofs(service, SOURCE) as found:
        receipt = found.one("m1") or {}
    assert receipt["sha256"] == sha(body("Q-1"))
    assert [(other["sha256"], other["aside"]) for other in receipt["other_bodies"]] == [(sha(body("Q-2")), "waiting")]


def test_webhook_of_another_source_is_as_unknown_as_one_nobody_sent(office: Office, service: Service) -> None:
    remember(office, ("m1", "a" * 64, T0), source="jaki")
    with proofs(service, SOURCE) as found:
        assert (found.one("m1"), found.count(ALWAYS), list(found.in_order(ALWAYS))) == (None, 0, [])


def test_receipt_outlives_the_body(office: Office, service: Service) -> None:
    office.handle([webhook(body("Q-1"), "m1")])
    with proofs(service, SOURCE) as found:
        before, digest = found.one("m1"), found.digest(ALWAYS)
    office.set("webhooks", {"body": b""})
    with proofs(service, SOURCE) as found:
        assert (found.one("m1"), found.digest(ALWAYS)) == (before, digest)


def test_what_we_released_under_a_name_of_our_own_is_not_the_citys(office: Office, service: Service) -> None:
    office.handle([webhook(b"{}", "m1")])
    number = office.rows("set_aside")[0]["id"]
    ours = released_as(number)
    remember(office, (ours, "b" * 64, T0), (f"aside:{number}", "c" * 64, T0))
    with proofs(service, SOURCE) as found:
        names = {row["webhook_id"] for row in found.in_order(ALWAYS)}
        assert names == {"m1", f"aside:{number}"}, "what a city can send is a city's"
        assert found.count(ALWAYS) == 2
        assert found.one(ours) is None


# --- a span ---------------------------------------------------------------------------------------------------------


def test_span_begins_with_since_and_ends_before_until(office: Office, service: Service) -> None:
    second = timedelta(seconds=1)
    remember(office, *((f"m{n}", "a" * 64, T0 + n * second) for n in range(4)))
    with proofs(service, SOURCE) as found:
        span = Span(T0 + second, T0 + 3 * second)
        assert [row["webhook_id"] for row in found.in_order(span)] == ["m1", "m2"]
        assert found.count(span) == 2


def test_pages_hold_every_receipt_once_though_many_came_at_the_same_instant(office: Office, service: Service) -> None:
    names = ["Z", "a", "B", "b", "-", "~", "a/b", "a-b", "a_b", "10", "9", "m" * 256]
    remember(office, *((name, "a" * 64, T0 + timedelta(seconds=n // 5)) for n, name in enumerate(names)))
    with proofs(service, SOURCE) as found:
        whole = [(row["received_at"], row["webhook_id"]) for row in found.in_order(ALWAYS)]
        for limit in range(1, len(names) + 2):
            paged: list[tuple[datetime, str]] = []
            place = None
            while True:
                rows, place = found.page(ALWAYS, place, limit)
                paged += [(row["received_at"], row["webhook_id"]) for row in rows]
                if place is None:
                    break
            assert paged == whole == sorted(whole), limit
    assert {name for _, name in whole} == set(names)


def test_digest_is_one_value_a_city_can_compute_itself(office: Office, service: Service) -> None:
    names = ["Z", "a", "B", "b", "-", "~", "a/b", "ab", "a-b", "10", "9"]
    remember(office, *((name, sha(name.encode()), T0) for name in names))
    lines = sorted(f"{name} {sha(name.encode())}\n" for name in names)
    with proofs(service, SOURCE) as found:
        assert found.digest(ALWAYS) == sha("".join(lines).encode())
        assert found.digest(Span(until=T0)) == sha(b"")


# --- complete until -------------------------------------------------------------------------------------------------


def test_what_waits_in_the_queue_or_in_a_workers_hands_ends_the_complete_span(service: Service, tmp_path: Path) -> None:
    with contextlib.closing(QueueStore(tmp_path / "queue.sqlite3")) as queue:
        queue.put([(INTAKE.queue, payload_of(sent(b"{}", f"m{n}", T0 + timedelta(hours=n)))) for n in range(2)])
        assert seen_now(service.settings).until == T0 - UNDER_WAY
        ((first, *_),) = queue.take([INTAKE.queue], 1)
        assert seen_now(service.settings).until == T0 - UNDER_WAY, "taken is not taken in"
        queue.park(first)
        assert seen_now(service.settings).until == T0 - UNDER_WAY, "parked is not set aside yet"
        queue.remove([first])
        assert seen_now(service.settings).until == T0 + timedelta(hours=1) - UNDER_WAY
        queue.purge(INTAKE.queue)
        before = datetime.now(UTC)
        assert before - UNDER_WAY <= (seen_now(service.settings).until or T0) <= datetime.now(UTC) - UNDER_WAY
        queue.put([(INTAKE.queue, '{"body": "nobody can read this"}')])
        assert (seen_now(service.settings).until, "cannot be read" in seen_now(service.settings).why) == (None, True)


def test_queue_that_cannot_be_looked_into_is_no_empty_queue(service: Service, tmp_path: Path) -> None:
    (tmp_path / "queue.sqlite3").write_bytes(b"damaged" * 1000)
    assert (seen_now(service.settings).until, "cannot be looked into" in seen_now(service.settings).why) == (None, True)


def test_nobody_claims_to_know_what_waits_in_rabbitmq() -> None:
    keys = {"BRIDGE_SECRET_KEY": "s" * 32, "BRIDGE_TICKET_KEY": "t" * 32}
    full = Service.from_environment({"BRIDGE_BROKER_URL": "amqp://guest:guest@127.0.0.1:1/x", **keys})
    assert (seen_now(full.settings).until, "RabbitMQ" in seen_now(full.settings).why) == (None, True)


def test_what_no_step_could_take_in_was_accepted_all_the_same(office: Office, service: Service) -> None:
    dead_letter(office, sent(b"poison", "m2", T0 + timedelta(seconds=2)).body().encode())
    remember(office, ("m1", "a" * 64, T0), ("m3", "a" * 64, T0 + timedelta(seconds=4)))
    with proofs(service, SOURCE) as found:
        receipt = found.one("m2") or {}
        assert (receipt["sha256"], receipt["effect"], receipt["aside"]) == (sha(b"poison"), "set_aside", "waiting")
        assert [row["webhook_id"] for row in found.in_order(ALWAYS)] == ["m1", "m2", "m3"]
        _rows, place = found.page(ALWAYS, None, 2)
        assert [row["webhook_id"] for row in found.page(ALWAYS, place, 2)[0]] == ["m3"]
        assert found.count(ALWAYS) == 3
        lines = f"m1 {'a' * 64}\nm2 {sha(b'poison')}\nm3 {'a' * 64}\n"
        assert found.digest(ALWAYS) == sha(lines.encode())
    with proofs(service, "jaki") as found:
        assert found.one("m2") is None
    remember(office, ("m2", sha(b"poison"), T0 + timedelta(seconds=2)))
    with proofs(service, SOURCE) as found:
        assert found.count(ALWAYS) == 3, "once, when it has been released"


def test_dead_letter_nobody_can_read_makes_no_span_complete_until_somebody_has_dealt_with_it(
    office: Office, service: Service
) -> None:
    dead_letter(office, b"\xff")
    with proofs(service, SOURCE) as found:
        assert (found.complete.until, "cannot be read" in found.complete.why) == (None, True)
    office.set("set_aside", {"state": "discarded"})
    with proofs(service, SOURCE) as found:
        assert found.complete.until


# --- comparing ------------------------------------------------------------------------------------------------------


def compared(
    found: Proofs, entries: list[Entry], span: Span = ALWAYS, complete: Complete = NOW
) -> tuple[list[Difference], Comparison]:
    """Return what differs, and the comparison with its counts."""
    with contextlib.closing(Listed()) as listed:
        listed.add(entries)
        comparison = Comparison(found, listed, span, complete)
        return list(comparison.differences()), comparison


IDS = st.sampled_from([f"{letter}{number}" for letter in "aZ-~" for number in range(8)])
BODIES = st.sampled_from(["a" * 64, "b" * 64])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(there=st.sets(st.tuples(IDS, BODIES)), here=st.dictionaries(IDS, BODIES), cut=st.integers(0, 32))
def test_any_two_sides_are_parted_exactly(
    office: Office, service: Service, there: set[tuple[str, str]], here: dict[str, str], cut: int
) -> None:
    empty(office)
    at = dict(zip(sorted(here), itertools.count(), strict=False))
    remember(office, *((name, digest, T0 + timedelta(seconds=at[name])) for name, digest in here.items()))
    span = Span(T0, T0 + timedelta(seconds=cut))
    with proofs(service, SOURCE) as found:
        said, comparison = compared(found, [Entry(*one) for one in there], span)
    listed = {name for name, _ in there}
    expected = [(What.MISSING_HERE, name) for name, _ in there if name not in here]
    expected += [(What.DIFFERENT_BODY, name) for name, digest in there if here.get(name, digest) != digest]
    expected += [(What.MISSING_THERE, name) for name in here.keys() - listed if at[name] < cut]
    assert sorted((one.what, one.webhook_id) for one in said) == sorted(expected)
    counts = comparison.counted()
    assert counts["same"] == sum(here.get(name) == digest for name, digest in there)
    assert counts["same"] + counts["different_body"] + counts["missing_here"] == len(there)
    assert comparison.agrees == (not expected)


@pytest.mark.parametrize(
    ("entry", "complete", "hint"),
    [
        (Entry("x", "a" * 64), Complete(T0), Hint.NOT_ACCEPTED),
        (Entry("x", "a" * 64, T0 - timedelta(seconds=1)), Complete(T0), Hint.NOT_ACCEPTED),
        (Entry("x", "a" * 64, T0), Complete(T0), Hint.ON_ITS_WAY),
        (Entry("x", "a" * 64, T0 - timedelta(seconds=1), answered=True), Complete(T0), Hint.LOST),
        (Entry("x", "a" * 64, T0, answered=True), Complete(T0), Hint.ON_ITS_WAY),
        (Entry("x", "a" * 64, T0, answered=True), Complete(None, "nobody looked"), Hint.ON_ITS_WAY),
        (Entry("x", "a" * 64), Complete(None, "nobody looked"), Hint.ON_ITS_WAY),
    ],
)
def test_lost_is_said_only_of_what_we_answered_and_would_have(
    service: Service, entry: Entry, complete: Complete, hint: Hint
) -> None:
    with proofs(service, SOURCE) as found:
        (said,) = compared(found, [entry], complete=complete)[0]
    assert (said.what, said.hint) == (What.MISSING_HERE, hint)


def test_other_body_that_lies_aside_is_named_in_the_comparison(office: Office, service: Service) -> None:
    office.handle([webhook(body("Q-1"), "m1")])
    office.handle([webhook(body("Q-2"), "m1")])
    with proofs(service, SOURCE) as found:
        (said,) = compared(found, [Entry("m1", sha(body("Q-2")))])[0]
        assert (said.what, said.sha256_here, said.aside) == (What.DIFFERENT_BODY, sha(body("Q-1")), "waiting")
        (said,) = compared(found, [Entry("m1", sha(b"never"))])[0]
        assert (said.what, said.aside) == (What.DIFFERENT_BODY, None)
