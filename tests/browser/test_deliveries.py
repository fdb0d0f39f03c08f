"""Deliveries and a person's own settings in the browser: found, sent once more, chosen and tested, with and without script."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visits
from tests.browser.town import Town
from tests.web.told_story import OUR_FAULT, REFUSED_BY_CITY, Told

SCRIPT = pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without JavaScript"])


@SCRIPT
def test_what_the_city_refused_is_found_in_its_list_and_sent_once_more_with_a_reason(
    visits: Visits, town: Town, script: bool
) -> None:
    ticket = town.complain()
    town.told(ticket, REFUSED_BY_CITY, OUR_FAULT)
    page = visits.log_in("sekar", java_script_enabled=script)
    page.get_by_role("navigation").get_by_role("link", name="Kiriman").click()
    lists = page.get_by_role("navigation", name="Daftar")
    expect(lists.locator("[aria-current=page]")).to_contain_text("Pipeline kami gagal")
    expect(page.locator("table.told tbody tr", has_text=ticket)).to_contain_text("kesalahan kami")
    lists.get_by_role("link", name="Mereka menolak").click()
    page.get_by_label("Tiket", exact=True).fill(ticket)
    page.get_by_role("button", name="Tampilkan").click()
    expect(lists.locator("[aria-current=page]")).to_contain_text("Mereka menolak")
    page.locator("table.told tbody tr", has_text=ticket).get_by_role("link", name="nomor 2").click()
    expect(page.locator("pre.answer")).to_have_count(3)
    page.get_by_label("Alasan").fill("kota sudah memperbaiki")
    page.get_by_role("button", name="Kirim sekarang").click()
    expect(page.get_by_role("status").first).to_contain_text("Dikirim ulang")
    page.get_by_role("navigation").get_by_role("link", name="Kiriman").click()
    page.get_by_role("link", name="Kirim ulang satu rentang waktu").click()
    expect(page.locator(".timeline").first).to_contain_text("Sekar Wulandari · kota sudah memperbaiki")


@SCRIPT
def test_span_of_time_is_counted_then_sent_once_more(visits: Visits, town: Town, script: bool) -> None:
    # Long ago, so that no other test's are among them; each run of this test has a year of its own.
    years = 3 if script else 5
    town.told(
        town.complain(), *(Told("darma", "warning", "email", "given_up", hours_ago=years * 8760 + n) for n in range(3))
    )
    page = visits.log_in("adi", "/desk/deliveries/replay", java_script_enabled=script)
    page.get_by_label("Penerima").select_option(label="Darma Siregar")
    page.get_by_label("Sejak").fill(f"{2026 - years}-01-01T00:00")
    page.get_by_label("Sampai").fill(f"{2026 - years}-12-31T23:59")
    page.get_by_role("button", name="Hitung dulu").click()
    expect(page.get_by_role("heading", name="3 kiriman akan keluar sekali lagi")).to_be_visible()
    page.get_by_label("Alasan").fill("server surat kehilangan isinya")
    page.get_by_role("button", name="Kirim ulang").click()
    expect(page.get_by_role("status").first).to_contain_text("3 kiriman keluar sekali lagi")


@SCRIPT
def test_settings_are_chosen_and_tested_by_who_they_belong_to(visits: Visits, town: Town, script: bool) -> None:
    page = visits.log_in("budi", java_script_enabled=script)
    page.get_by_role("link", name="Budi Santoso").click()
    page.get_by_label("Tenang dari").fill("21:00")
    page.get_by_label("Tenang sampai").fill("05:30")
    page.get_by_label("Ringkasan pada jam").fill("7.30")
    page.get_by_role("button", name="Simpan").click()
    expect(page.get_by_role("alert")).to_contain_text("Tulis jam seperti 07:30 13:00")
    expect(page.get_by_label("Tenang dari")).to_have_value("21:00")
    page.get_by_label("Ringkasan pada jam").fill("07.30")
    page.get_by_label("Laporan dicabut").uncheck()
    page.get_by_role("button", name="Simpan").click()
    expect(page.get_by_role("status").first).to_contain_text("Tersimpan")
    expect(page.get_by_label("Ringkasan pada jam")).to_have_value("07:30")
    expect(page.get_by_label("Laporan dicabut")).not_to_be_checked()
    page.get_by_role("button", name="Kirim uji coba kepada saya").click()
    expect(page.locator(".tried")).to_contain_text("e-mail: diterima")
    visits.complaints.clear()  # Chromium notes the 422 of what was refused
