"""A posted form: how it is kept, and how it reads as an event in our words. Pure.

What a client posts is kept as one form-urlencoded text without `api_key`, since keys are never stored, without empty
fields, since an empty one is the same as none (the specification's "Optional Arguments"), and with the time we got it,
since GeoReport has no field for when a request was made.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import uuid4

from bridge.open311.services import ATTRIBUTES, SERVICES, Attribute
from schemas.city import AREA_CODE, NotAReport

#: The specification's limit, in characters.
MAX_DESCRIPTION_CHARS = 4000
_MAX_TITLE_CHARS = 120
#: Added by us; a client's own field of that name is dropped.
RECEIVED = "jembatan.received_at"
#: The names of files that came with the form. They are not kept: links to pictures go into media_url.
FILE = "jembatan.file"
_NEVER_KEPT = frozenset({"api_key", RECEIVED, FILE})
#: The attribute that holds the sender's own number of the report: the same one again is the same report.
_OWN_ID = "fixmystreet_id"
_ATTRIBUTE = re.compile(r"attribute\[([^\[\]]+)\](?:\[\])?")
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)", re.ASCII)
_AMOUNT = re.compile(r"(\d{1,15})(?:[.,]\d{1,2})?", re.ASCII)

#: What our schema calls the fields, and what the client called them.
_CALLED = {
    "data.id": "attribute[fixmystreet_id]",
    "data.title": "attribute[title]",
    "data.description": "description",
    "data.reporter.name": "first_name, last_name",
    "data.reporter.phone": "phone",
    "data.reporter.email": "email",
    "data.reporter.domicile": "attribute[consumer_domicile]",
    "data.business.name": "attribute[business_name]",
    "data.business.address": "attribute[business_address]",
    "data.location.lat": "lat",
    "data.location.lon": "long",
    "data.attachments": "media_url",
}

Pairs = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Form:
    """The fields of a form in the order they came; none of them is empty."""

    pairs: tuple[tuple[str, str], ...]

    @classmethod
    def posted(cls, fields: Pairs, files: Iterable[str] = ()) -> "Form":
        """Return what is kept of posted fields, and of files by their names."""
        kept = [(name, value) for name, value in fields if name not in _NEVER_KEPT and value.strip()]
        return cls((*kept, *((FILE, name) for name in files)))

    @classmethod
    def kept(cls, body: bytes) -> "Form":
        """Return the form that was kept as `body`.

        Raises:
            NotAReport: no such text.
        """
        try:
            return cls(tuple(parse_qsl(body.decode("ascii"), strict_parsing=True, errors="strict")))
        except ValueError as error:
            raise NotAReport([f"the body is no form: {error}"]) from error

    def body(self, received_at: datetime) -> bytes:
        """Return the form as it is kept."""
        return urlencode([*self.pairs, (RECEIVED, received_at.isoformat())]).encode("ascii")

    def digest(self) -> str:
        """Return the SHA-256 of the form, whenever it came."""
        return sha256(urlencode(self.pairs).encode("ascii")).hexdigest()

    def all(self, name: str) -> list[str]:
        """Return the values of a field."""
        return [value.strip() for key, value in self.pairs if key == name]

    def one(self, name: str) -> str:
        """Return the first value of a field, or an empty text."""
        return next(iter(self.all(name)), "")

    def written(self, name: str) -> str:
        """Return the first value of a field as it was written, blanks and all, or an empty text."""
        return next((value for key, value in self.pairs if key == name), "")

    def attributes(self) -> dict[str, list[str]]:
        """Return the values given for each `attribute[code]`, also written `attribute[code][]`."""
        found: dict[str, list[str]] = {}
        for name, value in self.pairs:
            if matched := _ATTRIBUTE.fullmatch(name):
                found.setdefault(matched[1], []).append(value.strip())
        return found

    def webhook_id(self) -> str:
        """Return the id this form is known by: the same one for the same form if it names the sender's own number."""
        own = _first(self.attributes(), _OWN_ID)
        return f"open311-{sha256(f'{own} {self.digest()}'.encode()).hexdigest()[:40] if own else uuid4().hex}"


def as_event(body: bytes, webhook_id: str) -> object:
    """Read a kept form of POST requests as `report.submitted`, not checked yet against schemas.city.

    Raises:
        NotAReport: with every fault found.
    """
    form = Form.kept(body)
    given = form.attributes()
    if problems := list(_faults(form)):
        raise NotAReport(problems)
    service = SERVICES[form.one("service_code")]
    description = form.one("description")
    lines = [*_answers(given), *_elsewhere(form)]
    data: dict[str, Any] = {
        "id": _first(given, _OWN_ID) or webhook_id,
        "title": _first(given, "title") or _headline(description) or service.name,
        "description": "\n\n".join(part for part in (description or service.name, "\n".join(lines)) if part),
        "category": service.code,
        "reporter": _reporter(form, given),
        "business": {"name": _first(given, "business_name"), "address": _first(given, "business_address")},
        "amount_idr": _amount(given),
        "location": _location(form),
        "attachments": [{"url": url} for url in form.all("media_url")],
    }
    return {"type": "report.submitted", "timestamp": form.one(RECEIVED), "data": data}


def first_of(values: Iterable[str]) -> str:
    """Return the first value that is not empty, or an empty text: an empty argument is the same as none."""
    return next((value.strip() for value in values if value.strip()), "")


def in_their_words(problem: str) -> str:
    """Return a fault our schema found, with the client's own name of the field."""
    place, colon, rest = problem.partition(":")
    ours = next((name for name in _CALLED if place == name or place.startswith(f"{name}.")), place)
    return f"{_CALLED.get(ours, place)}{colon}{rest}"


def _faults(form: Form) -> Iterator[str]:
    """Find what the specification requires and is not there."""
    if form.one("service_code") not in SERVICES:
        yield "service_code: unknown" if form.one("service_code") else "service_code: missing"
    if len(form.one("description")) > MAX_DESCRIPTION_CHARS:
        yield f"description: longer than {MAX_DESCRIPTION_CHARS} characters"
    address = form.one("address_string") or form.one("address_id")
    if _half_a_place(form) and not address:
        yield "lat, long: send both"
    if not any((form.one("lat"), form.one("long"), address)):
        yield "lat and long, address_string or address_id: one of them is required"
    for name in ("lat", "long"):
        if form.one(name) and not (_half_a_place(form) and address) and _number(form.written(name)) is None:
            yield f"{name}: not a number"


def _half_a_place(form: Form) -> bool:
    """Tell whether one coordinate came without the other: beside an address it is only something said."""
    return bool(form.one("lat")) != bool(form.one("long"))


def _reporter(form: Form, given: dict[str, list[str]]) -> dict[str, Any]:
    said = (_first(given, "anonymous") or _first(given, "public_anonymity_required") or "").lower()
    return {
        "name": " ".join(filter(None, (form.one("first_name"), form.one("last_name")))) or None,
        "phone": form.one("phone") or None,
        "email": form.one("email") or None,
        "domicile": _first(given, "consumer_domicile"),
        "anonymous": said in ("true", "1", "yes", "ya"),
    }


def _location(form: Form) -> dict[str, Any]:
    area = form.one("address_id")
    half = _half_a_place(form)
    return {
        "lat": None if half else _number(form.written("lat")),
        "lon": None if half else _number(form.written("long")),
        "area": area if re.fullmatch(AREA_CODE, area) else None,
    }


#: Attributes that have a field of their own in the report.
_WITH_A_FIELD = (
    *(_OWN_ID, "title", "consumer_domicile", "business_name", "business_address"),
    *("anonymous", "public_anonymity_required"),
)


def _answers(given: dict[str, list[str]]) -> Iterator[str]:
    """Write the other attributes as lines for people, those nobody asked for too: nothing that was said is lost."""
    asked = {attribute.code: attribute for attribute in ATTRIBUTES}
    for code, values in given.items():
        in_a_field = code in _WITH_A_FIELD or (code == "amount_idr" and _amount(given) is not None)
        if not in_a_field:
            attribute = asked.get(code)
            yield f"{attribute.label if attribute else code}: {', '.join(_named(attribute, value) for value in values)}"


def _elsewhere(form: Form) -> Iterator[str]:
    for name, label in (("address_string", "Alamat"), ("address_id", "Kode alamat"), (FILE, "Berkas tidak disimpan")):
        if values := form.all(name):
            yield f"{label}: {', '.join(values)}"
    if _half_a_place(form):
        yield f"Lintang: {form.one('lat')}" if form.one("lat") else f"Bujur: {form.one('long')}"


def _named(attribute: Attribute | None, value: str) -> str:
    return dict(attribute.values).get(value, value) if attribute else value


def _first(given: dict[str, list[str]], code: str) -> str | None:
    return given.get(code, [None])[0]


def _headline(description: str) -> str:
    # FixMyStreet begins its descriptions with "title:".
    lines = (line.strip().removeprefix("title:").strip() for line in description.splitlines())
    line = next(filter(None, lines), "")
    return line if len(line) <= _MAX_TITLE_CHARS else line[: _MAX_TITLE_CHARS - 1] + "…"


def _number(text: str) -> float | None:
    # A decimal as XML Schema has it. float() takes more: blanks around it, inf, nan, 1_0, 1e1, digits of other scripts.
    return float(text) if _DECIMAL.fullmatch(text) else None


def _amount(given: dict[str, list[str]]) -> int | None:
    found = _AMOUNT.fullmatch(_first(given, "amount_idr") or "")
    return int(found[1]) if found else None
