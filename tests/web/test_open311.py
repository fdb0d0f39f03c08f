"""All calls of Open311 in both formats, as the parts serve them: what is given, what is refused, what stays private."""

import io
import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from defusedxml import ElementTree
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse, create_environ, run_wsgi_app

from bridge.app import create_app
from bridge.broker.embedded import QueueStore
from bridge.broker.topology import route_of
from bridge.contacts import opened
from bridge.forgetting import forget
from bridge.open311.dates import written
from bridge.open311.services import SERVICES
from bridge.open311.whole import updates_of
from bridge.reports.moves import Actor, Details
from bridge.reports.states import Move, Outcome
from bridge.service import Service
from bridge.storage import reports as stored
from bridge.storage.tables import reports, webhooks
from consumers.take_in import TakeIn
from schemas.messages import load_message
from tests.web.office import CANARIES, Office
from tests.web.processes import ROOT, new_id

KEY = "an-api-key-only-for-these-tests-1"
OTHER_KEY = "an-api-key-only-for-these-tests-2"
LEAST = {"api_key": KEY, "service_code": "PEMBIAYAAN", "lat": "-6.2634567", "long": "106.8123456"}
FORMATS = ("xml", "json")
WHOLE = LEAST | {
    "first_name": CANARIES["name"].split()[0],
    "last_name": CANARIES["name"].split()[1],
    "phone": CANARIES["phone"],
    "email": CANARIES["email"],
    "description": CANARIES["description"],
    "address_string": "Jalan Kenari Raya 7",
    "media_url": "https://foto.example/kenari.jpg",
    "attribute[business_name]": CANARIES["business"],
}


class Door:
    """Open311 at an office: what a client posts is taken in at once."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.office = Office(folder, OPEN311_API_KEY=f"{KEY} {OTHER_KEY}", **variables)
        self.visitor = self.office.visitor()
        self._take_in = TakeIn(self.office.service.database, self.office.service.rules, self.office.service.arrivals)

    def get(self, path: str, **query: str) -> TestResponse:
        return self.visitor.get(f"/open311/v2/{path}", query_string=query)

    def post(self, path: str = "requests.json", data: Any = None, **options: Any) -> TestResponse:
        return self.visitor.bare_post(f"/open311/v2/{path}", data=LEAST if data is None else data, **options)

    def taken_in(self, **fields: str) -> str:
        """Post a request, let step 1 do its work, and return the service_request_id."""
        ticket = str(self.post(data=WHOLE | fields).json[0]["service_request_id"])
        self.work()
        return ticket

    def work(self) -> None:
        queue = route_of("webhook.received").queue
        store = QueueStore(self.folder / "queue.sqlite3")
        rows = store.peek(queue, 100)
        self._take_in.handle([load_message(json.loads(json.loads(payload)["body"])) for _, payload in rows])
        store.remove([row_id for row_id, _ in rows])
        store.close()

    def one(self, ticket: str) -> dict[str, Any]:
        return dict(self.get(f"requests/{ticket}.json").json[0])

    def updates(self, ticket: str) -> list[dict[str, Any]]:
        return [u for u in self.get("servicerequestupdates.json").json if u["service_request_id"] == ticket]

    def update(self, ticket: str, **fields: str) -> TestResponse:
        usual = {"api_key": KEY, "service_request_id": ticket, "update_id": new_id("u"), "status": "OPEN"}
        usual |= {"updated_datetime": written(datetime.now(UTC)), "description": "Ada kwitansi baru."}
        return self.post("servicerequestupdates.json", usual | fields)

    def move(self, ticket: str, move: Move, **details: Any) -> None:
        self.office.service.casework.move(move, ticket, Actor("person:ani"), Details(**details))


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """One office for all tests of this file."""
    made = Door(tmp_path_factory.mktemp("open311"))
    yield made
    made.office.close()


def texts(answer: TestResponse, path: str) -> list[str | None]:
    """Return the texts at a path of an XML answer."""
    return [found.text for found in ElementTree.fromstring(answer.data).findall(path)]


# -- discovery and services --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["discovery", "services", "services/AIR", "requests", "servicerequestupdates"])
@pytest.mark.parametrize("form", FORMATS)
def test_every_call_answers_in_both_formats_to_everybody(door: Door, path: str, form: str) -> None:
    answer = door.get(f"{path}.{form}")
    media = {"xml": "text/xml; charset=utf-8", "json": "application/json; charset=utf-8"}
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, media[form])
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    if form == "xml":
        assert answer.data.startswith(b'<?xml version="1.0" encoding="utf-8"?>')
        ElementTree.fromstring(answer.data)
    else:
        json.loads(answer.data)


def test_head_is_a_get_without_its_body(door: Door) -> None:
    answer = door.visitor.client.head("/open311/v2/services.xml")
    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.headers["Content-Type"] == "text/xml; charset=utf-8"


@pytest.mark.parametrize(
    ("path", "posted"), [("services.json", ""), ("requests/x.xml", ""), ("requests.xml", ", POST")]
)
def test_options_tell_any_page_what_it_may(door: Door, path: str, posted: str) -> None:
    answer = door.visitor.client.options(f"/open311/v2/{path}")
    assert (answer.status_code, answer.headers["Allow"]) == (200, f"GET, HEAD, OPTIONS{posted}")
    told = [answer.headers[f"Access-Control-Allow-{name}"] for name in ("Origin", "Methods", "Headers")]
    assert told == ["*", "GET, HEAD", "*"]


def test_discovery_names_the_endpoint_and_both_formats(door: Door) -> None:
    [endpoint] = door.get("discovery.json").json["endpoints"]
    assert endpoint["url"] == f"{door.office.service.settings.public_url}/open311/v2"
    assert endpoint["specification"] == "http://wiki.open311.org/GeoReport_v2"
    assert texts(door.get("discovery.xml"), "endpoints/endpoint/formats/format") == ["text/xml", "application/json"]
    assert door.visitor.get("/open311/discovery.json").json == door.get("discovery.json").json


def test_each_service_has_its_definition(door: Door) -> None:
    for service in door.get("services.json").json:
        definition = door.get(f"services/{service['service_code']}.json").json
        assert definition["service_code"] == service["service_code"]
        assert not any(attribute["required"] for attribute in definition["attributes"])
    assert texts(door.get("services.xml"), "service/service_code") == list(SERVICES)


@pytest.mark.parametrize(
    "path",
    ["services/LUBANG", "requests/K7Q2-9XWM-4T8R", "requests/x", "tokens/x", "requests/../x", "potholes", "", "a/b/c"],
)
@pytest.mark.parametrize("form", FORMATS)
def test_what_there_is_not_is_404_in_the_format_asked_for(door: Door, path: str, form: str) -> None:
    answer = door.get(f"{path}.{form}")
    assert answer.status_code == 404
    code = answer.json[0]["code"] if form == "json" else texts(answer, "error/code")[0]
    assert str(code) == "404"


@pytest.mark.parametrize("path", ["services.yaml", "requests", "requests.JSON", "services.xml/"])
def test_other_formats_are_404(door: Door, path: str) -> None:
    assert door.get(path).status_code == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_other_methods_are_refused_as_the_specification_writes_errors(door: Door, method: str) -> None:
    answer = door.visitor.client.open("/open311/v2/requests.json", method=method)
    assert answer.status_code == 404
    assert answer.json[0]["code"] == 404


# -- POST requests -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_request_is_answered_with_our_ticket_and_what_happens_next(door: Door, form: str) -> None:
    answer = door.post(f"requests.{form}", LEAST | {"account_id": "konto-7", "jurisdiction_id": "jakarta.go.id"})
    assert answer.status_code == 200
    if form == "xml":
        [ticket], [notice], [account] = (
            texts(answer, f"request/{name}") for name in ("service_request_id", "service_notice", "account_id")
        )
    else:
        [told] = answer.json
        ticket, notice, account = told["service_request_id"], told["service_notice"], told["account_id"]
    assert ticket and f"/track/{ticket}" in notice
    assert account == "konto-7"
    door.work()
    assert door.one(ticket)["status"] == "open"


@pytest.mark.parametrize("key", ["", "wrong", KEY[:-1], "kunci café", None])
@pytest.mark.parametrize("form", FORMATS)
def test_without_a_key_of_ours_it_is_403(door: Door, key: str | None, form: str) -> None:
    fields = {name: value for name, value in (LEAST | {"api_key": key}).items() if value is not None}
    answer = door.post(f"requests.{form}", fields)
    assert answer.status_code == 403
    assert str(answer.json[0]["code"] if form == "json" else texts(answer, "error/code")[0]) == "403"


def test_second_key_is_good_while_keys_rotate(door: Door) -> None:
    assert door.post(data=LEAST | {"api_key": OTHER_KEY}).status_code == 200


@pytest.mark.parametrize("variables", [{}, {"OPEN311_API_KEY": "too short"}])
def test_source_without_a_usable_key_refuses_everybody_and_is_reported(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    service = Service.from_environment({"BRIDGE_DATA_DIR": str(tmp_path), **variables})
    client = create_app(service, ("receiver",)).test_client()
    tried = [client.post("/open311/v2/requests.json", data=LEAST | {"api_key": key}) for key in ("", "too short", KEY)]
    assert [answer.status_code for answer in tried] == [403] * 3
    assert any("open311" in note for note in service.configuration.notes)
    service.close()


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"service_code": ""}, 400, "service_code: missing"),
        ({"service_code": "LUBANG"}, 404, "service_code: 'LUBANG' was not found"),
        ({"lat": "", "long": ""}, 400, "one of them is required"),
        ({"lat": "x"}, 400, "lat: not a number"),
        ({"lat": " -6.2"}, 400, "lat: not a number"),
        ({"email": "x" * 300}, 400, "email: must have"),
        ({"media_url": "foto.jpg"}, 400, "media_url"),
    ],
)
def test_request_that_is_none_is_refused_with_each_reason(
    door: Door, fields: dict[str, str], status: int, said: str
) -> None:
    answer = door.post(data=LEAST | fields)
    assert answer.status_code == status
    assert any(said in error["description"] for error in answer.json)
    assert {error["code"] for error in answer.json} == {status}


def test_senders_own_number_sent_twice_is_one_report_with_one_answer(door: Door) -> None:
    fields = WHOLE | {"attribute[fixmystreet_id]": new_id("fms")}
    first, second = door.post(data=fields), door.post(data=fields)
    door.work()
    changed = door.post(data=fields | {"attribute[witnesses]": "Budi"})
    door.work()
    assert first.json == second.json == changed.json
    ticket = first.json[0]["service_request_id"]
    assert "Saksi: Budi" in door.office.report(ticket).description
    assert [line["event"] for line in _history(door, ticket)].count("amended") == 1


def _history(door: Door, ticket: str) -> list[dict[str, Any]]:
    with door.office.service.database.read() as connection:
        return stored.history_of(connection, door.office.report(ticket).report_id)


def test_what_was_posted_reaches_the_officer(door: Door) -> None:
    report = door.office.report(door.taken_in())
    assert (report.source, report.category) == ("open311", "PEMBIAYAAN")
    assert opened(door.office.service.arrivals.vault, report.reporter)["name"] == CANARIES["name"]
    assert report.business["name"] == CANARIES["business"]
    assert report.description.startswith(CANARIES["description"])


def test_fields_may_come_in_the_address_and_forms_in_parts(door: Door) -> None:
    in_the_address = door.post("requests.json", {}, query_string=LEAST)
    photo = (io.BytesIO(b"\xff\xd8\xff"), "kwitansi.jpg")
    in_parts = door.post(data=LEAST | {"media": photo}, content_type="multipart/form-data")
    assert (in_the_address.status_code, in_parts.status_code) == (200, 200)
    door.work()
    ticket = in_parts.json[0]["service_request_id"]
    assert "Berkas tidak disimpan: kwitansi.jpg" in door.office.report(ticket).description


def test_empty_field_hides_none_that_is_given_elsewhere(door: Door) -> None:
    hidden = LEAST | {"service_code": "", "api_key": ""}
    rest = {"service_code": "AIR", "api_key": KEY}
    twice = LEAST | {"api_key": ["", KEY], "service_code": [" ", "AIR"]}
    for answer in (door.post(data=hidden, query_string=rest), door.post(data=twice)):
        assert answer.status_code == 200, answer.text
        door.work()
        assert door.one(answer.json[0]["service_request_id"])["service_code"] == "AIR"
    both = door.visitor.get(f"/open311/v2/servicerequestupdates.json?api_key=&api_key={KEY}")
    wrong = door.visitor.get("/open311/v2/servicerequestupdates.json?api_key=&api_key=wrong")
    assert (both.status_code, wrong.status_code) == (200, 403)


def test_too_large_a_body_and_one_in_chunks_are_refused(door: Door) -> None:
    assert door.post(data=LEAST | {"x": "y" * 300_000}).status_code == 413
    environ = create_environ("/open311/v2/requests.json", method="POST", data=LEAST)
    content, status, _ = run_wsgi_app(door.office.app, environ | {"HTTP_TRANSFER_ENCODING": "chunked"})
    assert status.startswith("411")
    assert json.loads(b"".join(content))[0]["code"] == 411


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (json.dumps(LEAST).encode(), "application/json"),
        (f"api_key={KEY}&description=".encode() + b"\xe9", "application/x-www-form-urlencoded"),
    ],
)
def test_body_that_is_no_form_is_said_to_be_none(door: Door, body: bytes, media: str) -> None:
    answer = door.post(data=body, content_type=media)
    assert answer.status_code == 400
    assert "Send a form in UTF-8" in answer.json[0]["description"]


def test_queue_that_takes_nothing_is_503_and_asked_to_come_again(tmp_path: Path) -> None:
    service = Service.from_environment({"BRIDGE_DATA_DIR": str(tmp_path), "OPEN311_API_KEY": KEY})
    client = create_app(service, ("receiver",)).test_client()
    assert client.post("/open311/v2/requests.json", data=LEAST).status_code == 200
    service.publisher.close()
    answer = client.post("/open311/v2/requests.xml", data=LEAST)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert texts(answer, "error/code") == ["503"]


names = st.sampled_from(
    [*LEAST, "description", "email", "media_url", "attribute[amount_idr]", "attribute[fixmystreet_id]", "api_key[]", ""]
)
anything = st.text(max_size=60) | st.sampled_from(["AIR", "-6.2", "1e999", "31.74", "\x00", "https://a.example/b"])


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=st.dictionaries(names, anything, max_size=8), form=st.sampled_from(FORMATS), keyed=st.booleans())
def test_no_form_whatever_is_a_fault_of_ours(door: Door, fields: dict[str, str], form: str, keyed: bool) -> None:
    answer = door.post(f"requests.{form}", fields | ({"api_key": KEY} if keyed else {}))
    assert answer.status_code in ({200, 400, 404} if keyed else {403})


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=200),
    media=st.sampled_from(
        [
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "multipart/form-data; boundary=x",
            "text/plain",
            "",
        ]
    ),
)
def test_no_bytes_whatever_are_a_fault_of_ours(door: Door, body: bytes, media: str) -> None:
    assert door.post(data=body, content_type=media).status_code in {400, 403, 413}


# -- reading -----------------------------------------------------------------------------------------------------


def test_request_is_shown_as_the_specification_names_its_fields(door: Door) -> None:
    ticket = door.taken_in()
    shown = door.one(ticket)
    assert (
        list(shown)
        == (
            "service_request_id status status_notes service_name service_code description agency_responsible service_notice "
            "requested_datetime updated_datetime address address_id zipcode lat long"
        ).split()
    )
    assert [shown["lat"], shown["long"]] == [-6.2, 106.82]
    assert [child.tag for child in ElementTree.fromstring(door.get(f"requests/{ticket}.xml").data)[0]] == list(shown)


def test_public_reads_nothing_of_the_citizen(door: Door) -> None:
    ticket = door.taken_in()
    door.move(ticket, Move.ACKNOWLEDGE)
    door.move(ticket, Move.ASK_COMPLETION, missing=(f"KTP milik {CANARIES['name']}",))
    paths = (f"requests/{ticket}", "requests", f"tokens/{ticket}", "servicerequestupdates")
    seen = " ".join(door.get(f"{path}.{form}").text for path in paths for form in FORMATS)
    assert ticket in seen
    for canary in (*CANARIES.values(), "Kenari", "6.26", "foto.example"):
        assert canary not in seen


def test_list_holds_reports_that_came_by_open311_and_ids_find_any(door: Door) -> None:
    by_webhook, by_open311 = door.office.new_report(), door.taken_in()
    listed = {request["service_request_id"] for request in door.get("requests.json").json}
    assert by_open311 in listed
    assert by_webhook not in listed
    asked = door.get("requests.json", service_request_id=f"{by_webhook},{by_open311.lower()},unknown", status="closed")
    assert [request["service_request_id"] for request in asked.json] == [by_webhook, by_open311]


def test_list_can_be_narrowed_to_services_states_and_dates(door: Door) -> None:
    water, closed = door.taken_in(service_code="AIR"), door.taken_in(service_code="KESEHATAN")
    door.move(closed, Move.ACKNOWLEDGE)
    door.move(closed, Move.CLOSE, outcome=Outcome.SETTLED)

    def ids(**query: str) -> set[str]:
        return {request["service_request_id"] for request in door.get("requests.json", **query).json}

    assert ids(service_code="AIR,PEMBIAYAAN", status="open") & {water, closed} == {water}
    assert ids(status="CLOSED") & {water, closed} == {closed}
    assert ids(status="open,closed", service_code="") >= {water, closed}
    assert ids(service_code="LAINNYA") & {water, closed} == set()
    assert ids(service_code="TIDAK_ADA") == set()
    now = datetime.now(UTC)
    assert ids(start_date=written(now - timedelta(minutes=10)), end_date=written(now + timedelta(minutes=1))) >= {water}
    assert ids(end_date=written(now - timedelta(days=1))) & {water, closed} == set()


@pytest.mark.parametrize(
    "query",
    [
        {"start_date": "01/01/2026"},
        {"status": "fixed"},
        {"start_date": "2026-01-01T00:00:00Z", "end_date": "2026-05-01T00:00:00Z"},
    ],
)
@pytest.mark.parametrize("form", FORMATS)
def test_query_outside_the_limits_is_400(door: Door, query: dict[str, str], form: str) -> None:
    answer = door.get(f"requests.{form}", **query)
    assert answer.status_code == 400


def test_list_has_the_newest_thousand_and_no_more(tmp_path: Path) -> None:
    crowded = Door(tmp_path)
    first = crowded.taken_in()
    database = crowded.office.service.database
    with database.write() as connection:
        row = dict(connection.execute(reports.select().where(reports.c.ticket == first)).mappings().one())
        later = [
            row | {"report_id": str(uuid4()), "ticket": f"T{n:013}", "external_id": f"x-{n}"}
            | {"received_at": row["received_at"] + timedelta(milliseconds=n)}
            for n in range(1, 1001)
        ]  # fmt: skip
        connection.execute(reports.insert(), later)
    until = {"end_date": written(datetime.now(UTC) + timedelta(minutes=5))}
    listed = [told["service_request_id"] for told in crowded.get("requests.json", **until).json]
    assert listed == [row["ticket"] for row in reversed(later)]
    assert texts(crowded.get("requests.xml", **until), "request/service_request_id") == listed
    pages = [crowded.get("requests.json", page_size="400", page=page, **until).json for page in "1234"]
    assert [told["service_request_id"] for page in pages for told in page] == [*listed, first]
    assert [len(page) for page in pages] == [400, 400, 201, 0]
    assert crowded.one(first)["service_request_id"] == first
    crowded.office.close()


def test_jurisdiction_is_taken_and_changes_nothing(door: Door) -> None:
    assert door.get("services.xml", jurisdiction_id="jakarta.go.id").data == door.get("services.xml").data


def test_token_answers_with_the_id_it_is(door: Door) -> None:
    ticket = door.taken_in()
    assert door.get(f"tokens/{ticket}.json").json == [{"service_request_id": ticket, "token": ticket}]
    assert texts(door.get(f"tokens/{ticket}.xml"), "request/token") == [ticket]


def test_who_guesses_ids_must_wait(door: Door) -> None:
    guesser = door.office.visitor()
    answers = [guesser.get("/open311/v2/requests/K7Q2-9XWM-4T8R.json").status_code for _ in range(31)]
    assert answers == [404] * 30 + [429]
    assert door.get("requests.json").status_code == 200


def test_id_named_many_times_is_no_guess(door: Door) -> None:
    ticket = door.taken_in()
    for ids in (f"{ticket},{ticket.lower()}," * 40, f"{ticket},{'x,' * 40}"):
        visitor = door.office.visitor()
        answers = [visitor.get("/open311/v2/requests.json", query_string={"service_request_id": ids}) for _ in range(3)]
        assert [[told["service_request_id"] for told in answer.json] for answer in answers] == [[ticket]] * 3


def test_guesses_in_one_list_count_each(door: Door) -> None:
    guesser = door.office.visitor()
    many = ",".join(f"x{number}" for number in range(40))
    assert guesser.get(f"/open311/v2/requests.json?service_request_id={many}").json == []
    assert guesser.get("/open311/v2/requests/x.json").status_code == 429


def test_expected_datetime_is_told_only_when_the_source_wants_it(tmp_path: Path) -> None:
    config = tmp_path / "config"
    shutil.copytree(ROOT / "config", config, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    file = config / "sources.toml"
    file.write_text(file.read_text().replace("expected_datetime = false", "expected_datetime = true"))
    strict_less = Door(tmp_path / "data", BRIDGE_CONFIG_DIR=str(config))
    ticket = strict_less.taken_in()
    assert strict_less.one(ticket)["expected_datetime"] > strict_less.one(ticket)["requested_datetime"]
    strict_less.office.close()


# -- servicerequestupdates ---------------------------------------------------------------------------------------


def test_what_happens_is_an_update_each_with_a_name_that_stays(door: Door) -> None:
    ticket = door.taken_in()
    door.move(ticket, Move.ACKNOWLEDGE)
    door.move(ticket, Move.CLOSE, outcome=Outcome.SETTLED)
    told = door.updates(ticket)
    assert [update["status"] for update in told] == ["open", "investigating", "fixed"]
    assert len({update["update_id"] for update in told}) == 3
    assert door.updates(ticket) == told
    assert door.one(ticket)["status"] == "closed"
    assert door.one(ticket)["updated_datetime"] == told[-1]["updated_datetime"]
    since = {"start_date": told[0]["updated_datetime"]}
    assert ticket in texts(door.get("servicerequestupdates.xml", **since), "request_update/service_request_id")


def test_escalation_is_an_update(door: Door) -> None:
    ticket = door.taken_in()
    door.office.let_pass(ticket, 3)
    last = door.updates(ticket)[-1]
    assert last["status"] == "open"
    assert "Laporan naik kepada:" in last["description"]


def test_key_narrows_updates_to_its_source_and_a_wrong_one_is_403(door: Door) -> None:
    assert door.get("servicerequestupdates.json", api_key=KEY).status_code == 200
    assert door.get("servicerequestupdates.json", api_key="wrong").status_code == 403


def test_update_from_the_citizen_reaches_the_officer_once(door: Door) -> None:
    ticket = door.taken_in()
    first = door.update(ticket, update_id="u-77", media_url="https://foto.example/kwitansi.jpg")
    again = door.update(ticket, update_id="u-77")
    assert first.json == [{"update_id": "u-77"}]
    assert (again.status_code, "already exists" in again.text) == (400, True)
    report = door.office.report(ticket)
    assert report.description.count("Ada kwitansi baru.") == 1
    assert report.attachments[-1]["url"] == "https://foto.example/kwitansi.jpg"
    assert report.status == "received"


@pytest.mark.parametrize("status", ["CLOSED", "FIXED", "cancelled"])
def test_only_the_reporter_ends_a_report(door: Door, status: str) -> None:
    ticket = door.taken_in()
    door.update(ticket, status=status, email="orang.lain@warga.example")
    assert door.office.report(ticket).status == "received"
    door.update(ticket, status=status, email=CANARIES["email"].upper())
    report = door.office.report(ticket)
    assert (report.status, report.outcome) == ("closed", "withdrawn")
    assert "Ada kwitansi baru." in report.description


def test_update_of_a_closed_report_is_kept_and_changes_nothing(door: Door) -> None:
    ticket = door.taken_in()
    door.move(ticket, Move.ACKNOWLEDGE)
    door.move(ticket, Move.CLOSE, outcome=Outcome.REFERRED)
    assert door.update(ticket, status="CLOSED", email=CANARIES["email"]).status_code == 200
    report = door.office.report(ticket)
    assert (report.outcome, "kwitansi baru" in report.description) == ("referred", False)
    assert "late_event" in [line["event"] for line in _history(door, ticket)]


def test_update_of_a_forgotten_report_leaves_nothing_but_its_id(door: Door) -> None:
    ticket = door.taken_in()
    service = door.office.service
    forget(service.database, service.arrivals, ticket, Actor("cli:test"), "atas permintaan", even_open=True)
    assert door.update(ticket, update_id="u-78", status="FIXED", email=CANARIES["email"]).status_code == 200
    report = door.office.report(ticket)
    assert "kwitansi" not in report.description
    assert report.status == "received"
    assert door.update(ticket, update_id="u-78").status_code == 400
    with service.database.read() as connection:
        rows = connection.execute(webhooks.select().where(webhooks.c.report_id == report.report_id)).mappings().all()
    assert {row["body"] for row in rows} == {b""}
    with service.database.read() as connection:
        kept = list(updates_of(connection, service.arrivals.vault, report))
    assert [update["why_not"] for update in kept] == ["removed"]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"update_id": ""}, 400),
        ({"description": ""}, 400),
        ({"status": "PENDING"}, 400),
        ({"updated_datetime": "2026-11-24"}, 400),
        ({"description": "x" * 20_001}, 400),
        ({"api_key": "wrong"}, 403),
        ({"service_request_id": "unknown"}, 404),
        ({"service_request_id": "K7Q2-9XWM-4T8R"}, 404),
    ],
)
def test_update_that_is_none_is_refused(door: Door, fields: dict[str, str], status: int) -> None:
    ticket = door.taken_in()
    before = door.office.report(ticket)
    answer = door.update(ticket, **fields)
    assert answer.status_code == status
    assert answer.json[0]["code"] == status
    assert door.office.report(ticket) == before


def test_full_description_refuses_no_update_and_no_withdrawal(door: Door) -> None:
    ticket = door.taken_in(description="a" * 3900)
    words = [f"{number}." + "x" * 3948 for number in range(8)]
    assert {door.update(ticket, description=text).status_code for text in words} == {200}
    full = door.office.report(ticket)
    assert len(full.description) < 20_200
    assert full.description.endswith(f": 4 pemutakhiran. Utuhnya: bridge reports updates {ticket}]")

    door.update(ticket, status="CANCELLED", description="Sudah selesai.", email=CANARIES["email"])
    report = door.office.report(ticket)
    assert (report.status, report.outcome) == ("closed", "withdrawn")
    assert report.description[:20_000] == full.description[:20_000]
    assert [line["event"] for line in _history(door, ticket)].count("amended") == 9
    with door.office.service.database.read() as connection:
        whole = list(updates_of(connection, door.office.service.arrivals.vault, report))
    assert [update["description"] for update in whole] == [*words, "Sudah selesai."]


def test_pictures_are_never_too_many_together_and_the_rest_stand_in_the_text(door: Door) -> None:
    ticket = door.taken_in()
    urls = [f"https://foto.example/{number}.jpg" for number in range(24)]
    for some in (urls[:12], urls[12:]):
        answer = door.update(ticket, description="Foto.", media_url=some)  # type: ignore[arg-type]
        assert answer.status_code == 200
    report = door.office.report(ticket)
    assert len(report.attachments) == 20
    assert all(url in f"{report.description} {report.attachments}" for url in urls)


def test_limits_of_one_update_are_told_in_the_clients_words(door: Door) -> None:
    ticket = door.taken_in()
    for fields, said in (
        ({"description": "x" * 20_001}, "description: must have 0 to 20000 characters"),
        ({"media_url": ["https://foto.example/1.jpg"] * 21}, "media_url: Longer than maximum length 20."),
        ({"media_url": "foto.jpg"}, "media_url: Not a valid URL."),
    ):
        answer = door.update(ticket, **fields)  # type: ignore[arg-type]
        assert (answer.status_code, answer.json[0]["description"]) == (400, said)


def test_report_of_another_source_takes_no_update(door: Door) -> None:
    assert door.update(door.office.new_report()).status_code == 404
