"""The files people edit, read and checked as a whole: every fault at once, each with file, place and remedy."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marshmallow import Schema, ValidationError

from bridge.arrivals import Payload, as_sent
from bridge.mapping import BadMapping, PayloadMapping
from bridge.open311.form import as_event
from bridge.reports.calendars import NoWorkingTime, WorkingCalendar
from bridge.reports.clocks import Deed, Kind, Policy, Span, Step, parse_span, plan, start_clock
from bridge.reports.daycounts import DayCount
from bridge.reports.routing import Rule
from bridge.reports.rulebook import Office, Rulebook
from bridge.schemes import SCHEMES
from bridge.signing import BadKey, sending_key
from config.calendars import BadHours, build_calendar, stretch, version_of
from config.channels import FILE as CHANNELS_FILE
from config.channels import Channels, read_channels
from config.forms import NAME, CalendarSchema, ClockSchema, OfficeSchema, RuleSchema, SourceSchema
from config.settings import BadSettings, Environment, Settings

if TYPE_CHECKING:
    from bridge.delivery.notices import Texts

_ANY_DAY = datetime(2026, 1, 1, tzinfo=UTC)


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


@dataclass(frozen=True)
class Configuration:
    """All files together. `warnings` are faults that stop nobody from starting; `keyless` sources have no key.

    `texts` is None where nobody is told anything, and they were not read.
    """

    sources: Mapping[str, Source]
    rulebook: Rulebook
    warnings: tuple[str, ...] = ()
    keyless: tuple[str, ...] = ()
    channels: Channels = field(default_factory=Channels)
    texts: Texts | None = None

    @property
    def notes(self) -> list[str]:
        """Return what whoever starts it should know, a line each."""
        missing = [
            f"source {name}: {self.sources[name].secret_names} is not set, so it answers 401 to everybody; "
            f"set it, or make a key: bridge sources key new {name}"
            for name in self.keyless
        ]
        return [*missing, *self.warnings]


@dataclass
class _Reading:
    """One pass over the folder; faults gather here."""

    folder: Path
    faults: list[str] = field(default_factory=list)
    #: What each file speaks of, right or wrong: who only names a thing is not blamed for the thing's own faults.
    named: dict[str, set[str]] = field(default_factory=dict)

    def toml(self, name: str) -> dict[str, Any] | None:
        path = self.folder / name
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
            self.named[name] = set(content)
            return content
        except FileNotFoundError:
            self.faults.append(f"{name}: missing from {self.folder}; copy the shipped one and edit it")
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            self.faults.append(f"{name}: cannot be read as TOML: {error}")
        return None

    def checked(self, file: str, place: str, content: Any, schema: Schema) -> dict[str, Any] | None:
        try:
            loaded: dict[str, Any] = schema.load(content)
        except ValidationError as error:
            self.faults += [f"{file}: {line}" for line in _lines(error.messages, place)]
            return None
        return loaded

    def tables(self, file: str, schema: Schema) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, content in (self.toml(file) or {}).items():
            if not re.fullmatch(NAME, name):
                self.faults.append(f"{file}: {name}: a name is small letters, digits and dashes")
            loaded = self.checked(file, name, content, schema)
            if loaded is not None:
                yield name, loaded

    def unknown(self, file: str, name: str) -> bool:
        """Tell whether a file that could be read says nothing of that name."""
        return file in self.named and name not in self.named[file]

    def guarded(self, where: str, build: Callable[[], Any]) -> Any:
        try:
            return build()
        except (BadHours, NoWorkingTime, ValueError, NotImplementedError) as error:  # the last: no such country
            self.faults.append(f"{where}: {error}")
            return None


def read_configuration(settings: Settings, variables: Mapping[str, str], *, with_texts: bool = True) -> Configuration:
    """Read and check every file of the configuration folder; the texts of notices only if they will be needed.

    Raises:
        BadSettings: with every fault of every file.
    """
    reading = _Reading(settings.config_dir)
    env = Environment(variables)
    warnings: list[str] = []
    sources = _sources(reading, env, warnings)
    calendars = _calendars(reading)
    offices = _offices(reading)
    policies = _policies(reading)
    rules = _rules(reading)
    channels = _channels(reading, env)
    both = sorted({*sources} & {*channels.sources, *channels.unset})
    # A destination in trouble is known by this name.
    reading.faults += [f"sources.toml: {one}: a channel of {CHANNELS_FILE} is called so; take another" for one in both]
    _check_spans(reading, policies, calendars)
    texts = _texts(reading) if with_texts else None
    faults = reading.faults + env.faults
    if faults:
        raise BadSettings(faults)
    told_back = frozenset(one.recipient for source in sources.values() for one in source.callbacks)
    rulebook = Rulebook(tuple(rules), offices, calendars, policies, told_back)
    made = {path.stem for path in settings.made_keys.glob("*.json")}
    keyless = [name for name, source in sources.items() if not source.keys and name not in made]
    return Configuration(sources, rulebook, tuple(warnings), tuple(keyless), channels, texts)


def _channels(reading: _Reading, env: Environment) -> Channels:
    # A folder from before there were channels goes on as it was: by mail.
    if not (reading.folder / CHANNELS_FILE).exists():
        return Channels()
    content = reading.toml(CHANNELS_FILE) or {}
    reading.faults += [
        f"{CHANNELS_FILE}: {name}: a name is small letters, digits and dashes"
        for name in content
        if not re.fullmatch(NAME, name)
    ]
    return read_channels(content, partial(reading.checked, CHANNELS_FILE), env, reading.faults)


def _texts(reading: _Reading) -> Texts | None:
    # Here and not above: a receiver tells nobody anything, and shall not load what writes it.
    from config.wording import read_texts

    try:
        return read_texts(reading.folder)
    except BadSettings as error:
        reading.faults += error.faults
        return None


def _sources(reading: _Reading, env: Environment, warnings: list[str]) -> dict[str, Source]:
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


def _further(reading: _Reading, env: Environment, source: str, content: dict[str, Any]) -> Iterator[Callback]:
    """Yield the further addresses of a source whose variables are set."""
    for name, one in content["callbacks"].items():
        url, secret = env.url(one["url"], "", ("http", "https")), env.text(one["secret"])
        place = f"sources.toml: {source}.callbacks.{name}"
        if url and not secret:
            reading.faults.append(f"{place}.secret: {one['url']} is set, so {one['secret']} must hold the key, too")
        elif url:
            _check_sending(reading, f"{place}.secret: {one['secret']}", content["scheme"], secret)
            yield Callback(f"{source}/{name}", url, secret)


def _payload(reading: _Reading, name: str, content: dict[str, Any]) -> Payload:
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
    reading: _Reading, warnings: list[str], name: str, content: dict[str, Any], keys: tuple[str, ...], secret: str
) -> None:
    for number, key in enumerate(keys, start=1):
        try:
            SCHEMES[content["scheme"]].read_key(key)
        except BadKey as error:
            warnings.append(f"source {name}: key {number} in {content['secret']} is not used: {error}")
    if secret:
        place = f"sources.toml: {name}.callback_secret: {content['callback_secret']}"
        _check_sending(reading, place, content["scheme"], secret)


def _check_sending(reading: _Reading, place: str, scheme: str, secret: str) -> None:
    """Check what callbacks are signed with; several keys stand beside each other while they change."""
    if scheme != "open311":
        reading.faults += [f"{place}: {fault}" for fault in _bad_sending_keys(secret.split())]


def _bad_sending_keys(keys: list[str]) -> Iterator[str]:
    for number, key in enumerate(keys, start=1):
        try:
            sending_key(key)
        except BadKey as error:
            yield f"key {number}: {error}" if len(keys) > 1 else str(error)


def _calendars(reading: _Reading) -> dict[str, WorkingCalendar]:
    found: dict[str, WorkingCalendar] = {}
    paths = sorted((reading.folder / "calendars").glob("*.toml"))
    for path in paths:
        file = f"calendars/{path.name}"
        raw = reading.toml(file)
        content = None if raw is None else reading.checked(file, "", raw, CalendarSchema())
        if content is not None:
            calendar = reading.guarded(file, partial(build_calendar, path.stem, content))
            found |= {path.stem: calendar} if calendar else {}
    reading.named["calendars/"] = {path.stem for path in paths}
    if not paths:
        reading.faults.append("calendars/: no calendar there; at least one is needed")
    return found


def _offices(reading: _Reading) -> dict[str, Office]:
    found: dict[str, Office] = {}
    for name, content in reading.tables("offices.toml", OfficeSchema()):
        if reading.unknown("calendars/", content["calendar"]):
            known = ", ".join(sorted(reading.named["calendars/"])) or "none"
            reading.faults.append(f"offices.toml: {name}.calendar: no calendar {content['calendar']!r} ({known})")
        found[name] = Office(name, **content)
    return found


def _policies(reading: _Reading) -> dict[str, dict[Kind, Policy]]:
    found: dict[str, dict[Kind, Policy]] = {}
    content = reading.toml("policies.toml")
    for set_name, clocks in (content or {}).items():
        if not isinstance(clocks, dict):
            reading.faults.append(f"policies.toml: {set_name}: write tables like [{set_name}.acknowledge]")
            continue
        for kind, clock in clocks.items():
            place = f"{set_name}.{kind}"
            if kind not in list(Kind):
                reading.faults.append(f"policies.toml: {place}: no such clock; there are {', '.join(Kind)}")
                continue
            loaded = reading.checked("policies.toml", place, clock, ClockSchema())
            if loaded is not None:
                policy = _policy(reading, place, Kind(kind), loaded)
                found.setdefault(set_name, {})[Kind(kind)] = policy
    if content is not None:
        _check_defaults(reading, content)
    return found


def _check_defaults(reading: _Reading, content: dict[str, Any]) -> None:
    default = content.get("default", {})
    for needed in (Kind.ACKNOWLEDGE, Kind.TRIAGE):
        if isinstance(default, dict) and needed not in default:
            reading.faults.append(f"policies.toml: default.{needed}: missing; every report needs this clock")


def _policy(reading: _Reading, place: str, kind: Kind, content: dict[str, Any]) -> Policy:
    span = parse_span(content["span"])
    warnings = [_warning(reading, place, text, span) for text in content["warn"]]
    ladder = [_rungs(reading, place, rung, level) for level, rung in enumerate(content["ladder"], start=1)]
    steps = (*(warning for warning in warnings if warning), *chain.from_iterable(ladder))
    for before, after in pairwise(steps):
        if before.at.unit is after.at.unit and before.at.amount > after.at.amount:
            reading.faults.append(f"policies.toml: {place}: {after.at} comes after {before.at}; steps must rise")
    if kind is not Kind.COMPLETION and any(step.deed is Deed.CLOSE for step in steps):
        reading.faults.append(f"policies.toml: {place}: only the clock of the citizen (completion) may close a report")
    days = DayCount(
        from_same_day=content["count_from"] == "same day",
        cut_off=stretch(f"{content['cut_off']}-24:00")[0] if content["cut_off"] else None,
        same_time=content["due"] == "same time",
    )
    unnamed = Policy(kind, "", span, steps, content["source"], days, content["verified"])
    return replace(unnamed, version=version_of(kind, unnamed.definition()))


def _warning(reading: _Reading, place: str, text: str, span: Span) -> Step | None:
    """Return the step of a warning: a share of the span, or so long before its end."""
    if text.endswith("%"):
        return Step(span.percent(int(text[:-1])), 0, "assignee", Deed.WARN)
    before = parse_span(text)
    if before.unit is not span.unit or before.amount >= span.amount:
        reading.faults.append(
            f"policies.toml: {place}.warn: {text} before the end of {span}: write a shorter span of the same unit"
        )
        return None
    return Step(replace(span, amount=span.amount - before.amount), 0, "assignee", Deed.WARN)


def _rungs(reading: _Reading, place: str, rung: dict[str, Any], level: int) -> list[Step]:
    """Return the steps of one rung: as it says, and once more for each time it is repeated."""
    kind, _, office = rung["to"].partition(":")
    if kind == "office" and reading.unknown("offices.toml", office):
        known = ", ".join(sorted(reading.named["offices.toml"]))
        reading.faults.append(f"policies.toml: {place}.ladder[{level}].to: no office {office!r} ({known})")
    first = Step(parse_span(rung["at"]), level, rung["to"], Deed(rung["do"]))
    if rung["repeat"] is None:
        return [first]
    every = parse_span(rung["repeat"]["every"])
    if every.unit is not first.at.unit or not every.amount:
        reading.faults.append(
            f"policies.toml: {place}.ladder[{level}].repeat.every: {every} after {first.at}: write the same unit"
        )
    times = range(rung["repeat"]["times"] + 1)
    return [
        replace(first, at=replace(first.at, amount=first.at.amount + every.amount * again), again=again)
        for again in times
    ]


def _check_spans(
    reading: _Reading, policies: Mapping[str, Mapping[Kind, Policy]], calendars: Mapping[str, WorkingCalendar]
) -> None:
    """Try every clock in every calendar: a zero too many must not be found out by the first report."""
    for set_name, clocks in policies.items():
        for kind, policy in clocks.items():
            for calendar in calendars.values():
                reading.guarded(f"policies.toml: {set_name}.{kind}", partial(_planned, policy, calendar))


def _planned(policy: Policy, calendar: WorkingCalendar) -> None:
    plan(start_clock("", policy, calendar, cycle=1, now=_ANY_DAY), policy, calendar)


def _rules(reading: _Reading) -> list[Rule]:
    content = reading.toml("routing.toml")
    if content is None:
        return []
    contents = content.pop("rule", [])
    reading.faults += [f"routing.toml: {name}: unknown; there are only [[rule]] tables" for name in content]
    if not isinstance(contents, list):
        reading.faults.append("routing.toml: rule: write [[rule]] in double brackets")
        return []
    numbered = ((f"rule[{number}]", rule) for number, rule in enumerate(contents, start=1))
    rules = [_rule(reading, place, rule) for place, rule in numbered]
    if not contents or (isinstance(contents[-1], dict) and contents[-1].get("when")):
        reading.faults.append("routing.toml: the last rule must have no `when`, so that it takes everything")
    return [rule for rule in rules if rule is not None]


def _rule(reading: _Reading, place: str, content: Any) -> Rule | None:
    loaded = reading.checked("routing.toml", place, content, RuleSchema())
    if loaded is None:
        return None
    for what, file in (("office", "offices.toml"), ("policy", "policies.toml")):
        if reading.unknown(file, loaded[what]):
            known = ", ".join(sorted(reading.named[file]))
            kind = "policy set" if what == "policy" else what
            reading.faults.append(f"routing.toml: {place}.{what}: no {kind} {loaded[what]!r}; there are {known}")
    when = {name: tuple(values) for name, values in loaded.pop("when").items()}
    return Rule(when=when, **loaded)


def _lines(messages: Any, place: str) -> Iterator[str]:
    if isinstance(messages, Mapping):
        for key, value in messages.items():
            inner = f"[{key + 1}]" if isinstance(key, int) else f".{key}"
            yield from _lines(value, place if key == "_schema" else (place + inner).lstrip("."))
    else:
        for text in messages if isinstance(messages, list) else [messages]:
            yield f"{place}: {text}"
