"""The contract of messages (AsyncAPI 3.0): between our own steps, and the callbacks a city gets."""

from typing import Any

from marshmallow import Schema

from bridge.api.described import described, reference
from bridge.broker.topology import EXCHANGE, ROUTES, route_of
from schemas.city import StatusChangedSchema
from schemas.messages import SCHEMAS, EnvelopeSchema
from schemas.office import OfficeNoticeSchema

_CITY, _OFFICE = "city", "office"
_HEADERS = {
    "type": "object",
    "required": ["webhook-id", "webhook-timestamp", "webhook-signature"],
    "properties": {
        "webhook-id": {"type": "string", "description": "The same on every attempt."},
        "webhook-timestamp": {"type": "string", "description": "Unix seconds of this attempt."},
        "webhook-signature": {
            "type": "string",
            "description": "Standard Webhooks, v1 or v1a, one per key.",
        },
        "webhook-replay": {"type": "string", "description": "Sent once more by hand, for the so many-th time."},
    },
}


def asyncapi() -> dict[str, Any]:
    """Return the contract."""
    inside = [EnvelopeSchema, *map(type, SCHEMAS.values())]
    described_ones = described([*inside, StatusChangedSchema, OfficeNoticeSchema]).to_dict()
    schemas = described_ones["components"]["schemas"]
    messages = {name: _message(name) for name in SCHEMAS}
    messages["report.status_changed"] = _webhook(StatusChangedSchema)
    messages["notice"] = _webhook(OfficeNoticeSchema)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Jembatan", "version": "1", "description": "Queues inside, callbacks to the city."},
        "defaultContentType": "application/json",
        "channels": {route.queue: _queue(route.queue) for route in ROUTES} | {_CITY: _callbacks(), _OFFICE: _notices()},
        "operations": {route.step: _emptied(route.queue, route.step) for route in ROUTES}
        | {f"tell_the_{who}": {"action": "send", "channel": {"$ref": f"#/channels/{who}"}} for who in (_CITY, _OFFICE)},
        "components": {"messages": messages, "schemas": schemas},
    }


def _webhook(schema: type[Schema]) -> dict[str, Any]:
    return {"summary": schema.__doc__, "headers": _HEADERS, "payload": reference(schema)}


def _message(name: str) -> dict[str, Any]:
    narrower = {"properties": {"type": {"const": name}, "data": reference(type(SCHEMAS[name]))}}
    return {
        "summary": " ".join((SCHEMAS[name].__doc__ or "").split()),
        "payload": {"allOf": [reference(EnvelopeSchema), narrower]},
    }


def _listed(names: list[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in names}


def _queue(queue: str) -> dict[str, Any]:
    return {
        "address": queue,
        "description": f"On the topic exchange `{EXCHANGE}`; what cannot be handled goes to `{queue}.dead`.",
        "messages": _listed([name for name in SCHEMAS if route_of(name).queue == queue]),
        "bindings": {"amqp": {"is": "queue", "queue": {"name": queue, "durable": True}}},
    }


def _callbacks() -> dict[str, Any]:
    return {
        "address": None,
        "description": "POST to a source's callback_url; how to verify and order: docs/integrate.md.",
        "messages": _listed(["report.status_changed"]),
    }


def _notices() -> dict[str, Any]:
    return {
        "address": None,
        "description": "POST to OFFICE_WEBHOOK_URL, for people with the channel `office`: docs/telling.md.",
        "messages": _listed(["notice"]),
    }


def _emptied(queue: str, step: str) -> dict[str, Any]:
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{queue}"},
        "summary": f"consumers/{step}.py empties it; a message may come twice.",
    }
