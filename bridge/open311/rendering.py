"""Answers in both formats from one structure: XML as in the specification's examples, JSON by the Spark convention."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from werkzeug.wrappers import Response

FORMATS = {"xml": "text/xml; charset=utf-8", "json": "application/json; charset=utf-8"}

#: The element each item of a list is written in.
_ITEMS = {
    "attributes": "attribute",
    "endpoints": "endpoint",
    "errors": "error",
    "formats": "format",
    "service_request_updates": "request_update",
    "service_requests": "request",
    "services": "service",
    "values": "value",
}
# What XML 1.0 cannot hold in any spelling (section 2.2).
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Refused(Exception):
    """Not answered; the specification's errors, one for each description."""

    def __init__(self, status: int, *descriptions: str, outcome: str = "invalid", **headers: str) -> None:
        self.status, self.descriptions, self.outcome, self.headers = status, descriptions, outcome, headers
        super().__init__("; ".join(descriptions))


def answer(
    format_: str, root: str, content: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an answer; `root` is the name of the outermost element, which JSON leaves out."""
    body = _xml(root, content) if format_ == "xml" else json.dumps(content).encode() + b"\n"
    common = {"X-Content-Type-Options": "nosniff", **(headers or {})}
    return Response(body, status, common, content_type=FORMATS[format_])


def refusal(format_: str, refused: Refused) -> Response:
    """Return the errors of a refusal."""
    errors = [{"code": refused.status, "description": text} for text in refused.descriptions]
    return answer(format_, "errors", errors, refused.status, refused.headers)


def format_of(path: str) -> str:
    """Return the format a path asks for; errors of any other are written in XML, the one format all clients know."""
    return "json" if path.endswith(".json") else "xml"


def _xml(root: str, content: Any) -> bytes:
    text: bytes = ElementTree.tostring(_element(root, content), encoding="utf-8", xml_declaration=False)
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + text + b"\n"


def _element(name: str, content: Any) -> ElementTree.Element:
    element = ElementTree.Element(name)
    if isinstance(content, Mapping):
        element.extend(_element(key, value) for key, value in content.items())
    elif isinstance(content, Sequence) and not isinstance(content, str):
        element.extend(_element(_ITEMS[name], item) for item in content)
    elif content is not None:
        element.text = str(content).lower() if isinstance(content, bool) else _NOT_XML.sub("", str(content))
    return element
