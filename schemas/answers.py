"""What is answered over HTTP: to a city's webhook, and to the office's own systems; described, not enforced."""

from marshmallow import Schema, fields, validate


def _says(*words: str) -> fields.String:
    return fields.String(required=True, validate=validate.OneOf(words))


class RefusedSchema(Schema):
    """A webhook that was not taken; `detail` says what to change, and nothing about keys."""

    status = _says("refused")
    detail = fields.String(required=True)


class SetAsideSchema(Schema):
    """Authentic and kept whole, but not a valid report: a person looks at it. Do not send it again."""

    status = _says("set_aside")
    problems = fields.List(fields.String(), required=True)
    received_at = fields.AwareDateTime(required=True)
    sha256 = fields.String(required=True)


class AcceptedSchema(Schema):
    """Durable. The same report has the same `report_id` and `ticket`, however often it is sent."""

    status = _says("accepted")
    report_id = fields.UUID(required=True)
    ticket = fields.String(required=True)
    track_url = fields.Url(required=True)
    received_at = fields.AwareDateTime(required=True)
    sha256 = fields.String(required=True)


class DryRunSchema(Schema):
    """What would have happened; nothing was kept. `key_id` is the key that matched."""

    status = _says("would_be_accepted", "would_be_set_aside")
    dry_run = fields.Boolean(required=True)
    key_id = fields.String(required=True)
    received_at = fields.AwareDateTime(required=True)
    sha256 = fields.String(required=True)
    report_id = fields.UUID()
    ticket = fields.String()
    track_url = fields.Url()
    problems = fields.List(fields.String())


class _ReceivedSchema(Schema):
    webhook_id = fields.String(required=True)
    sha256 = fields.String(required=True)
    received_at = fields.AwareDateTime(required=True)
    ticket = fields.String(required=True, allow_none=True)
    effect = fields.String(required=True)


class ReceiptItemSchema(_ReceivedSchema):
    """A line of a manifest: the SHA-256 of what was received, and what became of it."""


class ReceiptSchema(_ReceivedSchema):
    """Proof that a webhook was accepted, and of other bodies that came under its id."""

    source = fields.String(required=True)
    report_id = fields.UUID(required=True, allow_none=True)
    type = fields.String(required=True, allow_none=True)
    key_id = fields.String(required=True, allow_none=True)
    aside = fields.String(required=True, allow_none=True)
    other_bodies = fields.List(fields.Dict(), required=True)


class ManifestSchema(Schema):
    """What was accepted in a span; what lies behind `complete_until` may still be on its way."""

    source = fields.String(required=True)
    since = fields.AwareDateTime(required=True)
    until = fields.AwareDateTime(required=True)
    complete_until = fields.AwareDateTime(required=True, allow_none=True)
    complete_until_missing_because = fields.String(required=True, allow_none=True)
    count = fields.Integer()
    digest = fields.String()
    items = fields.List(fields.Nested(ReceiptItemSchema), required=True)
    next = fields.String(required=True, allow_none=True)


class UnknownReceiptSchema(Schema):
    """Nobody has seen this id, up to `complete_until`."""

    status = _says("unknown")
    detail = fields.String(required=True)
    complete_until = fields.AwareDateTime(required=True, allow_none=True)


class Open311ErrorSchema(Schema):
    """An error of GeoReport v2."""

    code = fields.Integer(required=True)
    description = fields.String(required=True)


class ProblemSchema(Schema):
    """What went wrong (RFC 9457)."""

    type = fields.String(required=True)
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)


class ObligationSchema(Schema):
    """One running or ended clock of a report; `level` is how far it has escalated."""

    kind = fields.String(required=True)
    state = fields.String(required=True)
    level = fields.Integer(required=True)
    deadline_at = fields.AwareDateTime(required=True)
    next_due = fields.AwareDateTime(required=True, allow_none=True)


class ReportSchema(Schema):
    """A report as the office's own systems see it, without contacts."""

    ticket = fields.String(required=True)
    report_id = fields.UUID(required=True)
    source = fields.String(required=True)
    external_id = fields.String(required=True)
    status = fields.String(required=True)
    outcome = fields.String(required=True, allow_none=True)
    office = fields.String(required=True)
    assignee = fields.String(required=True, allow_none=True)
    cycle = fields.Integer(required=True)
    category = fields.String(required=True)
    title = fields.String(required=True)
    case_number = fields.String(required=True, allow_none=True)
    received_at = fields.AwareDateTime(required=True)
    obligations = fields.List(fields.Nested(ObligationSchema), required=True)


class MovedSchema(Schema):
    """Where a report stands after a move."""

    ticket = fields.String(required=True)
    status = fields.String(required=True)
    outcome = fields.String(required=True, allow_none=True)
    cycle = fields.Integer(required=True)


class AcknowledgedSchema(MovedSchema):
    """The same; `changed` is false when it had been acknowledged before."""

    changed = fields.Boolean(required=True)
