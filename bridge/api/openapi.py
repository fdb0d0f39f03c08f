"""The HTTP contract (OpenAPI 3.1): what is asked and answered on every path that programs use."""

from functools import cache
from typing import Any

from bridge.api import for_cities, for_office
from bridge.api.described import OPENAPI, described
from schemas import answers, city

_SCHEMAS = (
    city.EnvelopeSchema,
    city.SubmissionSchema,
    city.AmendmentSchema,
    city.WithdrawalSchema,
    answers.AcceptedSchema,
    answers.SetAsideSchema,
    answers.DryRunSchema,
    answers.RefusedSchema,
    answers.ReceiptSchema,
    answers.ManifestSchema,
    answers.UnknownReceiptSchema,
    answers.Open311ErrorSchema,
    answers.ReportSchema,
    answers.MovedSchema,
    answers.AcknowledgedSchema,
    for_office.DetailsSchema,
    answers.ProblemSchema,
)
_SECURITY = {
    "standardWebhooks": {
        "type": "apiKey", "in": "header", "name": "webhook-signature",
        "description": "Standard Webhooks: `v1,` + base64 of HMAC-SHA256 of `{id}.{timestamp}.{body}`, or `v1a`.",
    },
    "hmacSha256": {
        "type": "apiKey", "in": "header", "name": "X-Hub-Signature-256",
        "description": "`sha256=` and the hexadecimal HMAC-SHA256 of the body; a source may name another header.",
    },
    "basic": {"type": "http", "scheme": "basic"},
    "bearer": {"type": "http", "scheme": "bearer"},
    "apiKey": {"type": "apiKey", "in": "query", "name": "api_key", "description": "Or a field of the form."},
    "token": {"type": "http", "scheme": "bearer", "description": "Of a person: `bridge people token PERSON`."},
}  # fmt: skip
#: Each returns paths; they are in no other place.
PARTS = (for_cities.webhooks, for_cities.receipts, for_cities.open311, for_office.reports, for_office.everybody)


@cache
def openapi() -> dict[str, Any]:
    """Return the contract."""
    schemas = described(_SCHEMAS).to_dict()["components"]["schemas"]
    return {
        "openapi": OPENAPI,
        "info": {
            "title": "Jembatan",
            "version": "1",
            "description": "A city's reports in, signed; the office's own systems; the citizen's page.",
        },
        "servers": [{"url": "/"}],
        "paths": {path: operations for part in PARTS for path, operations in part().items()},
        "components": {"schemas": schemas, "securitySchemes": _SECURITY},
    }
