"""No page may shut anybody out: WCAG 2.2 AA by axe, in light and dark, on a desk and on a telephone, without sideways scrolling."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from bridge.reports.states import Move
from tests.browser.conftest import Visits
from tests.browser.town import FAST, Town
from tests.servers import eventually, new_folder
from tests.web.processes import Bridge

LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
PHONE = {"width": 390, "height": 844}
#: Name -> who looks (empty: nobody logged in), and the path.
Pages = dict[str, tuple[str, str]]


@pytest.fixture(scope="module")
def pages(town: Town) -> Pages:
    """Every page, in the states that look different."""
    red, yellow, asked, case, green = (town.complain(f"Motor ditarik leasing di jalan, keadaan {n}") for n in range(5))
    town.move(yellow, Move.ACKNOWLEDGE)
    town.move(asked, Move.ACKNOWLEDGE, Move.ASK_COMPLETION)
    town.move(case, Move.ACKNOWLEDGE, Move.REGISTER)
    town.move(green, Move.ACKNOWLEDGE, Move.CLOSE)
    late = town.complain("Klaim asuransi kesehatan ditolak tanpa alasan yang jelas", category=FAST)
    eventually(lambda: town.level(late) >= 1, 40, "a report climbs")
    found = {f"track {name}": ("", f"/track/{t}") for name, t in zip("red yellow asked case green late".split(), (red, yellow, asked, case, green, late), strict=True)}
    found |= {f"report {name}": ("sekar", f"/desk/reports/{t}") for name, t in zip("red asked case green late".split(), (red, asked, case, green, late), strict=True)}
    found |= {name: ("kartika", f"/desk/{path}") for name, path in (("inbox", ""), ("log", "escalations?warnings=1"), ("mail", "mail"))}
    return found | {
        "login": ("", "/desk/login"),
        "ask": ("", "/track/"),
        "report masked": ("darma", f"/desk/reports/{red}"),
        "one click": ("", town.link(red, "ani")),
        "one click, too late": ("", town.link(yellow, "ani")),
    }


PAGE_NAMES = (
    [f"track {name}" for name in "red yellow asked case green late".split()]
    + [f"report {name}" for name in "red asked case green late masked".split()]
    + ["inbox", "log", "mail", "login", "ask", "one click", "one click, too late"]
)


def shown(visits: Visits, who: str, path: str, scheme: str) -> Page:
    """Return a page with everything that folds opened."""
    page = visits.log_in(who, path, color_scheme=scheme) if who else visits.open(path, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    return page


def faults(page: Page) -> list[str]:
    """Return what axe finds wrong, each with where."""
    found: list[dict[str, Any]] = Axe().run(page, options={"runOnly": LEVELS}).response["violations"]
    return [f"{rule['id']} {node['html']} {node['failureSummary']}" for rule in found for node in rule["nodes"]]


def sideways(page: Page) -> int:
    """Return how many pixels a page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGE_NAMES)
def test_page_shuts_nobody_out_on_a_desk_and_on_a_telephone(visits: Visits, pages: Pages, name: str, scheme: str) -> None:
    page = shown(visits, *pages[name], scheme)
    assert faults(page) == []
    page.set_viewport_size(PHONE)
    assert faults(page) == []
    assert sideways(page) <= 0


@pytest.mark.parametrize("name", PAGE_NAMES)
def test_page_fits_a_telephone_in_english_and_with_letters_twice_as_large(visits: Visits, pages: Pages, name: str) -> None:
    page = shown(visits, *pages[name], "light")
    page.set_viewport_size(PHONE)
    page.get_by_role("button", name="English").click()
    assert page.locator("html").get_attribute("lang") == "en"
    assert sideways(page) <= 0
    page.set_viewport_size({"width": 320, "height": 844})
    assert sideways(page) <= 0, "WCAG 1.4.10: 320 pixels, as after zooming a desk's screen to 400 %"


def test_every_table_of_names_is_the_fixtures(pages: Pages) -> None:
    assert set(PAGE_NAMES) == set(pages)


@pytest.fixture
def missing(visits: Visits) -> Iterator[Callable[[str], Page]]:
    """Open pages that are not there; Chromium notes each 404 as an error of the page."""
    yield lambda path: visits.open(path)
    assert all(re.search("404", said) for said in visits.complaints)
    visits.complaints.clear()


@pytest.mark.parametrize("path", ["/nothing", "/track/XXXX", "/a/x"])
def test_page_that_is_not_there_shuts_nobody_out_either(missing: Callable[[str], Page], path: str) -> None:
    assert faults(missing(path)) == []


def test_demo_city_app_shuts_nobody_out(visits: Visits) -> None:
    folder = new_folder("demo")
    bridge = Bridge(folder, "up", "--demo")
    bridge.start()
    city = bridge.url.replace(str(bridge.port), str(bridge.port + 1))
    page = visits.open()
    page.goto(f"{city}/")
    page.get_by_text("Tidak ada").or_(page.locator(".status")).first.wait_for()
    assert faults(page) == []
    page.set_viewport_size(PHONE)
    assert (faults(page), sideways(page) <= 0) == ([], True)
    bridge.close()
