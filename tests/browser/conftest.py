"""A real Chromium against a real installation; whatever a page complains about, and whomever it asks, is noted."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.town import PASSWORD, Town
from tests.servers import chromium_path, new_folder

#: Nothing of its own to the outside, and no sandbox: the tests may run as root in a container.
ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=chromium_path(), headless=True, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def town() -> Iterator[Town]:
    made = Town(new_folder("town"))
    yield made
    made.close()


@dataclass
class Visits:
    """Opens windows, each with its own cookies, and keeps what their pages complained about."""

    browser: Browser
    town: Town
    complaints: list[str] = field(default_factory=list)
    hosts: set[str | None] = field(default_factory=set)
    _contexts: list[BrowserContext] = field(default_factory=list)

    def open(self, path: str = "/", **options: Any) -> Page:
        """Return a new window that shows a page; Indonesian, light and as wide as a desk's screen unless said otherwise."""
        usual = {"locale": "id-ID", "viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce"}
        context = self.browser.new_context(**(usual | options))
        self._contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).hostname))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None
        )
        page.goto(self.town.url + path)
        return page

    def log_in(self, name: str, path: str = "/desk/", **options: Any) -> Page:
        """Return a window in which somebody is logged in; the form is filled in once per person and run."""
        if name not in self.town.sessions:
            page = self.open("/desk/login")
            page.get_by_label("Nama pengguna").fill(name)
            page.get_by_label("Kata sandi").fill(PASSWORD)
            page.get_by_role("button", name="Masuk").click()
            page.wait_for_url(lambda url: "/desk/login" not in url)
            self.town.sessions[name] = page.context.storage_state()
        return self.open(path, storage_state=self.town.sessions[name], **options)

    def close(self) -> None:
        """Close all windows."""
        for context in self._contexts:
            context.close()


@pytest.fixture
def visits(browser: Browser, town: Town) -> Iterator[Visits]:
    """Windows for one test; at its end no page has complained, and none has asked anybody but us."""
    made = Visits(browser, town)
    yield made
    made.close()
    assert made.complaints == [], "no errors, no breach of the content security policy"
    assert made.hosts <= {"127.0.0.1"}
