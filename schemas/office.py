"""What an office's own system is told by signed webhook: no personal data of the citizen."""

from marshmallow import INCLUDE, Schema, fields, validate

EVENTS = ("new_report", "warning", "escalation", "amended", "withdrawn", "test", "digest")


class RecipientSchema(Schema):
    """Whom the notice is for; `address` is what their channel says behind the colon."""

    person_id = fields.String(required=True)
    name = fields.String(required=True)
    address = fields.String(required=True)


class NoticeSchema(Schema):
    """One notice: about which report, what happened, by when it is due. `level` 0 are warnings before a deadline."""

    ticket = fields.String(required=True)
    event = fields.String(required=True)
    kind = fields.String(required=True, allow_none=True)
    level = fields.Integer(required=True)
    cycle = fields.Integer(required=True)
    title = fields.String(required=True)
    category = fields.String(required=True)
    office = fields.String(required=True)
    assignee = fields.String(required=True, allow_none=True)
    due_at = fields.AwareDateTime(required=True, allow_none=True)
    report_url = fields.Url(required=True, require_tld=False)
    acknowledge_url = fields.Url(required=True, allow_none=True, require_tld=False)


class NoticeDataSchema(Schema):
    """A notice with its text. Of a digest: the text and `notices`, each a Notice; of a test: the text alone."""

    class Meta:
        unknown = INCLUDE  # the fields of Notice, where it is about one report

    to = fields.Nested(RecipientSchema, required=True)
    subject = fields.String(required=True)
    text = fields.String(required=True)
    notices = fields.List(fields.Nested(NoticeSchema))


class OfficeNoticeSchema(Schema):
    """A notice as a whole (Standard Webhooks payload shape)."""

    type = fields.String(required=True, validate=validate.OneOf([f"notice.{event}" for event in EVENTS]))
    timestamp = fields.AwareDateTime(required=True)
    data = fields.Nested(NoticeDataSchema, required=True)
