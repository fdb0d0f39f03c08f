"""Schemathesis over our own contract, against the running application: whatever is asked, the contract holds."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
import schemathesis
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from bridge.api.openapi import openapi
from bridge.cli import cli
from bridge.signing import sign
from tests.servers import eventually, new_folder
from tests.web.doors import SmallDoor, open_small
from tests.web.processes import KEY, ROOT, new_id, post, report

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
OPERATIONS = [found.ok() for found in schemathesis.openapi.from_dict(openapi()).get_all_operations()]
EXAMPLES = settings(max_examples=8, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@dataclass
class Town:
    """The application with an officer's token and a report in it."""

    door: SmallDoor
    token: str
    ticket: str
    webhook_id: str
    session: requests.Session = field(default_factory=requests.Session)

    def call(self, case: Case, auth: Callable[[requests.PreparedRequest], requests.PreparedRequest] | None) -> Any:
        """Make a call, over a connection that stays open."""
        return case.call(base_url=self.door.bridge.url, session=self.session, auth=auth or _nobody)

    def known(self, case: Case) -> None:
        """Let a call speak of what is there."""
        case.path_parameters |= {
            name: value
            for name, value in {
                "source": "qlue", "ticket": self.ticket, "text": self.ticket, "webhook_id": self.webhook_id,
                "code": "PEMBIAYAAN", "token": self.ticket,
            }.items()
            if name in (case.path_parameters or {})
        }  # fmt: skip
        if case.operation.path.endswith("/receipts"):
            # Two instants drawn by chance are never within the 31 days one may ask for.
            case.query |= {"since": "2026-11-20T00:00:00Z", "until": "2026-12-20T00:00:00Z"}
            case.query.pop("after", None)


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    """A town whose report has arrived."""
    door = open_small(new_folder("schemathesis"))
    environment = door.bridge.environment()

    def typed(*words: str) -> str:
        done = CliRunner().invoke(cli, words, env=environment)
        assert done.exit_code == 0, done.output
        return done.stdout

    typed(
        "people",
        "add",
        "ani",
        "--name",
        "Ani",
        "--role",
        "officer",
        "--office",
        "bpsk-dki",
        "--email",
        "ani@bpsk.example",
    )
    token = typed("people", "token", "ani").split()[-1]
    webhook_id = new_id()
    body = report()
    ticket = post(door.port, body, _signed(body, webhook_id)).json()["ticket"]
    made = Town(door, token, ticket, webhook_id)
    eventually(lambda: requests.get(f"{door.bridge.url}/track/{ticket}", timeout=20).status_code == 200, 20)
    yield made
    made.session.close()
    door.bridge.close()


def _signed(body: bytes, webhook_id: str) -> dict[str, str]:
    at = int(time.time())
    return {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(at),
        "webhook-signature": sign(KEY, webhook_id, at, body),
    }


def _nobody(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _city(request: requests.PreparedRequest) -> requests.PreparedRequest:
    body = request.body or b""
    raw = body.encode() if isinstance(body, str) else body
    signed = _signed(raw, new_id())
    if request.method != "POST":
        del signed["content-type"]
    request.headers.update(signed)
    return request


def named(operation: APIOperation) -> str:
    """Return how an operation is called in the list of tests."""
    return f"{operation.method} {operation.path}"


#: A path of free text, or none, cannot be asked for in a wrong way.
ASKED = [(one, GenerationMode.POSITIVE) for one in OPERATIONS]
ASKED += [(one, GenerationMode.NEGATIVE) for one in OPERATIONS if one.body or one.query or "{fmt}" in one.path]


@pytest.mark.parametrize(("operation", "mode"), ASKED, ids=[f"{named(one)} {mode.value}" for one, mode in ASKED])
def test_stranger_is_answered_as_the_contract_says(town: Town, operation: APIOperation, mode: GenerationMode) -> None:
    @EXAMPLES
    @given(case=operation.as_strategy(generation_mode=mode))
    def asked(case: Case) -> None:
        case.validate_response(town.call(case, None), checks=CHECKS)

    asked()


@pytest.mark.parametrize(
    "operation", [one for one in OPERATIONS if one.path.startswith(("/webhooks/", "/api/v1/reports"))], ids=named
)
def test_who_has_a_key_is_answered_as_the_contract_says(town: Town, operation: APIOperation) -> None:
    def office(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {town.token}"
        return request

    auth = office if operation.path.startswith("/api/") else _city
    statuses = set()

    @EXAMPLES
    @given(case=operation.as_strategy())
    def asked(case: Case) -> None:
        town.known(case)
        answer = town.call(case, auth)
        statuses.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    asked()
    assert not statuses & {401, 403}
    assert statuses & {200, 202, 409, 412}, "it got in"


def test_contract_names_every_answer_the_way_in_gives() -> None:
    text = (ROOT / "bridge" / "receiver" / "webhooks.py").read_text()
    given_ones = set(re.findall(r"Refused\((\d{3}),", text)) | {"200", "202"}
    assert given_ones <= set(openapi()["paths"]["/webhooks/{source}"]["post"]["responses"])
