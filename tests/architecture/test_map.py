"""The maps in the papers are the ground: steps, queues, settings and vendored files are named where people look for them."""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.broker.topology import ROUTES
from bridge.reports.tickets import read_ticket
from config.settings import SETTINGS
from consumers.steps import STEPS

ROOT = Path(__file__).parents[2]
VENDOR = ROOT / "bridge/static/vendor"
#: Not steps: the package itself, what all steps share, the list of them, what two steps share, and their spans.
SHARED = {"__init__", "runtime", "steps", "telling", "attempts", "lanes"}


def table_of_steps() -> dict[str, list[str]]:
    """Return the README's table: step -> its cells."""
    text = (ROOT / "README.md").read_text()
    found = re.search(
        r"^\| step \| file \| queue in \| leaves \| if it fails \|\n\|[-|]+\|\n((?:\|.*\|\n)+)", text, re.MULTILINE
    )
    assert found, "the README has no table of steps"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()]
    return {row[0]: row for row in rows}


def kept_files() -> Iterator[Path]:
    """Yield every file that belongs to the project, as far as .gitignore says."""
    ignored = {line.strip().rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines()} | {".git"}
    for folder, folders, files in os.walk(ROOT):
        at = Path(folder)
        folders[:] = [name for name in folders if not _matches(at / name, ignored)]
        yield from (at / name for name in files if not _matches(at / name, ignored))


def _matches(path: Path, ignored: set[str]) -> bool:
    place = path.relative_to(ROOT).as_posix()
    return place in ignored or any(path.match(pattern) for pattern in ignored if "/" not in pattern)


def texts() -> Iterator[tuple[str, str]]:
    """Yield the files that are text, with what they say."""
    for path in kept_files():
        try:
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


# --- steps and queues -----------------------------------------------------------------------------------------------


def test_files_of_consumers_are_the_steps_and_nothing_else() -> None:
    assert {path.stem for path in (ROOT / "consumers").glob("*.py")} - SHARED == set(STEPS)


def test_every_queue_is_emptied_by_a_step_there_is() -> None:
    assert {route.step for route in ROUTES} <= set(STEPS)
    assert len({route.queue for route in ROUTES}) == len({route.types for route in ROUTES}) == len(ROUTES)


def test_readme_names_every_step_in_the_order_of_a_reports_way() -> None:
    assert list(table_of_steps()) == ["receive", *STEPS]


def test_readme_names_the_queues_each_step_empties() -> None:
    table = table_of_steps()
    for step in STEPS:
        queues = {route.queue for route in ROUTES if route.step == step}
        queues |= {route.dead for route in ROUTES} if step == "set_aside" else set()
        assert set(re.findall(r"`(bridge\.[a-z.]+)`", table[step][2])) == queues


def test_readme_names_files_there_are_and_says_what_each_leaves_and_when_it_fails() -> None:
    for step, (_, file, _, leaves, fails) in table_of_steps().items():
        assert (ROOT / file.strip("`")).is_file(), step
        assert len(leaves) > 10, step
        assert len(fails) > 10, step


def test_every_step_opens_with_what_it_takes_and_leaves() -> None:
    for step in STEPS:
        first = (ROOT / f"consumers/{step}.py").read_text().split('"""')[1]
        assert re.match(r"(Step \d|The siding|The auditor): ", first), step


# --- settings and links ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_setting_is_explained_in_the_handbook(setting: object) -> None:
    text = (ROOT / "docs/operations.md").read_text()
    assert re.search(rf"^\| `{setting.name}` \| \S", text, re.MULTILINE)  # type: ignore[attr-defined]


def test_code_reads_no_setting_that_is_not_listed() -> None:
    listed = {setting.name for setting in SETTINGS}
    for package in ("bridge", "consumers", "config", "schemas"):
        for path in (ROOT / package).rglob("*.py"):
            named = set(re.findall(r"\bBRIDGE_[A-Z_]*[A-Z]\b", path.read_text()))
            assert {name.removesuffix("_FILE") for name in named} <= listed, path


def test_papers_link_to_what_is_there() -> None:
    for name, text in texts():
        if name.endswith(".md"):
            for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text):
                assert ((ROOT / name).parent / target).exists(), f"{name} links to {target}"


# --- what is not ours -----------------------------------------------------------------------------------------------


def test_vendored_files_are_the_ones_whose_hashes_and_licences_are_kept() -> None:
    kept = {}
    for line in (VENDOR / "VENDORED").read_text().splitlines():
        if not line.startswith("#"):
            digest, name, package, licence = line.split()
            assert re.fullmatch(r"(@\w+/)?[\w.]+@[\d.]+", package)
            assert licence
            kept[name] = digest
    there = {path.name: path for path in VENDOR.iterdir() if path.name != "VENDORED"}
    licences = {name for name in there if "-LICENSE" in name}
    assert {name: hashlib.sha256(there[name].read_bytes()).hexdigest() for name in there.keys() - licences} == kept
    assert {name.partition("-")[0] for name in kept} == {name.partition("-")[0] for name in licences}


def test_pages_load_nothing_from_elsewhere_and_need_no_exception_from_the_policy() -> None:
    for path in (ROOT / "bridge").rglob("*.html"):
        if "delivery" in path.parts:
            continue  # mail has no other way than inline style
        text = path.read_text()
        assert not re.search(r"""(src|href|action)=["'](https?:)?//""", text), path
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", text), path
    assert "url(" not in (ROOT / "bridge/static/desk.css").read_text()


@pytest.mark.parametrize(
    "name", ["requirements.txt", "requirements-dev.txt", "requirements-bench.txt", "requirements-mutation.txt"]
)
def test_requirements_are_pinned_with_hashes_and_name_no_host(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*(-i|-f|--(extra-)?index-url|--find-links|--trusted-host)\b", text, re.MULTILINE)
    pins = re.findall(r"^([a-z0-9][\w.\[\]-]*)(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL | re.IGNORECASE)
    assert len(pins) > 20
    for package, rest in pins:
        assert re.match(r"==\S+", rest), package
        assert "--hash=sha256:" in rest, package


def this_machines_registries() -> set[str]:
    """Return where packages come from on this machine: nobody else's business."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    named = [
        line.partition("=")[2].strip("'") for line in listed.splitlines() if re.search(r"index-url|find-links", line)
    ]
    named += [
        value
        for name, value in os.environ.items()
        if re.match(r"(PIP|UV|NPM_CONFIG)_.*(INDEX|LINKS|REGISTRY)", name, re.IGNORECASE)
    ]
    public = {"https://pypi.org/simple", "https://registry.npmjs.org"}
    return {place.rstrip("/") for value in named for place in value.split()} - public


def test_nothing_kept_says_where_it_was_made() -> None:
    workshop = "/" + "work"
    traces = {place.removeprefix("file://") for place in this_machines_registries()}
    for name, text in texts():
        assert not re.search(rf"(?<![\w.@-]){workshop}(?![\w-])", text), name
        assert not [trace for trace in traces if trace in text], name


TICKET = re.compile(r"(?<![\w-])[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}(?![\w-])")


def test_every_ticket_we_show_as_an_example_is_one() -> None:
    """Who tries the example of a command must not be told that it is no ticket. Contracts keep theirs."""
    ours = [
        path for path in kept_files() if path.suffix in (".py", ".html", ".md", ".txt") and "tests" not in path.parts
    ]
    contracts = {ROOT / "bridge/api/for_office.py", ROOT / "CHANGELOG.md"}
    shown = {ticket for path in {*ours} - contracts for ticket in TICKET.findall(path.read_text())}
    assert shown
    assert [ticket for ticket in shown if read_ticket(ticket) != ticket] == []


def test_readme_names_each_page_once_and_sends_a_report_byte_for_byte() -> None:
    text = (ROOT / "README.md").read_text()
    pages = re.findall(r"\]\((docs/[^)]+)\)", text.partition("Where to look next:")[2].partition("\n\n")[0])
    assert len(pages) == len(set(pages)), pages
    # `-d @file` takes the line ends out, and the signature no longer fits.
    assert not re.search(r"curl(?:[^\n]|\\\n)* (?:-d|--data) @", text)
    assert "--data-binary @" in text


# --- the tests of the test ------------------------------------------------------------------------------------------


def test_what_is_ignored_is_not_looked_at_and_the_rest_is() -> None:
    found = {path.relative_to(ROOT).as_posix() for path in kept_files()}
    assert {"README.md", "bridge/app.py", "tests/architecture/test_map.py", "docker-compose.yml"} <= found
    assert not [name for name in found if name.startswith((".venv/", ".git/", "var/")) or name.endswith(".pyc")]
