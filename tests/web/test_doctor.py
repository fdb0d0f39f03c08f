"""What the doctor says of people: those that ladders name, and those they end with."""

import shutil
from pathlib import Path

import pytest

from bridge.reports.people import Role
from tests.web.keyboard import Desk
from tests.web.processes import ROOT


@pytest.fixture
def own(tmp_path: Path) -> Desk:
    """An installation of the test's own, with a ladder that names a person."""
    desk = Desk(tmp_path / "data")
    shutil.copytree(ROOT / "config", tmp_path / "config", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    file = tmp_path / "config" / "policies.toml"
    file.write_text(file.read_text("utf-8").replace('"role:secretariat"', '"person:rina"', 1), "utf-8")
    desk.environment["BRIDGE_CONFIG_DIR"] = str(tmp_path / "config")
    return desk


def test_doctor_notes_a_person_that_a_ladder_names_and_nobody_is(own: Desk) -> None:
    said = own.run("doctor").output
    assert "note what is allowed" in said
    assert "policies.toml: default.acknowledge: person:rina is nobody here" in said
    own.office.add_person("rina", Role.SECRETARIAT)
    assert "person:rina" not in own.run("doctor").output
    own.office.close()


def test_doctor_fails_when_nobody_is_admin(own: Desk) -> None:
    assert "ok   people" in own.run("doctor").output
    own.office.let_go("adi")
    result = own.run("doctor")
    assert (result.exit_code, "FAIL people" in result.output) == (1, True)
    assert "nobody is admin, so that what ladders send there reaches no one; run: bridge people add" in result.output
    own.office.close()
