"""What lies aside in the browser: mended in an editor that checks as one types, released, discarded, with and without script."""

import json

import pytest
from playwright.sync_api import Page, expect

from bridge.reports.tickets import ticket_for
from tests.browser.conftest import Visits
from tests.browser.town import Town
from tests.servers import eventually


def _ticket(town: Town, mended: bytes) -> str:
    return ticket_for(town.service.settings.ticket_key, "qlue", json.loads(mended)["data"]["id"])


def _release(page: Page, reason: str = "judul ditambahkan") -> None:
    page.get_by_label("Alasan").fill(reason)
    page.get_by_role("button", name="Lepaskan").click()


def test_officer_of_the_secretariat_mends_what_was_set_aside_while_the_page_checks_as_one_types(
    visits: Visits, town: Town
) -> None:
    number, mended = town.set_aside()
    page = visits.log_in("sekar", "/desk/")
    page.get_by_role("navigation").get_by_role("link", name="Disisihkan").click()
    page.locator(f'a[href="/desk/set-aside/{number}"]').click()
    verdict, editor = page.locator("#verdict"), page.get_by_label("Yang akan dilepaskan")
    expect(verdict).to_contain_text("data.title: wajib ada")
    editor.fill('{"type": ')
    expect(verdict).to_contain_text("bukan JSON")
    expect(editor).to_have_value('{"type": ')
    editor.fill(json.dumps(json.loads(mended), indent=2))
    expect(verdict).to_contain_text("Dapat diterima")
    editor.press("End")
    expect(editor).to_be_focused()
    _release(page)
    expect(page.locator(".status")).to_contain_text("dilepaskan")
    expect(page.locator(".timeline")).to_contain_text("Sekar Wulandari · judul ditambahkan")
    ticket = _ticket(town, mended)
    eventually(lambda: town.knows(ticket), 20, "the released report")
    page.get_by_role("link", name=ticket).click()
    expect(page.locator("h1")).to_contain_text("Motor ditarik leasing")


@pytest.mark.parametrize("deed", ["Lepaskan", "Buang"])
def test_without_script_it_is_checked_by_a_button_and_released_or_discarded(
    visits: Visits, town: Town, deed: str
) -> None:
    number, mended = town.set_aside()
    page = visits.log_in("adi", f"/desk/set-aside/{number}", java_script_enabled=False)
    page.get_by_label("Yang akan dilepaskan").fill('{"half": 1}')
    page.get_by_role("button", name="Periksa").click()
    expect(page.locator("#verdict")).to_contain_text("type: wajib ada")
    expect(page.get_by_label("Yang akan dilepaskan")).to_have_value('{"half": 1}')
    page.get_by_label("Yang akan dilepaskan").fill(mended.decode())
    page.get_by_role("button", name="Periksa").click()
    expect(page.locator("#verdict")).to_contain_text("Dapat diterima")
    page.get_by_label("Alasan").fill("uji")
    page.get_by_role("button", name=deed).click()
    expect(page.locator(".status")).to_contain_text({"Lepaskan": "dilepaskan", "Buang": "dibuang"}[deed])


def test_second_of_two_open_pages_is_told_that_somebody_was_first(visits: Visits, town: Town) -> None:
    number, mended = town.set_aside()
    first, second = (visits.log_in(name, f"/desk/set-aside/{number}") for name in ("sekar", "adi"))
    for page in (first, second):
        page.get_by_label("Yang akan dilepaskan").fill(mended.decode())
        expect(page.locator("#verdict")).to_contain_text("Dapat diterima")
    _release(first)
    expect(first.locator(".status")).to_contain_text("dilepaskan")
    _release(second)
    expect(second.locator("h1")).to_contain_text("Tidak dapat dilakukan sekarang")
    visits.complaints.clear()  # Chromium notes the 409
