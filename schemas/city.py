"""What a city app sends to `POST /webhooks/<source>`, and what it gets told back."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from schemas.quick import quick_check

TYPES = ("report.submitted", "report.amended", "report.withdrawn")

MAX_ID_CHARS = 128
MAX_DESCRIPTION_CHARS = 20_000
MAX_ATTACHMENTS = 20
#: Areas are Kemendagri codes in dotted form only: `3171` is another city in BPS codes (domain.md B6).
AREA_CODE = r"[0-9]{2}(\.[0-9]{2}(\.[0-9]{2}(\.[0-9]{4})?)?)?"

#: Any time a city could mean; nearer to the ends of the calendar it has no UTC, and no database keeps it.
_TIMES = validate.Range(
    datetime(1900, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC), error="must lie within the years 1900 to 8999"
)


class _CitySchema(Schema):
    class Meta:
        # The platform adds fields without notice; a new field must not cost us a report.
        unknown = EXCLUDE


def _text(most: int, **options: Any) -> fields.String:
    return fields.String(validate=Characters(most, least=1 if options.get("required") else 0), **options)


class Characters:
    """Length within bounds, and only characters that PostgreSQL text can hold: no NUL, no lone surrogate."""

    def __init__(self, most: int, *, least: int = 0) -> None:
        self.most, self.least = most, least

    def __call__(self, value: str) -> None:
        if "\x00" in value or not (value.isascii() or _is_unicode(value)):
            raise ValidationError("must not contain a NUL character or half a surrogate pair")
        if not self.least <= len(value.strip() if self.least else value) or len(value) > self.most:
            raise ValidationError(f"must have {self.least} to {self.most} characters")


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


class ReporterSchema(_CitySchema):
    """Who complains. Anonymous: the city keeps the name and only relays."""

    name = _text(200, allow_none=True)
    phone = _text(40, allow_none=True)
    email = _text(254, allow_none=True)
    domicile = fields.String(allow_none=True, validate=validate.Regexp(AREA_CODE + r"\Z"))
    anonymous = fields.Boolean()


class BusinessSchema(_CitySchema):
    """Against whom: an allegation, never shown in public."""

    name = _text(300, allow_none=True)
    address = _text(500, allow_none=True)


class LocationSchema(_CitySchema):
    """Where it happened; BPSK's competence follows the consumer's domicile, not this."""

    lat = fields.Float(allow_none=True, validate=validate.Range(-90, 90))
    lon = fields.Float(allow_none=True, validate=validate.Range(-180, 180))
    area = fields.String(allow_none=True, validate=validate.Regexp(AREA_CODE + r"\Z"))


class AttachmentSchema(_CitySchema):
    """A photo or paper, by link."""

    url = fields.Url(required=True, schemes={"http", "https"}, require_tld=False, validate=Characters(2000))
    media_type = _text(100, allow_none=True)


class AmendmentSchema(_CitySchema):
    """`data` of report.amended: the id, and whatever changed."""

    id = _text(MAX_ID_CHARS, required=True)
    title = _text(300)
    description = _text(MAX_DESCRIPTION_CHARS)
    category = _text(64)
    reported_at = fields.AwareDateTime(format="iso", allow_none=True, validate=_TIMES)
    language = fields.String(validate=validate.OneOf(["id", "en"]))
    reporter = fields.Nested(ReporterSchema, allow_none=True)
    business = fields.Nested(BusinessSchema, allow_none=True)
    amount_idr = fields.Integer(strict=True, allow_none=True, validate=validate.Range(0, 10**15))
    location = fields.Nested(LocationSchema, allow_none=True)
    attachments = fields.List(
        fields.Nested(AttachmentSchema), allow_none=True, validate=validate.Length(max=MAX_ATTACHMENTS)
    )


class SubmissionSchema(AmendmentSchema):
    """`data` of report.submitted: enough to know what it is about."""

    title = _text(300, required=True)
    description = _text(MAX_DESCRIPTION_CHARS, required=True)


class WithdrawalSchema(_CitySchema):
    """`data` of report.withdrawn."""

    id = _text(MAX_ID_CHARS, required=True)


class EnvelopeSchema(_CitySchema):
    """The event around `data`; `timestamp` is when it happened at the city, with a zone."""

    type = fields.String(required=True, validate=validate.OneOf(TYPES))
    timestamp = fields.AwareDateTime(required=True, format="iso", validate=_TIMES)
    data = fields.Dict(required=True)


_ENVELOPE = EnvelopeSchema()
_DATA: Mapping[str, Schema] = {
    "report.submitted": SubmissionSchema(),
    "report.amended": AmendmentSchema(),
    "report.withdrawn": WithdrawalSchema(),
}


_QUICK_ENVELOPE = quick_check(_ENVELOPE)
_QUICK_DATA = {name: quick_check(schema) for name, schema in _DATA.items()}


class NotAReport(ValueError):
    """Authentic, but not a valid event; `problems` says in words what is wrong, a line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


def checked_id(payload: Any) -> str:
    """Check one event and return `data.id`: all the way in needs to know, at a tenth of the price of loading it.

    Raises:
        NotAReport: with every fault found, each with its place.
    """
    if _QUICK_ENVELOPE(payload) and _QUICK_DATA[payload["type"]](payload["data"]):
        return str(payload["data"]["id"])
    return str(load_event(payload)["data"]["id"])


def load_event(payload: object) -> dict[str, Any]:
    """Check one event and return `{"type", "timestamp", "data"}`, datetimes aware.

    Raises:
        NotAReport: with every fault found, each with its place.
    """
    if not isinstance(payload, dict):
        raise NotAReport(["the body must be a JSON object with type, timestamp and data"])
    event, problems = _loaded(_ENVELOPE, payload)
    # What is wrong around the data must not hide what is wrong in it.
    schema, data = _DATA.get(event.get("type", "")), event.get("data")
    if schema and isinstance(data, dict):
        event["data"], more = _loaded(schema, data, "data")
        problems += more
    if problems:
        raise NotAReport(problems)
    return event


def _loaded(schema: Schema, values: Mapping[str, Any], place: str = "") -> tuple[dict[str, Any], list[str]]:
    """Return what was right, loaded, and a line for whatever was not."""
    try:
        loaded, problems = schema.load(values), []
    except ValidationError as error:
        loaded, problems = error.valid_data, problems_of(error.messages, place)
    return (loaded if isinstance(loaded, dict) else {}), problems


def problems_of(messages: Any, place: str = "") -> list[str]:
    """Return marshmallow's nested messages as lines like `data.reporter.email: ...`."""
    if isinstance(messages, Mapping):
        return [
            line
            for key, value in messages.items()
            for line in problems_of(value, place if key == "_schema" else f"{place}.{key}".lstrip("."))
        ]
    return [f"{place}: {text}" for text in (messages if isinstance(messages, list) else [messages])]


class StatusDataSchema(Schema):
    """`data` of the report.status_changed callback. `sequence` rises per report: ignore an older one."""

    id = fields.String(required=True)
    ticket = fields.String(required=True)
    sequence = fields.Integer(required=True)
    status = fields.String(required=True)
    outcome = fields.String(allow_none=True)
    colour = fields.String(required=True, validate=validate.OneOf(["merah", "kuning", "hijau"]))
    label = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    message = fields.String(required=True)
    next_step = fields.String(required=True)
    due_at = fields.AwareDateTime(allow_none=True, required=True)
    escalated_to = fields.String(allow_none=True, required=True)
    occurred_at = fields.AwareDateTime(required=True)
    track_url = fields.Url(required=True, require_tld=False)


class StatusChangedSchema(Schema):
    """The callback as a whole (Standard Webhooks payload shape)."""

    type = fields.String(required=True, validate=validate.Equal("report.status_changed"))
    timestamp = fields.AwareDateTime(required=True)
    data = fields.Nested(StatusDataSchema, required=True)
