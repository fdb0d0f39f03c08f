"""A person's own settings: when they are told, of what, and who stands in; and a test by each of their channels."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flask import Blueprint, Response, g, redirect, render_template, request, session, url_for
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response as AnyResponse

from bridge.auth import EVERYBODY, needs
from bridge.desk.told_words import channel_in_words
from bridge.pages import language
from bridge.reports.channels import EMAIL, address_on, name_of
from bridge.reports.people import Person
from bridge.reports.preferences import MAY_TURN_OFF, BadTimes, digest_times, quiet_hours
from bridge.service import Service
from bridge.storage import people
from bridge.throttle import Throttle
from bridge.trying_channels import Tried, try_channels
from bridge.words import LANGUAGES

#: So many tests at once, then one in so many seconds: each goes by every channel of the person.
TESTS, TESTS_EVERY_S = 3, 20.0
MOST_DIGESTS = 8
#: Field -> what is wrong with it, in Indonesian and in English.
_FAULTS = {
    "quiet": (
        "Isi kedua jam, yang berbeda, seperti 20:00 dan 06:00; atau kosongkan keduanya.",
        "Fill in both times, not the same, like 20:00 and 06:00; or leave both empty.",
    ),
    "digest": (
        f"Tulis jam seperti 07:30 13:00, dipisahkan spasi, paling banyak {MOST_DIGESTS}.",
        f"Write times like 07:30 13:00, with spaces between, {MOST_DIGESTS} at most.",
    ),
    "language": ("Pilih salah satu bahasa.", "Choose one of the languages."),
    "stand_in": ("Pilih rekan dari kantor Anda.", "Choose a colleague of your office."),
}
#: Faults by field, in the words of both languages.
Faults = dict[str, tuple[str, str]]


def blueprint(service: Service) -> Blueprint:
    """Return the page, and what its two buttons do."""
    routes = Blueprint("me", __name__, template_folder="templates")
    throttle = Throttle(burst=TESTS, every_s=TESTS_EVERY_S)

    @routes.get("/desk/me")
    @needs(service, *EVERYBODY)
    def show() -> str:
        return _page(service, _filled(g.person))

    @routes.post("/desk/me")
    @needs(service, *EVERYBODY)
    def save() -> AnyResponse | tuple[str, int]:
        fields, faults = read(request.form, _colleagues(service, g.person))
        if faults:
            return _page(service, request.form, faults=faults), 422
        with service.database.write() as connection:
            people.set_fields(connection, g.person.person_id, **fields)
        session["language"] = fields["language"]
        return redirect(url_for("me.show", saved=1))

    @routes.post("/desk/me/test")
    @needs(service, *EVERYBODY)
    def test() -> str | Response:
        if wait_s := throttle.wait_s(g.person.person_id):
            page = _page(service, _filled(g.person), wait_s=math.ceil(wait_s))
            return Response(page, 429, {"Retry-After": str(math.ceil(wait_s))})
        tried = try_channels(g.person, service.ways, service.new_outlets(), service.links)
        return _page(service, _filled(g.person), tried=tried)

    return routes


def read(form: MultiDict[str, str], colleagues: Sequence[Person]) -> tuple[dict[str, Any], Faults]:
    """Return the columns a form fills in, and what is wrong with it by field; the columns count only without faults."""
    fields = {
        "language": form.get("language", ""),
        "quiet": _quiet(form),
        "digest": _digest(form.get("digest", "")),
        "turned_off": [kind for kind in MAY_TURN_OFF if kind not in form.getlist("tell")],
        "stand_in": form.get("stand_in", "") or None,
    }
    return fields, {name: _FAULTS[name] for name in _faulty(fields, colleagues)}


def _faulty(fields: Mapping[str, Any], colleagues: Sequence[Person]) -> Iterator[str]:
    if fields["language"] not in LANGUAGES:
        yield "language"
    if fields["quiet"] is None:
        yield "quiet"
    if fields["digest"] is None:
        yield "digest"
    if fields["stand_in"] and fields["stand_in"] not in {one.person_id for one in colleagues}:
        yield "stand_in"


def _quiet(form: MultiDict[str, str]) -> str | None:
    """Return quiet hours as they are kept, or None if they are none."""
    begin, end = (_colon(form.get(name, "")) for name in ("quiet_from", "quiet_until"))
    text = f"{begin}-{end}" if begin or end else ""
    try:
        quiet_hours(text)
    except BadTimes:
        return None
    return text


def _digest(text: str) -> str | None:
    """Return the times of digests as they are kept, in order, or None if they are none or too many."""
    try:
        times = digest_times(_colon(text).replace(",", " "))
    except BadTimes:
        return None
    return " ".join(f"{at:%H:%M}" for at in times) if len(times) <= MOST_DIGESTS else None


def _colon(text: str) -> str:
    """Return a time of the day with a colon: people in Jakarta write a full stop."""
    return text.strip().replace(".", ":")


def _filled(person: Person) -> MultiDict[str, str]:
    """Return the form as it is kept."""
    begin, _, end = person.quiet.partition("-")
    kept: dict[str, str | list[str]] = {
        "language": person.language,
        "quiet_from": begin,
        "quiet_until": end,
        "digest": person.digest,
        "stand_in": person.stand_in or "",
        "tell": [kind for kind in MAY_TURN_OFF if kind not in person.turned_off],
    }
    return MultiDict(kept)


def _colleagues(service: Service, person: Person) -> list[Person]:
    with service.database.read() as connection:
        there = people.active(connection)
    return [one for one in there if one.office == person.office and one.person_id != person.person_id]


def _channels(service: Service, person: Person) -> list[dict[str, Any]]:
    """Return the person's channels in order, each with its address and whether it works here."""
    reaching = service.ways.of(person)
    entries = list(dict.fromkeys(map(name_of, person.channels)))
    return [
        {
            "name": channel_in_words(name, language()),
            "address": address_on(person, name),
            "works": name in reaching,
            "mail": name == EMAIL,
        }
        for name in entries
    ]


def _page(
    service: Service,
    form: MultiDict[str, str],
    *,
    faults: Faults | None = None,
    tried: Sequence[Tried] | None = None,
    wait_s: int = 0,
) -> str:
    return render_template(
        "desk/me.html",
        form=form,
        faults=faults or {},
        tried=tried,
        wait_s=wait_s,
        saved=request.args.get("saved") == "1",
        channels=_channels(service, g.person),
        channel_name=lambda name: channel_in_words(name, language()),
        colleagues=_colleagues(service, g.person),
        kinds=MAY_TURN_OFF,
        told=form.getlist("tell"),
    )
