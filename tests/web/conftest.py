"""An office for the tests of pages and guards."""

from collections.abc import Iterator

import pytest

from tests.web.office import Office


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """One office per module: reports are cheap, applications are not."""
    made = Office(tmp_path_factory.mktemp("office"))
    yield made
    made.close()
