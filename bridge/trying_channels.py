"""Does it reach me? A test notice by each of a person's channels, through the same outlets as every notice."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from uuid import uuid4

from markupsafe import escape

from bridge.delivery.errors import NotDelivered, Taken
from bridge.delivery.notices import Notice
from bridge.delivery.outlets import Envelope, Outlet
from bridge.links import Links
from bridge.reports.channels import DESK, Ways, address_on
from bridge.reports.people import Person

#: subject, text: in Indonesian, in English.
_WORDS = {
    "id": (
        "Uji coba pemberitahuan Jembatan",
        "Ini uji coba yang Anda minta sendiri lewat saluran {channel}. Tidak ada yang perlu dilakukan.",
        "Pengaturan Anda: ",
    ),
    "en": (
        "Jembatan: a test notice",
        "This is the test you asked for, by the channel {channel}. There is nothing to be done.",
        "Your settings: ",
    ),
}


@dataclass(frozen=True)
class Tried:
    """How a test by one channel ended; `answer` is what the other side said, or what went wrong."""

    channel: str
    taken: bool
    status: int | None
    answer: str
    duration_ms: int


def try_channels(person: Person, ways: Ways, outlets: Mapping[str, Outlet], links: Links) -> list[Tried]:
    """Send a test by each channel that reaches the person, in their order; the desk needs none."""
    try:
        return list(_tried(person, ways, outlets, links))
    finally:
        for outlet in outlets.values():
            outlet.close()


def _tried(person: Person, ways: Ways, outlets: Mapping[str, Outlet], links: Links) -> Iterator[Tried]:
    for channel in ways.of(person):
        if channel != DESK:
            yield _try(outlets[channel], channel, _envelope(person, channel, links))


def _try(outlet: Outlet, channel: str, envelope: Envelope) -> Tried:
    started = time.monotonic()
    try:
        ended: Taken | NotDelivered = outlet.send(envelope)
    except NotDelivered as error:
        ended = error
    passed_ms = round((time.monotonic() - started) * 1000)
    if isinstance(ended, Taken):
        return Tried(channel, True, ended.status, ended.response, passed_ms)
    return Tried(channel, False, ended.status, ended.response or ended.detail, passed_ms)


def _envelope(person: Person, channel: str, links: Links) -> Envelope:
    language = person.language if person.language in _WORDS else "id"
    return Envelope(
        message_id=str(uuid4()),
        person=person,
        address=address_on(person, channel),
        notice=_notice(channel, language, links.to_settings()),
        event="test",
        data={"event": "test", "settings_url": links.to_settings()},
    )


def _notice(channel: str, language: str, settings_url: str) -> Notice:
    subject, said, label = _WORDS[language]
    text = said.format(channel=channel)
    link = f'<a href="{escape(settings_url)}">{escape(settings_url)}</a>'
    html = (
        f'<!doctype html><html lang="{language}"><body><p>{escape(text)}</p><p>{escape(label)}{link}</p></body></html>'
    )
    return Notice(subject, f"{text}\n\n{label}{settings_url}\n", html, language)
