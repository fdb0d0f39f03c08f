"""What became of a delivery, in the words of both languages: nothing consumers write is left in English on a page."""

from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.desk.told_words import channel_in_words, colour, reason_in_words, standing
from bridge.reports.clocks import ClockState
from bridge.reports.preferences import Held
from bridge.words import WORDS

NAMES = {"ani": "Ani Rahmawati", "budi": "Budi Santoso"}
NEXT = datetime(2026, 11, 23, 23, 0, tzinfo=UTC)

REASONS = [
    ("the report was closed meanwhile", "laporan sudah ditutup", "the report was closed meanwhile"),
    (
        "acknowledge: met meanwhile by person:ani",
        "tanggapan pertama sudah dipenuhi oleh Ani Rahmawati",
        "acknowledgement: met meanwhile by Ani Rahmawati",
    ),
    (
        "the report has moved on to budi",
        "laporan sudah beralih ke Budi Santoso",
        "the report has moved on to Budi Santoso",
    ),
    ("the report has moved on to nobody", "laporan tidak lagi dipegang siapa pun", "the report has moved on to nobody"),
    (
        "ani is absent; budi is told",
        "Ani Rahmawati tidak di tempat; Budi Santoso yang diberi tahu",
        "Ani Rahmawati is absent; Budi Santoso is told",
    ),
    (
        "ani has turned these notices off",
        "Ani Rahmawati mematikan pemberitahuan ini",
        "Ani Rahmawati has turned these notices off",
    ),
    ("550 no such user", "550 no such user", "550 no such user"),
]


def row(**fields: Any) -> dict[str, Any]:
    """Return a delivery that waits, unless said otherwise."""
    waiting = {"state": "pending", "finished_at": None, "next_attempt_at": NEXT, "held": None, "fault": None}
    return waiting | {"fell_back_to": None, "last_error": None} | fields


@pytest.mark.parametrize(("written", "indonesian", "english"), REASONS)
def test_reason_is_told_in_words_with_the_names_of_people(written: str, indonesian: str, english: str) -> None:
    assert reason_in_words(written, NAMES, "id") == indonesian
    assert reason_in_words(written, NAMES, "en") == english


STANDINGS = [
    (row(), "menunggu dikirim", "pending"),
    (row(held="quiet"), "ditahan sampai 24 Nov 06.00: jam tenang", "held until 24 Nov 06:00: quiet hours"),
    (row(held="order"), "ditahan: menunggu kabar yang lebih dulu", "held: an older one goes first"),
    (row(state="failed"), "gagal, dicoba lagi 24 Nov 06.00", "failed, tried again 24 Nov 06:00"),
    (row(state="delivered", finished_at=NEXT), "terkirim", "delivered"),
    (row(state="given_up", finished_at=NEXT, fault="ours"), "tidak terkirim: kesalahan kami", "not delivered: our own fault"),
    (row(state="given_up", finished_at=NEXT), "tidak terkirim", "not delivered"),
    (row(state="given_up", finished_at=NEXT, fault="away", fell_back_to="sms"), "gagal, diteruskan lewat sms", "failed, went on by sms"),
    (row(state="suppressed", finished_at=NEXT, last_error="the report was closed meanwhile"), "tidak perlu lagi: laporan sudah ditutup", "no longer needed: the report was closed meanwhile"),
]  # fmt: skip


@pytest.mark.parametrize(("delivery", "indonesian", "english"), STANDINGS)
def test_how_a_delivery_stands_is_told_with_why_and_until_when(
    delivery: dict[str, Any], indonesian: str, english: str
) -> None:
    assert standing(delivery, NAMES, "id") == indonesian
    assert standing(delivery, NAMES, "en") == english


def test_only_what_nobody_heard_is_red() -> None:
    ended = {"finished_at": NEXT}
    assert colour(row(state="given_up", **ended)) == "merah"
    assert colour(row(state="given_up", fell_back_to="sms", **ended)) == colour(row(state="failed")) == "kuning"
    assert colour(row(state="delivered", **ended)) == colour(row(state="suppressed", **ended)) == "hijau"


def test_channels_an_operator_named_keep_their_name() -> None:
    assert channel_in_words("desk", "id") == "meja kerja"
    assert channel_in_words("grup-wa", "id") == "grup-wa"


def test_every_reason_to_wait_has_words() -> None:
    assert {f"held_{why}" for why in Held} <= set(WORDS)
    assert {ClockState.MET, ClockState.CANCELLED} == {"met", "cancelled"}
