"""The contract of messages (AsyncAPI 3.0): between our own steps, and the callbacks a city gets."""

from typing import Any

from bridge.api.described import described, reference
from bridge.broker.topology import EXCHANGE, ROUTES, route_of
from schemas.city import StatusChangedSchema
from schemas.messages import SCHEMAS, EnvelopeSchema

_CITY = "city"
_HEADERS = {
    "type": "object",
    "required": ["webhook-id", "webhook-timestamp", "webhook-signature"],
    "properties": {
        "webhook-id": {"type": "string", "description": "The same on every attempt."},
        "webhook-timestamp": {"type": "string", "description": "Unix seconds of this attempt."},
        "webhook-signature": {"type": "string", "description": "Standard Webhooks, v1."},
    },
}


def asyncapi() -> dict[str, Any]:
    """Return the contract."""
    schemas = described([EnvelopeSchema, *map(type, SCHEMAS.values()), StatusChangedSchema]).to_dict()["components"][
        "schemas"
    ]
    messages = {name: _message(name) for name in SCHEMAS}
    messages["report.status_changed"] = {
        "summary": StatusChangedSchema.__doc__,
        "headers": _HEADERS,
        "payload": reference(StatusChangedSchema),
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Jembatan", "version": "1", "description": "Queues inside, callbacks to the city."},
        "defaultContentType": "application/json",
        "channels": {route.queue: _queue(route.queue) for route in ROUTES} | {_CITY: _callbacks()},
        "operations": {route.step: _emptied(route.queue, route.step) for route in ROUTES}
        | {"tell_the_city": {"action": "send", "channel": {"$ref": f"#/channels/{_CITY}"}}},
        "components": {"messages": messages, "schemas": schemas},
    }


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


def _emptied(queue: str, step: str) -> dict[str, Any]:
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{queue}"},
        "summary": f"consumers/{step}.py empties it; a message may come twice.",
    }
