"""The files people edit, read and checked as a whole: every fault at once, each with file, place and remedy."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import partial
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

from bridge.reports.calendars import WorkingCalendar
from bridge.reports.clocks import Deed, Kind, Policy, Span, Step, parse_span, plan, start_clock
from bridge.reports.daycounts import DayCount
from bridge.reports.rising import check_rising
from bridge.reports.routing import Rule
from bridge.reports.rulebook import Office, Rulebook
from config.calendars import build_calendar, stretch, version_of
from config.calendars_checked import contradictions, ending_soon, unconfirmed, without_today
from config.channels import FILE as CHANNELS_FILE
from config.channels import Channels, read_channels
from config.forms import NAME, CalendarSchema, ClockSchema, OfficeSchema, RuleSchema
from config.reading import Reading
from config.settings import BadSettings, Environment, Settings
from config.sources import Source, read_sources

if TYPE_CHECKING:
    from bridge.delivery.notices import Texts

#: Every report needs the others; without these something goes on without a deadline.
_MAY_BE_MISSING = {
    Kind.COMPLETION: "asking the citizen",
    Kind.SUMMONS: "registering",
    Kind.FIRST_HEARING: "registering",
    Kind.DECISION: "registering",
}
_ANY_DAY = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Configuration:
    """All files together. `warnings` are faults that stop nobody from starting; `keyless` sources have no key.

    `remarks` are allowed, though perhaps not meant, or will be a fault one day.

    `texts` is None where nobody is told anything, and they were not read.
    """

    sources: Mapping[str, Source]
    rulebook: Rulebook
    warnings: tuple[str, ...] = ()
    keyless: tuple[str, ...] = ()
    channels: Channels = field(default_factory=Channels)
    texts: Texts | None = None
    remarks: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """Return what whoever starts it should know, a line each."""
        missing = [
            f"source {name}: {self.sources[name].secret_names} is not set, so it answers 401 to everybody; "
            f"set it, or make a key: bridge sources key new {name}"
            for name in self.keyless
        ]
        return [*missing, *self.warnings]


def read_configuration(
    settings: Settings, variables: Mapping[str, str], *, with_texts: bool = True, today: date | None = None
) -> Configuration:
    """Read and check every file of the configuration folder; the texts of notices only if they will be needed.

    Args:
        today: By which it is judged whether a calendar still knows its holidays; by the clock without it.

    Raises:
        BadSettings: with every fault of every file.
    """
    reading = Reading(settings.config_dir)
    env = Environment(variables)
    warnings: list[str] = []
    remarks: list[str] = []
    sources = read_sources(reading, env, warnings)
    calendars = _calendars(reading, today or datetime.now(UTC).date(), warnings, remarks)
    offices = _offices(reading)
    policies = _policies(reading, remarks)
    rules = _rules(reading)
    channels = _channels(reading, env)
    both = sorted({*sources} & {*channels.sources, *channels.unset})
    # A destination in trouble is known by this name.
    reading.faults += [f"sources.toml: {one}: a channel of {CHANNELS_FILE} is called so; take another" for one in both]
    _check_spans(reading, policies, calendars, {office.calendar for office in offices.values()})
    texts = _texts(reading) if with_texts else None
    faults = reading.faults + env.faults
    if faults:
        raise BadSettings(faults)
    told_back = frozenset(one.recipient for source in sources.values() for one in source.callbacks)
    rulebook = Rulebook(tuple(rules), offices, calendars, policies, told_back)
    made = {path.stem for path in settings.made_keys.glob("*.json")}
    keyless = [name for name, source in sources.items() if not source.keys and name not in made]
    return Configuration(sources, rulebook, tuple(warnings), tuple(keyless), channels, texts, tuple(remarks))


def _channels(reading: Reading, env: Environment) -> Channels:
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


def _texts(reading: Reading) -> Texts | None:
    # Here and not above: a receiver tells nobody anything, and shall not load what writes it.
    from config.wording import read_texts

    try:
        return read_texts(reading.folder)
    except BadSettings as error:
        reading.faults += error.faults
        return None


def _calendars(reading: Reading, today: date, warnings: list[str], remarks: list[str]) -> dict[str, WorkingCalendar]:
    found: dict[str, WorkingCalendar] = {}
    paths = sorted((reading.folder / "calendars").glob("*.toml"))
    for path in paths:
        file = f"calendars/{path.name}"
        raw = reading.toml(file)
        content = None if raw is None else reading.checked(file, "", raw, CalendarSchema())
        if content is not None:
            calendar = reading.guarded(file, partial(build_calendar, path.stem, content))
            if calendar:
                found[path.stem] = calendar
                reading.faults += [f"{file}: {fault}" for fault in contradictions(content, calendar)]
                # A year that has begun refuses no report: it is told at every start, and `doctor` fails.
                warnings += [f"{file}: {fault}" for fault in without_today(content, today)]
                noted = chain(ending_soon(content, today), unconfirmed(content, path.stem, today))
                remarks += [f"{file}: {remark}" for remark in noted]
    reading.named["calendars/"] = {path.stem for path in paths}
    if not paths:
        reading.faults.append("calendars/: no calendar there; at least one is needed")
    return found


def _offices(reading: Reading) -> dict[str, Office]:
    found: dict[str, Office] = {}
    for name, content in reading.tables("offices.toml", OfficeSchema()):
        if reading.unknown("calendars/", content["calendar"]):
            known = ", ".join(sorted(reading.named["calendars/"])) or "none"
            reading.faults.append(f"offices.toml: {name}.calendar: no calendar {content['calendar']!r} ({known})")
        found[name] = Office(name, **content)
    return found


def _policies(reading: Reading, remarks: list[str]) -> dict[str, dict[Kind, Policy]]:
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
    remarks += _left_out(found)
    return found


def _left_out(policies: Mapping[str, Mapping[Kind, Policy]]) -> Iterator[str]:
    """Yield which clocks are allowed to be missing, or to have no end, and what that means."""
    default = policies.get("default", {})
    for kind, when in _MAY_BE_MISSING.items():
        if kind not in default:
            yield f"policies.toml: default.{kind}: missing, so {when} starts no such clock"
    for set_name, clocks in policies.items():
        completion = clocks.get(Kind.COMPLETION)
        if completion and completion.steps[-1].deed is not Deed.CLOSE:
            yield (
                f"policies.toml: {set_name}.completion: without `close` at its end a report waits for its citizen for "
                "ever, or until somebody closes it"
            )


def _check_defaults(reading: Reading, content: dict[str, Any]) -> None:
    default = content.get("default", {})
    for needed in (Kind.ACKNOWLEDGE, Kind.TRIAGE):
        if isinstance(default, dict) and needed not in default:
            reading.faults.append(f"policies.toml: default.{needed}: missing; every report needs this clock")


def _policy(reading: Reading, place: str, kind: Kind, content: dict[str, Any]) -> Policy:
    span = parse_span(content["span"])
    warnings = [_warning(reading, place, text, span) for text in content["warn"]]
    ladder = [_rungs(reading, place, rung, level) for level, rung in enumerate(content["ladder"], start=1)]
    steps = (*(warning for warning in warnings if warning), *chain.from_iterable(ladder))
    for before, after in pairwise(steps):
        if before.at.unit is after.at.unit and before.at.amount > after.at.amount:
            reading.faults.append(f"policies.toml: {place}: {after.at} comes after {before.at}; steps must rise")
    if kind is not Kind.COMPLETION and any(step.deed is Deed.CLOSE for step in steps):
        reading.faults.append(f"policies.toml: {place}: only the clock of the citizen (completion) may close a report")
    if any(step.deed is Deed.CLOSE for step in steps[:-1]):
        reading.faults.append(f"policies.toml: {place}: a closed report has no further steps; `close` must be the last")
    days = DayCount(
        from_same_day=content["count_from"] == "same day",
        cut_off=stretch(f"{content['cut_off']}-24:00")[0] if content["cut_off"] else None,
        same_time=content["due"] == "same time",
    )
    source, in_english = content["source"]
    unnamed = Policy(kind, "", span, steps, source, days, content["verified"], in_english)
    return replace(unnamed, version=version_of(kind, unnamed.definition()))


def _warning(reading: Reading, place: str, text: str, span: Span) -> Step | None:
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


def _rungs(reading: Reading, place: str, rung: dict[str, Any], level: int) -> list[Step]:
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
    reading: Reading,
    policies: Mapping[str, Mapping[Kind, Policy]],
    calendars: Mapping[str, WorkingCalendar],
    in_use: Collection[str],
) -> None:
    """Try every clock in every calendar: a zero too many must not be found out by the first report."""
    for set_name, clocks in policies.items():
        for kind, policy in clocks.items():
            for name, calendar in calendars.items():
                check = partial(_planned, policy, calendar, in_use=name in in_use)
                reading.guarded(f"policies.toml: {set_name}.{kind}", check)


def _planned(policy: Policy, calendar: WorkingCalendar, *, in_use: bool) -> None:
    plan(start_clock("", policy, calendar, cycle=1, now=_ANY_DAY), policy, calendar)
    if in_use:
        check_rising(policy, calendar)


def _rules(reading: Reading) -> list[Rule]:
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


def _rule(reading: Reading, place: str, content: Any) -> Rule | None:
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
