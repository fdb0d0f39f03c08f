"""What a business is called, without how it happens to be written: `PT. Maju Jaya, Tbk` is `maju jaya`."""

import re
import unicodedata

#: Legal forms in Indonesia; alone they are no name.
_FORMS = frozenset(["pt", "cv", "ud", "pd", "fa", "nv", "tbk", "persero", "perseroan", "perum"])
_APART = re.compile(r"[\W_]+")
#: A form written with dots: P.T., C.V.
_DOTTED = re.compile(r"\b(\w)\.\s?(?=\w\b)")


def plain_name(name: str | None) -> str | None:
    """Return the name in small letters without legal form and punctuation, or None when nothing is left of it."""
    text = unicodedata.normalize("NFKC", name or "").casefold()
    words = _APART.sub(" ", _DOTTED.sub(r"\1", text)).split()
    return " ".join(word for word in words if word not in _FORMS) or None
