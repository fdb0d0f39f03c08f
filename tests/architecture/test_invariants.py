"""docs/invariants.md names every invariant, and every test it names is there."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
NUMBERS = set(range(1, 41))
#: Invariants nothing shows yet. It only ever shrinks: one that has a test leaves it in the same change.
OPEN: set[int] = set()

_ROW = re.compile(r"^\| I(?P<number>\d+) \| (?P<promise>[^|]+) \| (?P<tests>[^|]*) \|$", re.MULTILINE)
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def _rows() -> dict[int, tuple[str, list[tuple[str, str]]]]:
    found = {}
    for row in _ROW.finditer((ROOT / "docs" / "invariants.md").read_text()):
        number = int(row["number"])
        assert number not in found, f"I{number} stands there twice"
        found[number] = (row["promise"], _TEST.findall(row["tests"]))
    return found


@cache
def _tests_of(path: str) -> set[str]:
    file = ROOT / path
    if not file.exists():
        return set()
    functions = ast.walk(ast.parse(file.read_text()))
    return {node.name for node in functions if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_invariant_has_a_line_and_what_is_open_has_none() -> None:
    assert set(_rows()) == NUMBERS - OPEN


def test_every_complaint_names_a_test_that_is_there() -> None:
    _, _, complaints = (ROOT / "docs" / "invariants.md").read_text().partition("| complaint | test |")
    lines = [line for line in complaints.splitlines() if line.startswith("| ")]
    assert len(lines) >= 20
    for line in lines:
        ((path, name),) = _TEST.findall(line)
        assert name in _tests_of(path), line


def test_every_line_is_a_sentence_and_names_a_test() -> None:
    for number, (promise, tests) in _rows().items():
        assert promise.endswith("."), f"I{number}: {promise}"
        assert tests, f"I{number} is shown by nothing"


def test_every_test_that_is_named_is_there() -> None:
    named = {(number, *test) for number, (_, tests) in _rows().items() for test in tests}
    missing = sorted(one for one in named if one[2] not in _tests_of(one[1]))
    assert missing == []


def test_a_name_that_is_not_there_would_be_noticed() -> None:
    assert "test_a_name_that_is_not_there_would_be_noticed" in _tests_of("tests/architecture/test_invariants.py")
    assert "test_something_else" not in _tests_of("tests/architecture/test_invariants.py")
    assert _tests_of("tests/architecture/test_gone.py") == set()
