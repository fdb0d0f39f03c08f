"""Our own queue messages: `{"id", "type", "timestamp", "data"}`, one schema per type; a surprise is our bug."""

import base64
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate


class _MessageSchema(Schema):
    class Meta:
        unknown = RAISE


class WebhookReceivedSchema(_MessageSchema):
    """One authentic webhook, byte for byte (`body` is base64), on its way to `take_in`."""

    source = fields.String(required=True, validate=validate.Length(1, 64))
    webhook_id = fields.String(required=True, validate=validate.Length(1, 256))
    received_at = fields.AwareDateTime(required=True, format="iso")
    sha256 = fields.String(required=True, validate=validate.Length(equal=64))
    body = fields.String(required=True)


class WebhookBatchSchema(_MessageSchema):
    """Several received webhooks in one message: what one group commit of the receiver carried."""

    items = fields.List(fields.Nested(WebhookReceivedSchema), required=True, validate=validate.Length(1, 1000))


class DeliveryDueSchema(_MessageSchema):
    """A notice or a callback is due; everything else is read from the database at that moment."""

    delivery_id = fields.UUID(required=True)


#: type -> schema of `data`
SCHEMAS: dict[str, Schema] = {
    "webhook.received": WebhookReceivedSchema(),
    "webhook.batch": WebhookBatchSchema(),
    "notice.due": DeliveryDueSchema(),
    "callback.due": DeliveryDueSchema(),
}


class EnvelopeSchema(_MessageSchema):
    """The envelope of every queue message."""

    id = fields.String(required=True)
    type = fields.String(required=True, validate=validate.OneOf(list(SCHEMAS)))
    timestamp = fields.AwareDateTime(required=True, format="iso")
    data = fields.Dict(required=True)


_ENVELOPE = EnvelopeSchema()


def load_message(payload: object) -> dict[str, Any]:
    """Check a queue message and return it, `data` loaded by its type's schema.

    Raises:
        ValidationError: not a message of ours; it belongs on the set-aside list.
    """
    if not isinstance(payload, dict):
        raise ValidationError("a queue message is a JSON object")
    message: dict[str, Any] = _ENVELOPE.load(payload)
    message["data"] = SCHEMAS[message["type"]].load(message["data"])
    return message


def body_bytes(item: dict[str, Any]) -> bytes:
    """Return the bytes the city sent.

    Raises:
        ValidationError: `body` is not base64.
    """
    try:
        return base64.b64decode(item["body"], validate=True)
    except ValueError as error:
        raise ValidationError({"body": ["not base64"]}) from error
