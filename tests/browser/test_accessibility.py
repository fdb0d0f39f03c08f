"""No page may shut anybody out: WCAG 2.2 AA by axe, in light and dark, on a desk and on a telephone, without sideways scrolling."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, ViewportSize

from bridge.reports.states import Move
from tests.browser.conftest import Visits
from tests.browser.town import Town
from tests.servers import eventually, new_folder
from tests.web.processes import Bridge
from tests.web.told_story import REFUSED_BY_CITY, STORY

LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
PHONE: ViewportSize = {"width": 390, "height": 844}
ZOOMED: ViewportSize = {"width": 320, "height": 256}
#: Name -> who looks (empty: nobody logged in), and the path.
Pages = dict[str, tuple[str, str]]


PAGE_NAMES = (
    "track late", "track asked", "track green", "report late", "report case", "report masked", "inbox", "log", "mail", "login",
    "ask", "api", "one click", "one click, too late", "set aside", "one set aside", "one discarded", "sources",
    "texts",
    "deliveries", "deliveries, all", "delivery refused", "delivery delivered", "replay", "replay, counted", "report told", "me",
)  # fmt: skip


@pytest.fixture(scope="module")
def pages(town: Town) -> Pages:
    """Every page, in the states that look most different."""
    late = town.ignored
    asked, case, green = (town.complain(f"Motor ditarik leasing di jalan, keadaan {n}") for n in range(3))
    town.move(asked, Move.ACKNOWLEDGE, Move.ASK_COMPLETION)
    town.move(case, Move.ACKNOWLEDGE, Move.REGISTER)
    town.move(green, Move.ACKNOWLEDGE, Move.CLOSE)
    discarded, _ = town.set_aside()
    town.service.worklist.discard(discarded, "person:adi", "kiriman uji")
    told = town.told(asked, *STORY)
    eventually(lambda: town.level(late) >= 1, 40, "a report climbs")
    paths = [
        ("", f"/track/{late}"), ("", f"/track/{asked}"), ("", f"/track/{green}"),
        ("sekar", f"/desk/reports/{late}"), ("sekar", f"/desk/reports/{case}"), ("darma", f"/desk/reports/{late}"),
        ("kartika", "/desk/"), ("kartika", "/desk/escalations?warnings=1"), ("kartika", "/desk/mail"), ("", "/desk/login"),
        ("", "/track/"), ("", "/api/docs"), ("", town.link(late, "ani")), ("", town.link(case, "ani")),
        ("sekar", "/desk/set-aside"), ("adi", f"/desk/set-aside/{town.set_aside()[0]}"), ("adi", f"/desk/set-aside/{discarded}"),
        ("adi", "/desk/sources"), ("adi", "/desk/texts?kind=digest"),
        ("kartika", "/desk/deliveries"), ("adi", "/desk/deliveries?list=all"),
        ("adi", f"/desk/deliveries/{told[STORY.index(REFUSED_BY_CITY)]}"), ("adi", f"/desk/deliveries/{told[-1]}"),
        ("adi", "/desk/deliveries/replay"), ("adi", "/desk/deliveries/replay?purpose=callback&since=2026-01-01T08:00"),
        ("sekar", f"/desk/reports/{asked}"), ("ani", "/desk/me"),
    ]  # fmt: skip
    return dict(zip(PAGE_NAMES, paths, strict=True))


def shown(visits: Visits, who: str, path: str) -> Page:
    """Return a page with everything that folds opened."""
    page = visits.log_in(who, path) if who else visits.open(path)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    return page


def faults(page: Page) -> list[str]:
    """Return what axe finds wrong, each with where."""
    found: list[dict[str, Any]] = (
        Axe().run(page, options={"runOnly": LEVELS, "resultTypes": ["violations"]}).response["violations"]
    )
    return [f"{rule['id']} {node['html']} {node['failureSummary']}" for rule in found for node in rule["nodes"]]


def sideways(page: Page) -> int:
    """Return how many pixels a page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.mark.parametrize("name", PAGE_NAMES)
def test_page_shuts_nobody_out_in_the_dark_and_on_a_telephone(visits: Visits, pages: Pages, name: str) -> None:
    page = shown(visits, *pages[name])
    page.emulate_media(color_scheme="dark")
    assert faults(page) == [], "dark, on a desk"
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(PHONE)
    assert faults(page) == [], "light, on a telephone"
    assert sideways(page) <= 0
    page.get_by_role("button", name="English").click()
    assert page.locator("html").get_attribute("lang") == "en"
    page.wait_for_load_state()  # a page without its style is as wide as it likes
    page.set_viewport_size(ZOOMED)
    assert sideways(page) <= 0, "in English, on a screen zoomed to 400 % (WCAG 1.4.10)"


def test_log_that_says_what_is_exhausted_shuts_nobody_out(visits: Visits, town: Town) -> None:
    eventually(lambda: town.exhausted(), 90, "every level was told")
    page = visits.log_in("kartika", "/desk/escalations")
    assert page.get_by_role("link", name="Tampilkan").count() == 1
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert faults(page) == [], scheme


def test_fault_on_a_page_is_found(visits: Visits) -> None:
    page = visits.open("/track/")
    page.locator("html").evaluate("html => { html.lang = '' }")
    page.locator("h1").evaluate("h1 => { h1.innerHTML = '<img src=\"/static/bridge.svg\">' }")
    assert {found.split()[0] for found in faults(page)} == {"image-alt", "html-has-lang"}


@pytest.fixture
def missing(visits: Visits) -> Iterator[Callable[[str], Page]]:
    """Open pages that are not there; Chromium notes each 404 as an error of the page."""
    yield lambda path: visits.open(path)
    assert all(re.search("404", said) for said in visits.complaints)
    visits.complaints.clear()


@pytest.mark.parametrize("path", ["/nothing", "/track/XXXX", "/a/x"])
def test_page_that_is_not_there_shuts_nobody_out_either(missing: Callable[[str], Page], path: str) -> None:
    assert faults(missing(path)) == []


@pytest.fixture
def city() -> Iterator[str]:
    """The address of the demo's pretend city app."""
    bridge = Bridge(new_folder("demo"), "up", "--demo")
    bridge.start()
    yield bridge.url.replace(str(bridge.port), str(bridge.port + 1))
    bridge.close()


def test_demo_city_app_shuts_nobody_out(visits: Visits, city: str) -> None:
    page = visits.open()
    page.goto(city)
    page.locator("#complaints .status").wait_for()
    assert faults(page) == []
    page.set_viewport_size(PHONE)
    assert (faults(page), sideways(page) <= 0) == ([], True)
    page.close()  # it asks for news every two seconds, and the city goes before the window does
