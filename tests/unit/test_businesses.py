"""What a business is called, however it is written."""

import pytest

from bridge.reports.businesses import plain_name

NAMES = [
    ("PT. Maju Jaya, Tbk", "maju jaya"),
    ("P.T. MAJU JAYA Tbk.", "maju jaya"),
    ("P. T. Maju  Jaya (Persero)", "maju jaya"),
    ("CV Maju-Jaya", "maju jaya"),
    ("A.B.C. Finance", "abc finance"),
    ("Toko 7", "toko 7"),
    ("PT Optik Café", "optik café"),
    ("PT", None),
    (" . ", None),
    ("", None),
    (None, None),
]


@pytest.mark.parametrize(("written", "name"), NAMES)
def test_business_is_called_by_its_name_without_form_and_punctuation(written: str | None, name: str | None) -> None:
    assert plain_name(written) == name


@pytest.mark.parametrize("name", [name for _, name in NAMES if name])
def test_plain_name_is_its_own_plain_name(name: str) -> None:
    assert plain_name(name) == name
