"""Reading channels.toml: the ways to tell people, and how patient each is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from bridge.reports.channels import EMAIL, RETRY_AFTER_S, Channel, Flood, Ways
from bridge.reports.clocks import BadSpan, Unit, parse_span
from bridge.signing import BadKey, sending_key
from config.forms import Checked
from config.settings import Environment

FILE = "channels.toml"
KINDS = ("email", "webhook", "apprise", "callbacks", "flood")
#: A channel's name stands in a column of this width.
_LONGEST_NAME = 16


@dataclass(frozen=True)
class ChannelSource:
    """Where a channel leads: `url` and `keys` are secrets of the environment."""

    name: str
    kind: str
    url: str = field(default="", repr=False)
    keys: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Channels:
    """All of channels.toml: what can be used here, and what cannot because its variable is not set."""

    ways: Ways = field(default_factory=Ways)
    sources: Mapping[str, ChannelSource] = field(default_factory=lambda: {EMAIL: ChannelSource(EMAIL, "email")})
    unset: Mapping[str, str] = field(default_factory=dict)


def _seconds(text: str) -> float:
    """Return the seconds of a span of the wall's clock.

    Raises:
        ValidationError: no span, or one of working time: what is told waits by the wall's clock.
    """
    try:
        span = parse_span(text)
    except BadSpan as error:
        raise ValidationError(str(error)) from error
    if span.unit is not Unit.WALL_SECONDS:
        raise ValidationError(f"{text!r} is working time; write seconds, minutes or hours")
    return float(span.amount)


_VARIABLE = validate.Regexp(r"[A-Z][A-Z0-9_]*\Z", error="must name an environment variable, like TELEGRAM_URL")


class _ChannelSchema(Checked):
    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    url = fields.String(load_default="", validate=lambda text: _VARIABLE(text) if text else None)
    secret = fields.String(load_default="", validate=lambda text: _VARIABLE(text) if text else None)
    retry = fields.List(fields.String(validate=_seconds), load_default=None, validate=validate.Length(1, 50))
    fallback = fields.String(load_default="15 minutes", validate=_seconds)


class _FloodSchema(Checked):
    kind = fields.String(required=True)
    most = fields.Integer(load_default=20, strict=True, validate=validate.Range(0, 100_000))
    within = fields.String(load_default="10 minutes", validate=_seconds)
    digest_every = fields.String(load_default="1 minute", validate=lambda text: _at_least_a_second(text))


def _at_least_a_second(text: str) -> None:
    if _seconds(text) < 1:
        raise ValidationError("a digest every second at most")


#: Checks one table: (its place, its content, how) -> what it says, or None with the faults noted.
Check = Callable[[str, Any, Schema], "dict[str, Any] | None"]


def read_channels(content: Mapping[str, Any], check: Check, env: Environment, faults: list[str]) -> Channels:
    """Return what channels.toml says; faults are added to the list."""
    sources: dict[str, ChannelSource] = {}
    patience: dict[str, Channel] = {}
    city, flood, unset = Channel("webhook"), Flood(), {}
    for name, table in content.items():
        if isinstance(table, dict) and table.get("kind") == "flood":
            flood = _flood(check(name, table, _FloodSchema())) or flood
            continue
        loaded = check(name, table, _ChannelSchema())
        if loaded is None:
            continue
        way = _patience(name, loaded)
        if loaded["kind"] == "callbacks":
            city = way
            continue
        faults += _misnamed(name, loaded)
        source = _source(name, loaded, env)
        if source.kind != "email" and not source.url:
            unset[name] = loaded["url"]
            continue
        faults += _bad(source, loaded)
        sources[name], patience[name] = source, way
    return Channels(Ways(patience, city, flood), sources, unset)


def _patience(name: str, loaded: Mapping[str, Any]) -> Channel:
    retry_s = tuple(_seconds(text) for text in loaded["retry"]) if loaded["retry"] else RETRY_AFTER_S
    return Channel(name, retry_s, _seconds(loaded["fallback"]))


def _flood(loaded: Mapping[str, Any] | None) -> Flood | None:
    if loaded is None:
        return None
    return Flood(loaded["most"], _seconds(loaded["within"]), _seconds(loaded["digest_every"]))


def _source(name: str, loaded: Mapping[str, Any], env: Environment) -> ChannelSource:
    if loaded["kind"] == "webhook":
        url = env.url(loaded["url"], "", ("http", "https")) if loaded["url"] else ""
    else:
        url = env.text(loaded["url"]) if loaded["url"] else ""
    keys = tuple(env.text(loaded["secret"]).split()) if loaded["secret"] else ()
    return ChannelSource(name, loaded["kind"], url, keys)


def _misnamed(name: str, loaded: Mapping[str, Any]) -> Iterator[str]:
    if len(name) > _LONGEST_NAME:
        yield f"{FILE}: {name}: a channel's name has at most {_LONGEST_NAME} letters"
    if (name == EMAIL) != (loaded["kind"] == "email"):
        yield f"{FILE}: {name}: the channel of kind email is called [email], and only that one"
    if loaded["kind"] in ("webhook", "apprise") and not loaded["url"]:
        yield f"{FILE}: {name}.url: missing; name the environment variable that holds its address"


def _bad(source: ChannelSource, loaded: Mapping[str, Any]) -> Iterator[str]:
    if source.kind == "webhook" and not source.keys:
        secret = loaded["secret"] or "a variable named here"
        yield (f"{FILE}: {source.name}.secret: {loaded['url']} is set, so {secret} must hold the key that signs")
    for number, key in enumerate(source.keys, start=1):
        try:
            sending_key(key)
        except BadKey as error:
            yield f"{FILE}: {source.name}.secret: key {number} in {loaded['secret']}: {error}"
