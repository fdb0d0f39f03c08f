"""Reading sources.toml: the city apps that send reports, how each proves itself, and where it is told back."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bridge.arrivals import Payload, as_sent
from bridge.mapping import BadMapping, PayloadMapping
from bridge.open311.form import as_event
from bridge.schemes import SCHEMES
from bridge.signing import BadKey, sending_key
from config.forms import SourceSchema
from config.reading import Reading
from config.settings import Environment


@dataclass(frozen=True)
class Callback:
    """One address a city is told back at: `recipient` is the source's name, or `source/name` of a further one."""

    recipient: str
    url: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Source:
    """One city app: how it signs, and where it is told back. A source without keys answers 401 to everybody."""

    name: str
    title: str
    scheme: str
    secret_names: str
    keys: tuple[str, ...] = field(repr=False)
    callback_url: str = ""
    callback_secret: str = field(default="", repr=False)  # Standard Webhooks: keys separated by spaces, each signs
    header: str = "X-Hub-Signature-256"
    id_header: str = "webhook-id"
    rate: int = 0  # webhooks a second; 0: any
    payload: Payload = as_sent
    expected_datetime: bool = False  # Open311: tell by when, although strict clients stumble over it
    further: tuple[Callback, ...] = ()

    @property
    def callbacks(self) -> tuple[Callback, ...]:
        """Return every address it is told back at."""
        first = (Callback(self.name, self.callback_url, self.callback_secret),) if self.callback_url else ()
        return first + self.further


def read_sources(reading: Reading, env: Environment, warnings: list[str]) -> dict[str, Source]:
    """Return the sources by name; faults are added to the reading, what stops nobody to the warnings."""
    found: dict[str, Source] = {}
    for name, content in reading.tables("sources.toml", SourceSchema()):
        url = env.url(content["callback_url"], "", ("http", "https")) if content["callback_url"] else ""
        secret = env.text(content["callback_secret"]) if content["callback_secret"] else ""
        if url and not secret.strip():
            reading.faults.append(
                f"sources.toml: {name}.callback_secret: {content['callback_url']} is set, so "
                f"{content['callback_secret'] or 'a variable named here'} must hold the key callbacks are signed with"
            )
        keys = tuple(env.text(content["secret"]).split())
        _check_keys(reading, warnings, name, content, keys, secret)
        found[name] = Source(
            name,
            content["name"],
            content["scheme"],
            content["secret"],
            keys,
            url,
            secret,
            content["header"],
            content["id_header"],
            content["rate"],
            _payload(reading, name, content),
            content["expected_datetime"],
            tuple(_further(reading, env, name, content)),
        )
    return found


def _further(reading: Reading, env: Environment, source: str, content: dict[str, Any]) -> Iterator[Callback]:
    """Yield the further addresses of a source whose variables are set."""
    for name, one in content["callbacks"].items():
        url, secret = env.url(one["url"], "", ("http", "https")), env.text(one["secret"])
        place = f"sources.toml: {source}.callbacks.{name}"
        if url and not secret:
            reading.faults.append(f"{place}.secret: {one['url']} is set, so {one['secret']} must hold the key, too")
        elif url:
            _check_sending(reading, f"{place}.secret: {one['secret']}", content["scheme"], secret)
            yield Callback(f"{source}/{name}", url, secret)


def _payload(reading: Reading, name: str, content: dict[str, Any]) -> Payload:
    if content["scheme"] == "open311":
        return as_event
    if content["mapping"] is None:
        return as_sent
    try:
        return PayloadMapping(content["mapping"])
    except BadMapping as error:
        reading.faults += [f"sources.toml: {name}.mapping: {fault}" for fault in str(error).splitlines()]
        return as_sent


def _check_keys(
    reading: Reading, warnings: list[str], name: str, content: dict[str, Any], keys: tuple[str, ...], secret: str
) -> None:
    for number, key in enumerate(keys, start=1):
        try:
            SCHEMES[content["scheme"]].read_key(key)
        except BadKey as error:
            warnings.append(f"source {name}: key {number} in {content['secret']} is not used: {error}")
    if secret:
        place = f"sources.toml: {name}.callback_secret: {content['callback_secret']}"
        _check_sending(reading, place, content["scheme"], secret)


def _check_sending(reading: Reading, place: str, scheme: str, secret: str) -> None:
    """Check what callbacks are signed with; several keys stand beside each other while they change."""
    if scheme != "open311":
        reading.faults += [f"{place}: {fault}" for fault in _bad_sending_keys(secret.split())]


def _bad_sending_keys(keys: list[str]) -> Iterator[str]:
    for number, key in enumerate(keys, start=1):
        try:
            sending_key(key)
        except BadKey as error:
            yield f"key {number}: {error}" if len(keys) > 1 else str(error)
