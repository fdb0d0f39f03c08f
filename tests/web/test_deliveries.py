"""The pages of deliveries: whose fault it was is told apart, every attempt is shown, and once more needs a reason."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from markupsafe import escape

from bridge.desk import replays
from bridge.storage import told
from bridge.storage.tables import deliveries
from bridge.storage.told import Wanted
from bridge.words import ZONE
from tests.web.office import Office
from tests.web.told_story import (
    AGAIN,
    BREAKER,
    DELIVERED,
    DIGEST,
    GONE,
    ORDER,
    OUR_FAULT,
    QUIET,
    REFUSED_BY_CITY,
    STORY,
    WENT_ON,
    Told,
    happen,
    trouble,
)

PAGE, REPLAY = "/desk/deliveries", "/desk/deliveries/replay"
Made = Callable[..., list[str]]


@pytest.fixture
def happened(office: Office) -> Made:
    """Let deliveries about a new report have become what is said; nothing else is there."""
    with office.service.database.write() as connection:
        for table in ("delivery_attempts", "replays", "destinations", "outbox", "deliveries"):
            connection.execute(sa.text(f"DELETE FROM {table}"))

    def make(*story: Told) -> list[str]:
        ticket = office.new_report()
        with office.service.database.write() as connection:
            connection.execute(sa.delete(deliveries))
            connection.execute(sa.text("DELETE FROM outbox"))
        return happen(office.service, ticket, *story)

    return make


def row_of(office: Office, delivery_id: str) -> dict[str, Any]:
    """Return a delivery as it stands."""
    with office.service.database.read() as connection:
        (row,) = told.listed(connection, Wanted(delivery_ids=[delivery_id]))
    return row


def notes(office: Office) -> list[dict[str, Any]]:
    """Return who sent what once more."""
    with office.service.database.read() as connection:
        return told.replays_listed(connection)


def listed(office: Office, **query: str) -> str:
    """Return the page of a list."""
    answer = office.inside("adi").get(PAGE, query_string=query)
    assert answer.status_code == 200
    return answer.text


def links(text: str, ids: list[str]) -> set[int]:
    """Return which of the deliveries a list shows, by their place."""
    return {place for place, delivery_id in enumerate(ids) if f'href="{PAGE}/{delivery_id}"' in text}


# --- the lists ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ours", [OUR_FAULT]),
        ("theirs", [REFUSED_BY_CITY]),
        ("elsewhere", [WENT_ON]),
        ("waiting", [QUIET, BREAKER, ORDER, AGAIN]),
        ("all", STORY),
        ("", [OUR_FAULT]),
        ("nonsense", [OUR_FAULT]),
    ],
)
def test_each_list_shows_what_belongs_there_and_nothing_else(
    office: Office, happened: Made, name: str, expected: list[Told]
) -> None:
    ids = happened(*STORY)
    text = listed(office, list=name)
    assert links(text, ids) == {STORY.index(one) for one in expected}
    current = re.findall(r'<a href="/desk/deliveries\?list=(\w+)" aria-current="page">', text)
    assert current == [name if name in ("theirs", "elsewhere", "waiting", "all") else "ours"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"purpose": "callback"}, [REFUSED_BY_CITY, BREAKER, ORDER]),
        ({"recipient": "budi", "channel": "telegram"}, [WENT_ON]),
        ({"recipient": "qlue/arsip", "state": "failed"}, [BREAKER]),
        ({"state": "suppressed"}, [GONE]),
        ({"ticket": "0000-0000-0000"}, []),
        ({"since": "2020-01-01", "until": "2020-01-02"}, []),
        ({"since": "2020-01-01", "state": "suppressed"}, [GONE]),
        ({"since": "0001-01-01", "until": "9999-12-31", "state": "suppressed"}, [GONE]),
    ],
)
def test_filters_narrow_the_list(office: Office, happened: Made, query: dict[str, str], expected: list[Told]) -> None:
    ids = happened(*STORY)
    assert links(listed(office, list="all", **query), ids) == {STORY.index(one) for one in expected}


def test_ticket_is_found_as_it_is_typed_and_filters_stay_in_the_links_of_the_tabs(
    office: Office, happened: Made
) -> None:
    (only,) = happened(OUR_FAULT)
    ticket = row_of(office, only)["ticket"]
    text = listed(office, list="ours", ticket=f" {ticket.lower()} ")
    assert links(text, [only]) == {0}
    assert f"{PAGE}?list=theirs&amp;ticket=+{ticket.lower()}+" in text


def test_all_shows_the_last_days_unless_a_day_is_asked_for(office: Office, happened: Made) -> None:
    ids = happened(DELIVERED, Told("ani", "new_report", "email", "delivered", hours_ago=24 * 9))
    text = listed(office, list="all")
    assert (links(text, ids), "Tujuh hari terakhir" in text) == ({0}, True)
    text = listed(office, list="all", since=f"{datetime.now(ZONE) - timedelta(days=12):%Y-%m-%d}")
    assert (links(text, ids), "Tujuh hari terakhir" in text) == ({0, 1}, False)


def test_states_are_told_in_words_with_why_and_until_when(office: Office, happened: Made) -> None:
    happened(*STORY)
    text = listed(office, list="all")
    for said in (
        "tidak terkirim: kesalahan kami",
        "tidak terkirim: ditolak tujuan",
        "gagal, diteruskan lewat e-mail",
        "ditahan: menunggu kabar yang lebih dulu",
        "tidak perlu lagi: tanggapan pertama sudah dipenuhi oleh Ani",
        ": jam tenang",
        ": tujuan sedang bermasalah",
        "gagal, dicoba lagi",
    ):
        assert said in text, said


def test_figures_say_what_waits_what_is_held_and_why_and_whose_fault_it_was(office: Office, happened: Made) -> None:
    happened(*STORY)
    text = " ".join(listed(office).split())
    for said in (
        "<strong>2</strong> tidak terkirim",
        "1 kesalahan kami",
        "1 ditolak tujuan",
        "<strong>4</strong> belum selesai",
        "2 menunggu dikirim",
        "2 gagal, akan diulang",
        "<strong>1</strong> ditahan: jam tenang",
    ):
        assert said in text, said


def test_destinations_in_trouble_say_how_they_are(office: Office, happened: Made) -> None:
    happened()
    trouble(office.service)
    text = listed(office)
    for said in ("dibiarkan sebentar", "dicoba dengan satu kiriman", "masih dikirimi", "7×", "Connection timed out"):
        assert said in text, said


def test_inbox_counts_what_nobody_heard_and_leads_to_it(office: Office, happened: Made) -> None:
    happened(*STORY)
    text = office.inside("adi").get("/desk/").text
    assert f'<strong>2</strong> <a href="{PAGE}">surat gagal terkirim</a>' in text
    assert "surat gagal terkirim" not in office.inside("ani").get("/desk/").text


# --- one delivery ---------------------------------------------------------------------------------------------------


def test_every_attempt_is_shown_with_what_came_back_and_nothing_of_it_is_markup(office: Office, happened: Made) -> None:
    (refused,) = happened(REFUSED_BY_CITY)
    text = office.inside("kartika").get(f"{PAGE}/{refused}").text
    assert text.count("ditolak tujuan · status") == 3
    assert str(escape(REFUSED_BY_CITY.tries[0].response)) in text
    assert "<b>registered" not in text
    assert "180 ms" in text


def test_what_left_in_one_digest_is_named(office: Office, happened: Made) -> None:
    first, second, other = happened(*DIGEST, DELIVERED)
    text = office.inside("adi").get(f"{PAGE}/{first}").text
    assert "Dalam ringkasan yang sama" in text
    assert links(text, [first, second, other]) == {1}
    assert "Dalam ringkasan yang sama" not in office.inside("adi").get(f"{PAGE}/{other}").text


def test_what_is_not_there_is_said_so(office: Office) -> None:
    answer = office.inside("adi").get(f"{PAGE}/00000000-0000-5000-8000-000000000000")
    assert (answer.status_code, "Tidak ditemukan" in answer.text) == (404, True)


def test_one_is_sent_once_more_with_a_reason_and_noted(office: Office, happened: Made) -> None:
    (one,) = happened(REFUSED_BY_CITY)
    answer = office.inside("sekar").post(f"{PAGE}/{one}/again", reason="kota sudah memperbaiki")
    assert (answer.status_code, answer.location) == (302, f"{PAGE}/{one}?left=1")
    assert "Dikirim ulang; hasilnya" in office.inside("sekar").get(answer.location).text
    assert (row_of(office, one)["state"], row_of(office, one)["replays"]) == ("pending", 1)
    (note,) = notes(office)
    assert (note["actor"], note["reason"], note["deliveries"]) == ("person:sekar", "kota sudah memperbaiki", 1)


def test_second_press_sends_nothing_and_says_why(office: Office, happened: Made) -> None:
    (one,) = happened(REFUSED_BY_CITY)
    adi = office.inside("adi")
    adi.post(f"{PAGE}/{one}/again", reason="uji")
    answer = adi.post(f"{PAGE}/{one}/again", reason="uji")
    assert answer.location == f"{PAGE}/{one}?left=0"
    assert "sepuluh menit terakhir" in adi.get(answer.location).text
    assert len(notes(office)) == 1


def test_without_a_reason_nothing_is_sent(office: Office, happened: Made) -> None:
    (one,) = happened(REFUSED_BY_CITY)
    answer = office.inside("adi").post(f"{PAGE}/{one}/again", reason=" ")
    assert (answer.status_code, "Tulis alasannya" in answer.text) == (422, True)
    assert (row_of(office, one)["state"], notes(office)) == ("given_up", [])


def test_chair_looks_on_and_has_no_button(office: Office, happened: Made) -> None:
    (one,) = happened(REFUSED_BY_CITY)
    for path in (f"{PAGE}/{one}", REPLAY):
        text = office.inside("kartika").get(path).text
        assert ("Kirim sekarang" in text, "Hitung dulu" in text) == (False, False)


# --- a span of time -------------------------------------------------------------------------------------------------


def span(hours: float = 12, **more: str) -> dict[str, str]:
    """Return a form that asks for the last hours."""
    return {"since": f"{datetime.now(ZONE) - timedelta(hours=hours):%Y-%m-%dT%H:%M}", "what": "unheard", **more}


def test_span_is_counted_first_then_sent_and_noted_once(office: Office, happened: Made) -> None:
    happened(*STORY)
    adi, asked = office.inside("adi"), span(purpose="callback")
    assert "1 kiriman akan keluar sekali lagi" in adi.get(REPLAY, query_string=asked).text
    assert notes(office) == []
    answer = adi.post(REPLAY, **asked, reason="kota kehilangan basis data")
    assert answer.location == f"{REPLAY}?left=1"
    text = adi.get(answer.location).text
    for said in ("1 kiriman keluar sekali lagi", "kota kehilangan basis data", "Adi", "kabar ke kota"):
        assert said in text, said
    assert [note["deliveries"] for note in notes(office)] == [1]


def test_everything_means_also_what_was_delivered(office: Office, happened: Made) -> None:
    happened(*STORY)
    text = office.inside("adi").get(REPLAY, query_string=span(recipient="ani", what="all")).text
    assert "4 kiriman akan keluar sekali lagi" in text


def test_span_ends_where_it_is_said_to_in_jakarta(office: Office, happened: Made) -> None:
    happened(*(Told("ani", "new_report", "email", "given_up", hours_ago=hours) for hours in (2, 5, 8)))
    until = f"{datetime.now(ZONE) - timedelta(hours=4):%Y-%m-%dT%H:%M}"
    text = office.inside("adi").get(REPLAY, query_string=span(hours=6, recipient="ani", until=until)).text
    assert "1 kiriman akan keluar" in text


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"since": "2026-11-24T08:00"}, "Pilih jenis atau penerima"),
        ({"purpose": "callback", "since": "", "until": "2026-11-24T08:00"}, "Isi sejak kapan"),
        ({"purpose": "callback", "since": "kemarin"}, "Isi sejak kapan"),
        ({"purpose": "nonsense", "since": "2026-11-24T08:00"}, "Pilih jenis atau penerima"),
        ({"purpose": "callback", "since": "2026-11-24T08:00", "until": "2026-11-24T07:00"}, "mendahului"),
    ],
)
def test_span_that_makes_no_sense_is_refused_in_words(
    office: Office, happened: Made, asked: dict[str, str], said: str
) -> None:
    happened(*STORY)
    adi = office.inside("adi")
    assert said in adi.get(REPLAY, query_string=asked).text
    answer = adi.post(REPLAY, **asked, reason="uji")
    assert (answer.status_code, said in answer.text, notes(office)) == (422, True, [])


def test_span_without_a_reason_is_refused(office: Office, happened: Made) -> None:
    happened(*STORY)
    answer = office.inside("adi").post(REPLAY, **span(purpose="callback"), reason="")
    assert (answer.status_code, "Tulis alasannya" in answer.text, notes(office)) == (422, True, [])


def test_too_many_for_a_page_are_left_to_the_command(
    office: Office, happened: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened(*STORY)
    monkeypatch.setattr(replays, "MOST_ON_PAGE", 3)
    adi, asked = office.inside("adi"), span(recipient="ani", what="all")
    text = adi.get(REPLAY, query_string=asked).text
    assert f"bridge deliveries replay --to ani --since {asked['since']}" in text
    answer = adi.post(REPLAY, **asked, reason="uji")
    assert (answer.status_code, notes(office)) == (422, [])


# --- a report's timeline, and the figures -------------------------------------------------------------------------------


def test_timeline_of_a_report_tells_who_was_told_what_by_which_way_and_what_became_of_it(
    office: Office, happened: Made
) -> None:
    ids = happened(*STORY)
    ticket = row_of(office, ids[0])["ticket"]
    text = " ".join(office.inside("adi").get(f"/desk/reports/{ticket}").text.split())
    for said in ("Kabar ke aplikasi kota nomor 2 ke qlue", "Kartika: Eskalasi tingkat 3 · whatsapp", "3 percobaan"):
        assert said in text, said
    assert links(text, ids) == set(range(len(STORY)))
    assert links(office.inside("ani").get(f"/desk/reports/{ticket}").text, ids) == set()


def test_metrics_say_what_waits_what_nobody_heard_and_how_destinations_are(office: Office, happened: Made) -> None:
    happened(*STORY)
    trouble(office.service)
    text = office.visitor().get("/metrics").text
    for line in (
        'bridge_deliveries_waiting{state="pending"} 2.0',
        'bridge_deliveries_waiting{state="sending"} 0.0',
        'bridge_deliveries_held{why="quiet"} 1.0',
        'bridge_deliveries_held{why="burst"} 0.0',
        'bridge_deliveries_unheard{fault="ours"} 1.0',
        'bridge_deliveries_unheard{fault="away"} 0.0',
        'bridge_destination_state{destination="telegram",state="open"} 1.0',
        'bridge_destination_state{destination="telegram",state="closed"} 0.0',
        'bridge_destination_state{destination="qlue/arsip",state="half_open"} 1.0',
        'bridge_destination_state{destination="email",state="closed"} 1.0',
        'bridge_destination_failures{destination="telegram"} 7.0',
        'bridge_destination_failures{destination="email"} 0.0',
        "bridge_given_up 2.0",
        'bridge_attempts_last_hour{channel="webhook",outcome="failed",purpose="callback"} ',
    ):
        assert line in text, line
    (oldest,) = [line for line in text.splitlines() if line.startswith("bridge_deliveries_oldest_seconds ")]
    assert float(oldest.split()[1]) == pytest.approx(0.6 * 3600, abs=60)
