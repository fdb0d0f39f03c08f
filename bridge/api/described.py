"""From marshmallow schemas to the JSON Schemas of our contracts: what apispec cannot know of our own validators."""

from collections.abc import Iterable
from typing import Any, cast

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import Schema, fields, validate

from schemas.city import Characters

OPENAPI = "3.1.0"


def described(schemas: Iterable[type[Schema]]) -> APISpec:
    """Return a document whose components are these schemas and those within them, by their names without `Schema`."""
    plugin = MarshmallowPlugin()
    document = APISpec(title="", version="1", openapi_version=OPENAPI, plugins=[plugin])
    converter = cast(OpenAPIConverter, plugin.converter)  # there since the document has the plugin
    converter.add_attribute_function(_our_validators)  # type: ignore[no-untyped-call]
    for schema in schemas:
        if (name := _name(schema)) not in document.components.schemas:
            document.components.schema(name, schema=schema)
    for key, name in converter.refs.items():
        document.components.schemas[name]["description"] = " ".join((key[0].__doc__ or "").split())
    return document


def _our_validators(_: OpenAPIConverter, field: fields.Field[Any], ret: dict[str, Any]) -> dict[str, Any]:
    for name in ("x-minimum", "x-maximum"):  # of times, which JSON Schema cannot compare
        ret.pop(name, None)
    found: dict[str, Any] = {}
    for validator in field.validators:
        if isinstance(validator, Characters):
            found["maxLength"] = validator.most
            found |= {"minLength": validator.least} if validator.least else {}
        if isinstance(validator, validate.Regexp):
            # Marshmallow matches from the beginning, and \Z is Python's own word for the end.
            found["pattern"] = "^" + str(validator.regex.pattern).removesuffix(r"\Z") + "$"
    return found


def reference(schema: type[Schema]) -> dict[str, str]:
    """Return a link to a described schema."""
    return {"$ref": f"#/components/schemas/{_name(schema)}"}


def _name(schema: type[Schema]) -> str:
    return schema.__name__.removesuffix("Schema")
