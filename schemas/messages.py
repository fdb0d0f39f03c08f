"""Our own queue messages: `{"id", "type", "timestamp", "data"}`, one schema per type; a surprise is our bug."""

from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate


class _MessageSchema(Schema):
    class Meta:
        unknown = RAISE


class _Releasable(_MessageSchema):
    """What may end as a dead letter: `letter` is the number it had on the set-aside list when it was released."""

    letter = fields.Integer(strict=True)


class WebhookReceivedSchema(_Releasable):
    """One authentic webhook on its way to `take_in`: `body` is what was sent, sealed (a Fernet token).

    `key_id` is the source's key that matched; `released` the number it had on the set-aside list, if it lay there as
    invalid or under a reused id: it is deliberate then, and known by that number. `traceparent` names the span that
    received it, in the report's trace, `city_traceparent` is the city's own (W3C Trace Context).
    """

    source = fields.String(required=True, validate=validate.Length(1, 64))
    webhook_id = fields.String(required=True, validate=validate.Length(1, 256))
    received_at = fields.AwareDateTime(required=True, format="iso")
    sha256 = fields.String(required=True, validate=validate.Length(equal=64))
    body = fields.String(required=True, validate=validate.Regexp(r"[A-Za-z0-9_-]+={0,2}\Z"))
    key_id = fields.String(required=True, validate=validate.Length(max=64))
    released = fields.Integer(load_default=None, allow_none=True, strict=True)
    traceparent = fields.String(validate=validate.Length(equal=55))
    city_traceparent = fields.String(validate=validate.Length(equal=55))


class WebhookBatchSchema(_MessageSchema):
    """Several received webhooks in one message: what one group commit of the receiver carried."""

    items = fields.List(fields.Nested(WebhookReceivedSchema), required=True, validate=validate.Length(1, 1000))


class DeliveryDueSchema(_Releasable):
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
        ValidationError: not a message of ours; it belongs on the set-aside list. Its words quote nothing of it.
    """
    if not isinstance(payload, dict):
        raise ValidationError("a queue message is a JSON object")
    try:
        message: dict[str, Any] = _ENVELOPE.load(payload)
        message["data"] = SCHEMAS[message["type"]].load(message["data"])
    except ValidationError as error:
        raise ValidationError(_nameless(error.messages)) from None
    return message


def _nameless(messages: Any) -> Any:
    """Return marshmallow's messages without the names of fields we don't know: they may be anything, and are logged."""
    if not isinstance(messages, dict):
        return messages
    return {"?" if said == ["Unknown field."] else name: _nameless(said) for name, said in messages.items()}
