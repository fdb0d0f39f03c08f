"""A report's clocks on its page: why they are due then, drawn and told, with and without JavaScript."""

import re

import pytest
from playwright.sync_api import expect

from bridge.reports.states import Move
from tests.browser.conftest import Visits
from tests.browser.town import Town
from tests.servers import eventually


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_deadline_is_accounted_for_line_by_line(visits: Visits, town: Town, script: bool) -> None:
    ticket = town.complain(assignee="ani")
    page = visits.log_in("sekar", f"/desk/reports/{ticket}", java_script_enabled=script)
    mine = page.locator(".clock").filter(has=page.get_by_text("tanggapan pertama", exact=True))
    expect(mine.get_by_text("jam mulai: laporan diterima")).to_be_hidden()
    mine.get_by_text("Mengapa tenggatnya begitu").click()
    expect(mine.get_by_text("jam mulai: laporan diterima")).to_be_visible()
    lines = mine.locator("details.account ol").first.locator("li")
    expect(lines.last).to_contain_text("tenggat")
    expect(lines.locator("b").last).to_contain_text("= 4 j")
    expect(mine.get_by_text("tingkat 3: Ketua BPSK (Kartika Hidayat) akan diberitahu")).to_be_visible()


def test_bar_says_to_those_who_do_not_see_it_how_much_is_used_and_when_it_is_due(visits: Visits, town: Town) -> None:
    page = visits.log_in("sekar", f"/desk/reports/{town.complain()}")
    said = re.compile(r"tanggapan pertama: \d+ % terpakai, tenggat \w+, \d+ \w+ \d{4} \d\d\.\d\d(\.\d\d)? WIB")
    expect(page.get_by_role("img", name=said)).to_be_visible()
    expect(page.get_by_role("img", name=said).locator("circle")).to_have_count(7)


def test_what_climbed_is_ticked_off_in_english_too(visits: Visits, town: Town) -> None:
    eventually(lambda: town.level(town.ignored) >= 1, 40, "a report climbs")
    page = visits.log_in("kartika", f"/desk/reports/{town.ignored}")
    page.get_by_role("button", name="English").click()
    page.get_by_text("Why it is due then").first.click()
    ladder = page.locator(".clock").first.locator("details.account ol").last
    expect(ladder.locator("li.fired").filter(has_text="level 1")).to_contain_text("✓ level 1: the next member")
    page.get_by_role("button", name="Indonesia").click()


def test_waiting_for_the_consumer_is_told_with_who_asked_and_lies_on_no_desk(visits: Visits, town: Town) -> None:
    ticket = town.move(
        town.complain(assignee="ani"), Move.ACKNOWLEDGE, Move.ASK_COMPLETION, Move.RESUME, Move.ASK_COMPLETION
    )
    page = visits.log_in("sekar", f"/desk/reports/{ticket}")
    mine = page.locator(".clock").filter(has=page.get_by_text("penelaahan", exact=True))
    expect(mine).to_contain_text("berhenti sejak")
    mine.get_by_text("Mengapa tenggatnya begitu").click()
    expect(mine.locator("li.pause")).to_have_count(2)
    expect(mine.locator("li.pause").last).to_contain_text("oleh Kartika Hidayat: Bukti perolehan")
    expect(page.locator("dl.desks")).to_contain_text("Ani Rahmawati")
