"""The citizen's page on a telephone: the colour first, one screen, and it changes by itself."""

import pytest
from playwright.sync_api import expect

from bridge.reports.states import Move
from tests.browser.conftest import Visits
from tests.browser.town import Town
from tests.servers import eventually

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
#: The page renews itself within this long, in milliseconds.
SOON = 20_000


def test_page_turns_from_red_to_yellow_by_itself_and_to_green_in_the_end(visits: Visits, town: Town) -> None:
    ticket = town.complain()
    page = visits.open(f"/track/{ticket}", **PHONE)
    expect(page.locator(".status.merah")).to_contain_text("Diterima, menunggu BPSK")
    town.move(ticket, Move.ACKNOWLEDGE)
    expect(page.locator(".status.kuning")).to_contain_text("Ditelaah BPSK", timeout=SOON)
    town.move(ticket, Move.CLOSE)
    page.reload()
    expect(page.locator(".status.hijau")).to_contain_text("Perdamaian tercapai")


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_ticket_is_typed_as_it_is_heard_and_the_report_is_shown(visits: Visits, town: Town, script: bool) -> None:
    ticket = town.complain()
    page = visits.open("/track/", java_script_enabled=script, **PHONE)
    page.get_by_label("Nomor tiket").fill(ticket.replace("-", " ").lower())
    page.get_by_role("button", name="Lihat").click()
    expect(page).to_have_url(f"{town.url}/track/{ticket}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Diterima")


def test_wrong_ticket_says_so_and_keeps_the_form(visits: Visits) -> None:
    page = visits.open("/track/", **PHONE)
    page.get_by_label("Nomor tiket").fill("K7Q2-9XWM-4T8S")
    page.get_by_role("button", name="Lihat").click()
    expect(page.get_by_role("alert")).to_contain_text("Tidak ada laporan dengan tiket itu")
    expect(page.get_by_label("Nomor tiket")).to_be_visible()
    visits.complaints.clear()  # Chromium notes the 404


def test_colour_sentence_and_deadline_are_on_the_first_screen(visits: Visits, town: Town) -> None:
    page = visits.open(f"/track/{town.complain()}", **PHONE)
    for found in (
        page.locator(".status"),
        page.get_by_text("Batas waktu:"),
        page.get_by_text("Terdaftar sebagai perkara"),
    ):
        box = found.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 844
    assert page.locator(".status").bounding_box()["y"] < 100  # type: ignore[index]


def test_escalations_are_shown_to_the_citizen(visits: Visits, town: Town) -> None:
    eventually(lambda: town.level(town.ignored) >= 2, 40, "the report climbs")
    page = visits.open(f"/track/{town.ignored}", **PHONE)
    expect(page.locator(".steps .climbed").nth(0)).to_contain_text("Eskalasi ke anggota berikutnya")
    expect(page.locator(".steps .climbed").nth(1)).to_contain_text("Eskalasi ke Sekretariat")
    expect(page.get_by_text("Batas waktu:")).to_contain_text("sudah lewat")


def test_citizen_reads_it_in_english_too(visits: Visits, town: Town) -> None:
    page = visits.open(f"/track/{town.move(town.complain(), Move.ACKNOWLEDGE, Move.ASK_COMPLETION)}", **PHONE)
    expect(page.get_by_role("heading", name="Yang diminta dari Anda")).to_be_visible()
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", name="What is asked of you")).to_be_visible()
