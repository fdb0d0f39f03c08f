"""The way of a report through the pages, as people go it: with a mouse, with keys, and without JavaScript."""

import re

import pytest
from playwright.sync_api import expect

from bridge.reports.states import Move
from tests.browser.conftest import Visits
from tests.browser.town import FAST, Town
from tests.servers import eventually

#: The live parts renew themselves within this long, in milliseconds.
SOON = 15_000


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_officer_finds_the_report_on_the_own_desk_and_acknowledges_with_one_click(
    visits: Visits, town: Town, script: bool
) -> None:
    ticket = town.complain("Klaim asuransi ditolak", assignee="ani")
    page = visits.log_in("ani", java_script_enabled=script)
    line = page.locator(".rows > li", has_text=ticket)
    expect(line).to_contain_text("Klaim asuransi ditolak")
    expect(line).to_contain_text("sisa")
    line.get_by_role("button", name=f"Tanggapi {ticket}").click()
    expect(line).to_contain_text("Ditelaah BPSK")
    expect(line.get_by_role("button")).to_have_count(0)
    assert town.status(ticket) == "acknowledged"


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_report_is_walked_through_its_moves_on_its_page(visits: Visits, town: Town, script: bool) -> None:
    ticket = town.complain()
    page = visits.log_in("sekar", f"/desk/reports/{ticket}", java_script_enabled=script)
    page.get_by_role("button", name="Tanggapi laporan ini").click()
    state = page.locator(".status")
    expect(state).to_contain_text("Ditelaah BPSK")
    page.get_by_text("Minta kelengkapan", exact=True).click()
    page.get_by_label("Saksi").check()
    page.get_by_role("button", name="Lakukan", exact=True).locator("visible=true").click()
    expect(state).to_contain_text("Perlu dilengkapi")
    page.get_by_text("Daftarkan sebagai perkara", exact=True).click()
    page.get_by_label("Nomor registrasi perkara").fill("018/REG/2026")
    page.get_by_role("button", name="Lakukan", exact=True).locator("visible=true").click()
    expect(state).to_contain_text("018/REG/2026")
    page.get_by_text("Tutup", exact=True).click()
    page.get_by_label("Hasil").select_option(label="Gugatan dikabulkan")
    page.get_by_role("button", name="Lakukan", exact=True).locator("visible=true").click()
    expect(state).to_contain_text("Gugatan dikabulkan")
    expect(page.locator(".timeline")).to_contain_text("yang kurang: Saksi")


def test_report_is_given_to_somebody_else(visits: Visits, town: Town) -> None:
    ticket = town.complain(assignee="ani")
    page = visits.log_in("sekar", f"/desk/reports/{ticket}")
    page.get_by_text("Alihkan ke petugas lain").click()
    page.get_by_label("Petugas").select_option(label="Budi Santoso")
    page.get_by_label("Alasan", exact=True).locator("visible=true").fill("cuti")
    page.get_by_role("button", name="Alihkan").click()
    expect(page.locator(".status")).to_contain_text("Budi Santoso")
    expect(page.locator(".timeline")).to_contain_text("kepada: Budi Santoso · alasan: cuti")


def test_new_report_appears_in_the_open_inbox_by_itself(visits: Visits, town: Town) -> None:
    page = visits.log_in("sekar")
    ticket = town.complain("Laporan yang baru masuk")
    expect(page.locator(".rows > li", has_text=ticket)).to_be_visible(timeout=SOON)


def test_renewing_the_inbox_takes_the_focus_from_nobody(visits: Visits, town: Town) -> None:
    ticket = town.complain("Laporan untuk papan ketik")
    page = visits.log_in("sekar")
    button = page.get_by_role("button", name=f"Tanggapi {ticket}")
    button.focus()
    with page.expect_response(re.compile("/desk/inbox/rows")) as renewed:
        renewed.value.finished()
    expect(button).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".rows > li", has_text=ticket)).to_contain_text("Ditelaah BPSK")


def test_inbox_is_searched_and_filtered_and_the_address_keeps_it(visits: Visits, town: Town) -> None:
    wanted, other = town.complain("Pulsa terpotong"), town.complain("Tagihan air")
    town.move(wanted, Move.ACKNOWLEDGE)
    page = visits.log_in("sekar")
    page.get_by_label("Cari", exact=True).fill("pulsa")
    page.get_by_label("Status").select_option(label="Ditelaah BPSK")
    page.get_by_role("button", name="Tampilkan").click()
    expect(page.locator(".rows > li", has_text=wanted)).to_be_visible()
    expect(page.locator(".rows > li", has_text=other)).to_have_count(0)
    page.reload()
    expect(page.get_by_label("Cari", exact=True)).to_have_value("pulsa")


def test_log_in_and_skip_link_work_by_keyboard_alone(visits: Visits) -> None:
    page = visits.open("/desk/login")
    expect(page.get_by_label("Nama pengguna")).to_be_focused()
    page.keyboard.type("sekar")
    page.keyboard.press("Tab")
    page.keyboard.type("kata sandi untuk uji")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Kotak masuk")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Langsung ke isi")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Cari", exact=True)).to_be_focused()


def test_open_inbox_leads_to_the_entrance_when_the_session_is_over(visits: Visits) -> None:
    page = visits.log_in("sekar")

    def at_the_entrance() -> bool:
        # Again and again: the answer to a renewal that was on its way brings the cookie back.
        page.context.clear_cookies()
        return page.url.endswith("/desk/login")

    eventually(at_the_entrance, SOON / 1000, "the entrance is shown")
    page.wait_for_load_state()
    visits.complaints.clear()  # Chromium notes the 401 that said so


def test_ignored_report_climbs_in_the_open_log_and_the_mailed_link_stops_it(visits: Visits, town: Town) -> None:
    log = visits.log_in("kartika", "/desk/escalations")
    ticket = town.complain("Laporan yang didiamkan", category=FAST)
    mine = log.locator("table.log tbody tr", has_text=ticket)
    expect(mine.filter(has_text="tingkat 1")).to_be_visible(timeout=2 * SOON)
    expect(mine.filter(has_text="✓ ya").first).to_be_visible(timeout=SOON)
    expect(log.get_by_role("status").first).to_contain_text("Rantai catatan utuh")
    log.goto(f"{town.url}/desk/mail")
    letter = log.locator("details.mail", has_text=f"Eskalasi tingkat 1 {ticket}")
    letter.locator("summary").click()
    letter.locator("a[href*='/a/']").click()
    log.get_by_role("button", name="Ya, saya tangani").click()
    expect(log.get_by_text("Terima kasih")).to_be_visible()
    assert town.status(ticket) == "acknowledged"


def test_log_is_filtered_without_javascript(visits: Visits, town: Town) -> None:
    page = visits.log_in("adi", "/desk/escalations", java_script_enabled=False)
    page.get_by_label("Tingkat").select_option(value="6")
    page.get_by_label("peringatan juga").check()
    page.get_by_role("button", name="Tampilkan").click()
    expect(page).to_have_url(re.compile("level=6&.*warnings=1"))
    expect(page.get_by_text("Belum ada eskalasi")).to_be_visible()
    assert page.get_by_role("link", name="CSV").get_attribute("href", timeout=1_000)


def test_officer_sees_neither_log_nor_mail(visits: Visits) -> None:
    page = visits.log_in("ani")
    expect(page.get_by_role("link", name="Eskalasi")).to_have_count(0)
    expect(page.get_by_role("link", name="Surat")).to_have_count(0)


def test_language_is_switched_and_kept(visits: Visits, town: Town) -> None:
    ticket = town.complain("Motor ditarik")
    page = visits.log_in("sekar")
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", name="Inbox")).to_be_visible()
    page.goto(f"{town.url}/desk/reports/{ticket}")
    expect(page.get_by_role("button", name="Acknowledge this report")).to_be_visible()
    page.get_by_role("button", name="Indonesia").click()
    expect(page.get_by_role("button", name="Tanggapi laporan ini")).to_be_visible()


def test_logging_out_ends_it(visits: Visits, town: Town) -> None:
    page = visits.log_in("sekar")
    page.get_by_role("button", name="Keluar").click()
    expect(page.get_by_role("heading", name="Masuk")).to_be_visible()
    page.goto(f"{town.url}/desk/")
    expect(page.get_by_role("heading", name="Masuk")).to_be_visible()
