"""An office for the tests of pages, guards and commands."""

from collections.abc import Iterator

import pytest

from tests.web.keyboard import Desk
from tests.web.office import Office


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """One office per module: reports are cheap, applications are not."""
    made = Office(tmp_path_factory.mktemp("office"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A keyboard at the server of an office."""
    made = Desk(tmp_path_factory.mktemp("desk"))
    yield made
    made.office.close()
