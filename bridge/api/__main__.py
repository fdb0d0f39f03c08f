"""`script/contracts`: write both contracts into docs/."""

import json
from pathlib import Path
from typing import Any

import yaml

from bridge.api.asyncapi import asyncapi
from bridge.api.openapi import openapi

DOCS = Path(__file__).parents[2] / "docs"


def written() -> dict[str, str]:
    """Return the text of each file, by its name."""
    return {"openapi.yaml": _yaml("openapi", openapi()), "asyncapi.yaml": _yaml("asyncapi", asyncapi())}


def _yaml(name: str, contract: dict[str, Any]) -> str:
    # Through JSON: no aliases, and our words as plain text.
    plain = json.loads(json.dumps(contract))
    text: str = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120)
    return f"# Made of bridge/api/{name}.py and the schemas by script/contracts; a test keeps it true.\n{text}"


if __name__ == "__main__":
    for name, text in written().items():
        (DOCS / name).write_text(text, encoding="utf-8")
