"""What each of the files people edit may say, as marshmallow schemas: faults in words, with what would be right."""

import re
from datetime import date
from typing import Any
from zoneinfo import available_timezones

from marshmallow import RAISE, Schema, ValidationError, fields, validate, validates_schema

from bridge.reports.clocks import BadSpan, Deed, Unit, parse_span
from bridge.reports.people import Role
from bridge.reports.routing import FIELDS
from bridge.schemes import SCHEMES
from config.calendars import DAYS, FIRST_YEAR, LAST_YEAR, BadHours, stretch

NAME = r"[a-z0-9][a-z0-9-]{0,63}\Z"
_VARIABLE = validate.Regexp(r"[A-Z][A-Z0-9_]*\Z")
_VARIABLE_OR_NONE = validate.Regexp(r"([A-Z][A-Z0-9_]*)?\Z")

_HEADER = validate.Regexp(r"[A-Za-z0-9-]{1,64}\Z", error="must be the name of a header, like X-Hub-Signature-256")


class Checked(Schema):
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
    if text in ("assignee", "next_member", "citizen") or (kind in ("person", "office") and name):
        return
    roles = "|".join(Role)
    raise ValidationError(
        f"{text!r} is nobody; write assignee, next_member, citizen, role:{roles}, office:<id> or person:<id>"
    )


_SHARE = re.compile(r"[1-9]\d?%")


def _warning(text: str) -> None:
    if not _SHARE.fullmatch(text):
        _span(text)


def _time_of_day(text: str) -> None:
    try:
        stretch(f"{text}-24:00")
    except BadHours as error:
        raise ValidationError(f"{text!r} is not a time of day like '12:00'") from error


# `source/name` stands in a column of 64.
_FURTHER = validate.Regexp(r"[a-z0-9][a-z0-9-]{0,19}\Z", error="must be at most 20 small letters, digits, dashes")


class CallbackSchema(Checked):
    """A further address a city is told back at."""

    url = fields.String(required=True, validate=_VARIABLE)
    secret = fields.String(required=True, validate=_VARIABLE)


class SourceSchema(Checked):
    """A table of sources.toml: one city app."""

    name = fields.String(required=True)
    scheme = fields.String(required=True, validate=validate.OneOf(list(SCHEMES)))
    secret = fields.String(required=True, validate=_VARIABLE)
    callback_url = fields.String(load_default="", validate=_VARIABLE_OR_NONE)
    callback_secret = fields.String(load_default="", validate=_VARIABLE_OR_NONE)
    header = fields.String(load_default="X-Hub-Signature-256", validate=_HEADER)
    id_header = fields.String(load_default="webhook-id", validate=_HEADER)
    rate = fields.Integer(load_default=0, strict=True, validate=validate.Range(0, 100_000))
    mapping = fields.Dict(keys=fields.String(), values=fields.String(), load_default=None)
    expected_datetime = fields.Boolean(load_default=False)
    callbacks = fields.Dict(
        keys=fields.String(validate=_FURTHER),
        values=fields.Nested(CallbackSchema),
        load_default=dict,
    )


class OfficeSchema(Checked):
    """A table of offices.toml."""

    name = fields.String(required=True)
    calendar = fields.String(required=True)
    address = fields.String(load_default="")
    phone = fields.String(load_default="")


class RuleSchema(Checked):
    """A [[rule]] of routing.toml."""

    name = fields.String(required=True)
    office = fields.String(required=True)
    role = fields.String(load_default="officer", validate=validate.OneOf(list(Role)))
    element = fields.String(load_default="", validate=validate.OneOf(["", "government", "consumer", "business"]))
    policy = fields.String(load_default="default")
    when = fields.Dict(
        keys=fields.String(validate=validate.OneOf(FIELDS)), values=fields.List(fields.String()), load_default=dict
    )


class RepeatSchema(Checked):
    """How often a rung is told again when nobody acts."""

    every = fields.String(required=True, validate=_span)
    times = fields.Integer(required=True, strict=True, validate=validate.Range(1, 100))


class RungSchema(Checked):
    """One step of a ladder."""

    at = fields.String(required=True, validate=_span)
    to = fields.String(required=True, validate=_target)
    do = fields.String(required=True, validate=validate.OneOf([d for d in Deed if d is not Deed.WARN]))
    repeat = fields.Nested(RepeatSchema, load_default=None)

    @validates_schema
    def _no_desk(self, data: dict[str, Any], **_: Any) -> None:
        if data["to"] == "citizen" and data["do"] in (Deed.REASSIGN, Deed.BOTH):
            raise ValidationError("the citizen has no desk a report could go to; write notify", "do")


class _InBothLanguages(fields.Field):  # type: ignore[type-arg]
    """A text, or a table with `id` and `en`; loaded as (Indonesian or the only one, English or None)."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> tuple[str, str | None]:
        if isinstance(value, str):
            return value, None
        if isinstance(value, dict) and value.keys() == {"id", "en"} and all(isinstance(v, str) for v in value.values()):
            return value["id"], value["en"]
        raise ValidationError('write a text, or one in each language: { id = "…", en = "…" }')


class ClockSchema(Checked):
    """A table of policies.toml: the clock of one kind of obligation."""

    span = fields.String(required=True, validate=_span)
    source = _InBothLanguages(load_default=("", None))
    verified = fields.Boolean(load_default=False)
    count_from = fields.String(load_default="next day", validate=validate.OneOf(["next day", "same day"]))
    cut_off = fields.String(load_default=None, validate=_time_of_day)
    due = fields.String(load_default="end of day", validate=validate.OneOf(["end of day", "same time"]))
    warn = fields.List(fields.String(validate=_warning), load_default=list)
    ladder = fields.List(fields.Nested(RungSchema), required=True, validate=validate.Length(min=1))

    @validates_schema
    def _some_time(self, data: dict[str, Any], **_: Any) -> None:
        if not parse_span(data["span"]).amount:
            raise ValidationError(f"{data['span']!r} leaves nobody any time; a rung may be at 0, a span not", "span")

    @validates_schema
    def _counts_days(self, data: dict[str, Any], **_: Any) -> None:
        spans = (data["span"], *(rung["at"] for rung in data["ladder"]))
        if any(parse_span(text).unit is Unit.WORKING_DAYS for text in spans):
            return
        usual = {"count_from": "next day", "cut_off": None, "due": "end of day"}
        idle = [name for name, value in usual.items() if data[name] != value]
        if idle:
            fault = "no effect: nothing of this clock is counted in working days; leave it out"
            raise ValidationError({name: [fault] for name in idle})


def _stretch(text: str) -> None:
    try:
        stretch(text)
    except BadHours as error:
        raise ValidationError(str(error)) from error


def _day(value: object) -> None:
    # Not isinstance: TOML's datetimes are dates to Python.
    if type(value) is not date:
        raise ValidationError("write a date without quotes, like 2026-06-01")
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise ValidationError(f"must be a date of the years {FIRST_YEAR} to {LAST_YEAR}")


def _week() -> fields.Dict:
    stretches = fields.List(fields.String(validate=_stretch))
    return fields.Dict(keys=fields.String(validate=validate.OneOf(DAYS)), values=stretches, required=True)


class OverrideSchema(Checked):
    """Our own word about one day, above the library's."""

    date = fields.Raw(required=True, validate=_day)
    off = fields.Boolean(required=True)
    hours = fields.List(fields.String(validate=_stretch), load_default=list)
    source = fields.String(required=True, validate=validate.Length(min=1))

    @validates_schema
    def _either(self, data: dict[str, Any], **_: Any) -> None:
        if data["off"] and data["hours"]:
            raise ValidationError("a day off has no hours; write off = false, or leave the hours out", "hours")


class PeriodSchema(Checked):
    """Other hours between two dates."""

    name = fields.String(required=True)
    first = fields.Raw(required=True, validate=_day)
    last = fields.Raw(required=True, validate=_day)
    hours = _week()

    @validates_schema
    def _in_order(self, data: dict[str, Any], **_: Any) -> None:
        if data["last"] < data["first"]:
            raise ValidationError("must not be before `first`", "last")


def _iso_day(text: str) -> None:
    try:
        date.fromisoformat(text)
    except ValueError as error:
        raise ValidationError(f"{text!r} is not a date like 2026-06-01") from error


def _named_days() -> fields.Dict:
    return fields.Dict(
        keys=fields.String(validate=_iso_day), values=fields.String(validate=validate.Length(1)), load_default=dict
    )


class ConfirmedSchema(Checked):
    """The days off of one year, as a person read them in its decree."""

    year = fields.Integer(required=True, strict=True, validate=validate.Range(FIRST_YEAR, LAST_YEAR))
    source = fields.String(required=True, validate=validate.Length(min=1))
    public = _named_days()
    joint_leave = _named_days()

    @validates_schema
    def _of_that_year(self, data: dict[str, Any], **_: Any) -> None:
        if not data["public"]:
            raise ValidationError("a year without any holiday? write them all; the library is not asked then", "public")
        for kind in ("public", "joint_leave"):
            other = [day for day in data[kind] if date.fromisoformat(day).year != data["year"]]
            if other:
                raise ValidationError(f"{', '.join(other)}: not of the year {data['year']}", kind)


class CalendarSchema(Checked):
    """A file in calendars/."""

    zone = fields.String(required=True, validate=lambda zone: _zone(zone))
    holidays = fields.String(load_default="")
    years = fields.List(
        fields.Integer(strict=True, validate=validate.Range(FIRST_YEAR, LAST_YEAR)),
        load_default=lambda: [2024, 2030],
        validate=validate.Length(equal=2),
    )
    joint_leave = fields.Boolean(load_default=True)
    hours = _week()
    override = fields.List(fields.Nested(OverrideSchema), load_default=list)
    period = fields.List(fields.Nested(PeriodSchema), load_default=list)
    confirmed = fields.List(fields.Nested(ConfirmedSchema), load_default=list)

    @validates_schema
    def _in_order(self, data: dict[str, Any], **_: Any) -> None:
        # Years the wrong way round are no years at all, and a calendar without a single holiday.
        if data["years"][0] > data["years"][1]:
            raise ValidationError("the first year, then the last one", "years")


#: What these mean differs from server to server, or they are no zone at all.
_NO_ZONES = frozenset({"localtime", "posixrules", "Factory"})


def _zone(name: str) -> None:
    if name not in available_timezones() - _NO_ZONES:
        raise ValidationError(f"{name!r} is not an IANA zone, like Asia/Jakarta")
