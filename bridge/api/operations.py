"""The words operations are described with: parameters, answers, problems."""

from collections.abc import Mapping
from typing import Any

from bridge.api.described import reference
from schemas.answers import ProblemSchema

Paths = dict[str, dict[str, Any]]

RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
ETAG = {"ETag": {"description": "Names this state, for If-Match.", "schema": {"type": "string"}}}


def json_(description: str, *schemas: Any, media_type: str = "application/json", **more: Any) -> dict[str, Any]:
    """Return an answer of JSON that is one of these schemas."""
    links = [reference(schema) if isinstance(schema, type) else schema for schema in schemas]
    return {"description": description, "content": {media_type: {"schema": _any_of(links)}}, **more}


def _any_of(links: list[Any]) -> Any:
    return links[0] if len(links) == 1 else {"oneOf": links}


def text(description: str, media_type: str = "text/plain", **more: Any) -> dict[str, Any]:
    """Return an answer of text."""
    return {"description": description, "content": {media_type: {"schema": {"type": "string"}}}, **more}


def problems(**descriptions: str) -> dict[str, Any]:
    """Return answers by `_<status>`: each a problem (RFC 9457)."""
    return {
        name.removeprefix("_"): json_(text, ProblemSchema, media_type="application/problem+json")
        | ({"headers": RETRY_AFTER} if name == "_503" else {})
        for name, text in descriptions.items()
    }


def parameter(name: str, place: str, description: str, schema: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return a parameter; those within the path are always needed."""
    return {
        "name": name,
        "in": place,
        "description": description,
        "schema": dict(schema),
        "required": place == "path",
        **more,
    }


TEXT = {"type": "string"}


def call(summary: str, name: str, responses: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return an operation of the office's own systems."""
    return {
        "operationId": name,
        "tags": ["office"],
        "summary": summary,
        "security": [{"token": []}],
        "responses": dict(sorted(responses.items())),
        **more,
    }


def public(tag: str, summary: str, name: str, responses: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return what anybody may read."""
    return {"get": call(summary, name, responses, **more) | {"tags": [tag], "security": []}}
