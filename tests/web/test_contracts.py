"""What docs/openapi.yaml and docs/asyncapi.yaml promise is what is served: the files, the page, every path, ETags."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from werkzeug.test import TestResponse

from bridge.api.__main__ import DOCS, written
from bridge.api.asyncapi import asyncapi
from bridge.api.openapi import openapi
from bridge.reports.states import Status
from consumers.steps import STEPS
from tests.web.office import Office
from tests.web.processes import event, report


@pytest.mark.parametrize("name", ["openapi.yaml", "asyncapi.yaml"])
def test_file_is_what_the_schemas_make_of_it(name: str) -> None:
    assert (DOCS / name).read_text() == written()[name], "run script/contracts"


@pytest.mark.parametrize("contract", [openapi(), asyncapi()], ids=["openapi", "asyncapi"])
def test_every_link_within_a_contract_leads_somewhere_and_every_schema_is_one(contract: dict[str, Any]) -> None:
    for place in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(contract)):
        found = contract
        for name in place.split("/"):
            found = found[name]
    for name, schema in contract["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert schema["description"], name


def test_contract_is_served_and_shown_without_log_in_and_without_anything_from_elsewhere(office: Office) -> None:
    visitor = office.visitor()
    assert visitor.get("/api/v1/openapi.json").get_json() == json.loads(json.dumps(openapi()))
    page = visitor.get("/api/docs")
    assert page.status_code == 200
    for path in openapi()["paths"]:
        assert path in page.text
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page.text)
    assert not re.findall(r"<script|<style| style=| on[a-z]+=", page.text)
    anchors = set(re.findall(r'href="#([^"]+)"', page.text))
    assert anchors <= set(re.findall(r' id="([^"]+)"', page.text))


def test_every_route_programs_use_is_in_the_contract_and_no_other(office: Office) -> None:
    programs = ("/api/", "/track/<", "/healthz", "/readyz", "/metrics", "/open311/", "/webhooks/")
    routes = {
        (method.lower(), re.sub(r"<(?:[^<>]*:)?(\w+)>", r"{\1}", rule.rule))
        for rule in office.app.url_map.iter_rules()
        if rule.rule.startswith(programs) and rule.endpoint != "open311.nothing"
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    promised = {(method, path) for path, operations in openapi()["paths"].items() for method in operations}
    # The ways in stand before the routes.
    assert promised - {("post", "/webhooks/{source}"), ("post", "/open311/v2/requests.{fmt}")} == routes


# --- messages -------------------------------------------------------------------------------------------------------


def test_every_step_with_a_queue_is_in_the_contract_of_messages() -> None:
    assert set(asyncapi()["operations"]) - {"tell_the_city", "tell_the_office"} <= set(STEPS)


def resolved(contract: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    """Return what checks a value against a schema of a contract."""
    return Draft202012Validator({**schema, "components": contract["components"]})


def test_message_as_it_is_queued_is_as_the_contract_says(office: Office) -> None:
    contract = asyncapi()
    body = report()
    message = office.service.arrivals.sealed("qlue", "msg_1", "key", datetime.now(UTC), "a" * 64, body)
    sent = json.loads(message.body())
    payload = contract["components"]["messages"][sent["type"]]["payload"]
    resolved(contract, payload).validate(sent)
    assert not resolved(contract, payload).is_valid(sent | {"type": "notice.due"})


@pytest.mark.parametrize(
    ("body", "fits"),
    [
        (report(), True),
        (report(reporter={"domicile": "31.74"}, attachments=[{"url": "https://a.example/1.jpg"}]), True),
        (report(reporter=None, amount_idr=5), True),
        (event(type="report.withdrawn", data={"id": "1"}), True),
        (event(type="report.amended", data={"id": "1", "title": "b"}), True),
        (report(title=None), False),
        (report(title=""), False),
        (report(reporter={"domicile": "3171"}), False),
        (report(reporter={"domicile": "31.74x"}), False),
        (report(language="klingon"), False),
        (report(title="a" * 301), False),
        (event(type="report.exploded", data={"id": "1"}), False),
    ],
)
def test_contract_and_way_in_agree_about_reports(body: bytes, fits: bool) -> None:
    contract = openapi()
    schema = contract["paths"]["/webhooks/{source}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert resolved(contract, schema).is_valid(json.loads(body)) == fits


# --- ETag and If-Match ----------------------------------------------------------------------------------------------


@pytest.fixture
def ticket(office: Office) -> str:
    """A report nobody has looked at."""
    return office.new_report()


def call(office: Office, method: str, path: str, **headers: str) -> TestResponse:
    """Call the API as an officer."""
    return office.visitor().client.open(
        f"/api/v1{path}", method=method, headers=office.token("ani") | headers, json=None
    )


def test_etag_changes_with_the_report_and_with_its_clocks_and_else_not(office: Office, ticket: str) -> None:
    tags = [call(office, "GET", f"/reports/{ticket}").headers["ETag"] for _ in range(2)]
    office.let_pass(ticket, steps=3)
    tags.append(call(office, "GET", f"/reports/{ticket}").headers["ETag"])
    call(office, "POST", f"/reports/{ticket}/acknowledge")
    tags.append(call(office, "GET", f"/reports/{ticket}").headers["ETag"])
    assert tags[0] == tags[1]
    assert len(set(tags)) == 3


def test_report_that_is_known_already_is_not_sent_again(office: Office, ticket: str) -> None:
    tag = call(office, "GET", f"/reports/{ticket}").headers["ETag"]
    again = call(office, "GET", f"/reports/{ticket}", **{"If-None-Match": tag})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize("path", ["acknowledge", "moves/acknowledge"])
def test_change_of_what_has_changed_since_is_refused_and_changes_nothing(
    office: Office, ticket: str, path: str
) -> None:
    old = call(office, "GET", f"/reports/{ticket}").headers["ETag"]
    office.let_pass(ticket, steps=3)
    refused = call(office, "POST", f"/reports/{ticket}/{path}", **{"If-Match": old})
    assert (refused.status_code, refused.mimetype) == (412, "application/problem+json")
    assert office.report(ticket).status is Status.RECEIVED
    new = call(office, "GET", f"/reports/{ticket}").headers["ETag"]
    assert call(office, "POST", f"/reports/{ticket}/{path}", **{"If-Match": f'"other", {new}'}).status_code == 200
    assert office.report(ticket).status is Status.ACKNOWLEDGED


@pytest.mark.parametrize("header", ["*", ""])
def test_change_without_naming_a_state_is_made(office: Office, ticket: str, header: str) -> None:
    assert call(office, "POST", f"/reports/{ticket}/acknowledge", **{"If-Match": header}).status_code == 200
