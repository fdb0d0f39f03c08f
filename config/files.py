"""The files people edit, read and checked as a whole: every fault at once, each with file, place and remedy."""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from bridge.reports.calendars import NoWorkingTime, WorkingCalendar
from bridge.reports.clocks import BadSpan, Deed, Kind, Policy, Step, parse_span
from bridge.reports.people import Role
from bridge.reports.routing import FIELDS, Rule
from bridge.reports.rulebook import Office, Rulebook
from bridge.signing import BadKey, signing_key
from config.calendars import BadHours, build_calendar, version_of
from config.settings import BadSettings, Environment, Settings

NAME = r"[a-z0-9][a-z0-9-]{0,63}\Z"


class _Checked(Schema):
    class Meta:
        unknown = RAISE  # a misspelt key must not silently mean its default


def _span(text: str) -> None:
    try:
        parse_span(text)
    except BadSpan as error:
        raise ValidationError(str(error)) from error


def _target(text: str) -> None:
    kind, _, name = text.partition(":")
    if kind == "role" and name in list(Role):
        return
    if text in ("assignee", "next_member", "citizen") or (kind == "person" and name):
        return
    roles = "|".join(Role)
    raise ValidationError(f"{text!r} is nobody; write assignee, next_member, citizen, role:{roles} or person:<id>")


class _SourceSchema(_Checked):
    name = fields.String(required=True)
    scheme = fields.String(required=True, validate=validate.OneOf(["standard-webhooks"]))
    secret = fields.String(required=True, validate=validate.Regexp(r"[A-Z][A-Z0-9_]*\Z"))
    callback_url = fields.String(load_default="")
    callback_secret = fields.String(load_default="")


class _OfficeSchema(_Checked):
    name = fields.String(required=True)
    calendar = fields.String(required=True)
    address = fields.String(load_default="")
    phone = fields.String(load_default="")


class _RuleSchema(_Checked):
    name = fields.String(required=True)
    office = fields.String(required=True)
    role = fields.String(load_default="officer", validate=validate.OneOf(list(Role)))
    element = fields.String(load_default="", validate=validate.OneOf(["", "government", "consumer", "business"]))
    policy = fields.String(load_default="default")
    when = fields.Dict(
        keys=fields.String(validate=validate.OneOf(FIELDS)), values=fields.List(fields.String()), load_default=dict
    )


class _RungSchema(_Checked):
    at = fields.String(required=True, validate=_span)
    to = fields.String(required=True, validate=_target)
    do = fields.String(required=True, validate=validate.OneOf([d for d in Deed if d is not Deed.WARN]))


class _ClockSchema(_Checked):
    span = fields.String(required=True, validate=_span)
    source = fields.String(load_default="")
    warn = fields.List(fields.String(validate=validate.Regexp(r"[1-9]\d?%\Z")), load_default=list)
    ladder = fields.List(fields.Nested(_RungSchema), required=True, validate=validate.Length(min=1))


class _OverrideSchema(_Checked):
    date = fields.Raw(required=True)
    off = fields.Boolean(required=True)
    source = fields.String(required=True, validate=validate.Length(min=1))


class _PeriodSchema(_Checked):
    name = fields.String(required=True)
    first = fields.Raw(required=True)
    last = fields.Raw(required=True)
    hours = fields.Dict(required=True)


class _CalendarSchema(_Checked):
    zone = fields.String(required=True, validate=lambda zone: _zone(zone))
    holidays = fields.String(load_default="")
    years = fields.List(
        fields.Integer(strict=True), load_default=lambda: [2024, 2030], validate=validate.Length(equal=2)
    )
    joint_leave = fields.Boolean(load_default=True)
    hours = fields.Dict(required=True)
    override = fields.List(fields.Nested(_OverrideSchema), load_default=list)
    period = fields.List(fields.Nested(_PeriodSchema), load_default=list)


def _zone(name: str) -> None:
    if name not in available_timezones():
        raise ValidationError(f"{name!r} is not an IANA zone, like Asia/Jakarta")


@dataclass(frozen=True)
class Source:
    """One city app: how it signs, and where it is told back. A source without keys answers 401 to everybody."""

    name: str
    title: str
    scheme: str
    secret_names: str
    keys: tuple[str, ...]
    callback_url: str = ""
    callback_secret: str = field(default="", repr=False)


@dataclass(frozen=True)
class Configuration:
    """All files together. `warnings` are faults that stop nobody from starting, such as a source without a key."""

    sources: Mapping[str, Source]
    rulebook: Rulebook
    warnings: tuple[str, ...] = ()


@dataclass
class _Reading:
    """One pass over the folder; faults gather here."""

    folder: Path
    faults: list[str] = field(default_factory=list)

    def toml(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        try:
            return tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            self.faults.append(f"{name}: missing from {self.folder}; copy the shipped one and edit it")
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            self.faults.append(f"{name}: cannot be read as TOML: {error}")
        return {}

    def checked(self, file: str, place: str, content: Any, schema: Schema) -> dict[str, Any] | None:
        try:
            loaded: dict[str, Any] = schema.load(content)
        except ValidationError as error:
            self.faults += [f"{file}: {line}" for line in _lines(error.messages, place)]
            return None
        return loaded

    def tables(self, file: str, schema: Schema) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, content in self.toml(file).items():
            if not re.fullmatch(NAME, name):
                self.faults.append(f"{file}: {name}: a name is small letters, digits and dashes")
            loaded = self.checked(file, name, content, schema)
            if loaded is not None:
                yield name, loaded

    def guarded(self, where: str, build: Callable[[], Any]) -> Any:
        try:
            return build()
        except (BadHours, NoWorkingTime, ValueError, TypeError, AttributeError) as error:
            self.faults.append(f"{where}: {error}")
            return None


def read_configuration(settings: Settings, variables: Mapping[str, str]) -> Configuration:
    """Read and check every file of the configuration folder.

    Raises:
        BadSettings: with every fault of every file.
    """
    reading = _Reading(settings.config_dir)
    env = Environment(variables)
    warnings: list[str] = []
    sources = _sources(reading, env, warnings)
    calendars = _calendars(reading)
    offices = _offices(reading, calendars)
    policies = _policies(reading)
    rules = _rules(reading, offices, policies)
    faults = reading.faults + env.faults
    if faults:
        raise BadSettings(faults)
    told_back = frozenset(source.name for source in sources.values() if source.callback_url)
    rulebook = Rulebook(tuple(rules), offices, calendars, policies, told_back)
    return Configuration(sources, rulebook, tuple(warnings))


def _sources(reading: _Reading, env: Environment, warnings: list[str]) -> dict[str, Source]:
    found: dict[str, Source] = {}
    for name, content in reading.tables("sources.toml", _SourceSchema()):
        url = env.url(content["callback_url"], "", ("http", "https")) if content["callback_url"] else ""
        secret = env.text(content["callback_secret"]) if content["callback_secret"] else ""
        if url and not secret:
            reading.faults.append(
                f"sources.toml: {name}.callback_secret: {content['callback_url']} is set, so "
                f"{content['callback_secret'] or 'a variable named here'} must hold the key callbacks are signed with"
            )
        keys = tuple(env.text(content["secret"]).split())
        _check_keys(reading, warnings, name, content, keys, secret)
        found[name] = Source(name, content["name"], content["scheme"], content["secret"], keys, url, secret)
    return found


def _check_keys(
    reading: _Reading, warnings: list[str], name: str, content: dict[str, Any], keys: tuple[str, ...], secret: str
) -> None:
    if not keys:
        warnings.append(f"source {name}: {content['secret']} is not set, so it answers 401 to everybody")
    for number, key in enumerate(keys, start=1):
        try:
            signing_key(key)
        except BadKey as error:
            warnings.append(f"source {name}: key {number} in {content['secret']} is not used: {error}")
    if secret:
        try:
            signing_key(secret)
        except BadKey as error:
            reading.faults.append(f"sources.toml: {name}.callback_secret: {content['callback_secret']}: {error}")


def _calendars(reading: _Reading) -> dict[str, WorkingCalendar]:
    found: dict[str, WorkingCalendar] = {}
    for path in sorted((reading.folder / "calendars").glob("*.toml")):
        file = f"calendars/{path.name}"
        content = reading.checked(file, "", reading.toml(file), _CalendarSchema())
        if content is not None:
            calendar = reading.guarded(file, partial(build_calendar, path.stem, content))
            found |= {path.stem: calendar} if calendar else {}
    if not found and not reading.faults:
        reading.faults.append("calendars/: no calendar there; at least one is needed")
    return found


def _offices(reading: _Reading, calendars: Mapping[str, WorkingCalendar]) -> dict[str, Office]:
    found: dict[str, Office] = {}
    for name, content in reading.tables("offices.toml", _OfficeSchema()):
        if content["calendar"] not in calendars:
            known = ", ".join(calendars) or "none can be read"
            reading.faults.append(f"offices.toml: {name}.calendar: no calendar {content['calendar']!r} ({known})")
        found[name] = Office(name, **content)
    return found


def _policies(reading: _Reading) -> dict[str, dict[Kind, Policy]]:
    found: dict[str, dict[Kind, Policy]] = {}
    for set_name, clocks in reading.toml("policies.toml").items():
        for kind, content in clocks.items() if isinstance(clocks, dict) else ():
            place = f"{set_name}.{kind}"
            if kind not in list(Kind):
                reading.faults.append(f"policies.toml: {place}: no such clock; there are {', '.join(Kind)}")
                continue
            loaded = reading.checked("policies.toml", place, content, _ClockSchema())
            if loaded is not None:
                policy = _policy(reading, place, Kind(kind), loaded)
                found.setdefault(set_name, {})[Kind(kind)] = policy
    for needed in (Kind.ACKNOWLEDGE, Kind.TRIAGE):
        if not reading.faults and needed not in found.get("default", {}):
            reading.faults.append(f"policies.toml: default.{needed}: missing; every report needs this clock")
    return found


def _policy(reading: _Reading, place: str, kind: Kind, content: dict[str, Any]) -> Policy:
    span = parse_span(content["span"])
    warnings = [Step(span.percent(int(w[:-1])), 0, "assignee", Deed.WARN) for w in content["warn"]]
    rungs = [
        Step(parse_span(rung["at"]), level, rung["to"], Deed(rung["do"]))
        for level, rung in enumerate(content["ladder"], start=1)
    ]
    steps = (*warnings, *rungs)
    for before, after in pairwise(steps):
        if before.at.unit is after.at.unit and before.at.amount > after.at.amount:
            reading.faults.append(f"policies.toml: {place}: {after.at} comes after {before.at}; steps must rise")
    unnamed = Policy(kind, "", span, steps, content["source"])
    return Policy(kind, version_of(kind, unnamed.definition()), span, steps, content["source"])


def _rules(
    reading: _Reading, offices: Mapping[str, Office], policies: Mapping[str, Mapping[Kind, Policy]]
) -> list[Rule]:
    contents = reading.toml("routing.toml").get("rule", [])
    rules: list[Rule] = []
    for number, content in enumerate(contents, start=1):
        place = f"rule[{number}]"
        loaded = reading.checked("routing.toml", place, content, _RuleSchema())
        if loaded is None:
            continue
        if loaded["office"] not in offices:
            reading.faults.append(
                f"routing.toml: {place}.office: no office {loaded['office']!r}; there are {', '.join(offices)}"
            )
        if loaded["policy"] not in policies:
            reading.faults.append(
                f"routing.toml: {place}.policy: no policy set {loaded['policy']!r}; there are {', '.join(policies)}"
            )
        when = {name: tuple(values) for name, values in loaded.pop("when").items()}
        rules.append(Rule(when=when, **loaded))
    if not reading.faults and (not rules or rules[-1].when):
        reading.faults.append("routing.toml: the last rule must have no `when`, so that it takes everything")
    return rules


def _lines(messages: Any, place: str) -> Iterator[str]:
    if isinstance(messages, Mapping):
        for key, value in messages.items():
            inner = f"[{key + 1}]" if isinstance(key, int) else f".{key}"
            yield from _lines(value, place if key == "_schema" else (place + inner).lstrip("."))
    else:
        for text in messages if isinstance(messages, list) else [messages]:
            yield f"{place}: {text}"
