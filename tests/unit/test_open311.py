"""Open311 without a server: forms become events in our words, answers become XML and JSON, dates are strict."""

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from defusedxml import ElementTree
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import MultiDict

from bridge.open311 import services, shown
from bridge.open311.appending import with_update
from bridge.open311.asked import LONGEST, span_of, wanted_by
from bridge.open311.dates import NotADate, read_asked, read_date, update_id, written
from bridge.open311.form import MAX_DESCRIPTION_CHARS, Form, as_event
from bridge.open311.rendering import Refused, answer, refusal
from bridge.reports.states import OUTCOME_WORDS, WORDS
from bridge.reports.tickets import read_ticket
from schemas.city import NotAReport, load_event
from tests.unit.given import MONDAY as NOW
from tests.unit.given import a_report

AT = datetime(2026, 11, 24, 3, 0, 0, 250_000, tzinfo=UTC)
LEAST = {"service_code": "PEMBIAYAAN", "lat": "-6.26", "long": "106.81"}


def event(*pairs: tuple[str, str], **fields: str) -> dict[str, Any]:
    """Return the event of a form, checked."""
    form = Form.posted([*(LEAST | fields).items(), *pairs])
    return load_event(as_event(form.body(AT), "open311-1"))


def problems(*pairs: tuple[str, str], **fields: str) -> list[str]:
    """Return what is wrong with a form."""
    with pytest.raises(NotAReport) as refused:
        event(*pairs, **fields)
    return refused.value.problems


# -- a form becomes an event -------------------------------------------------------------------------------------


def test_form_becomes_a_report_in_our_words() -> None:
    answers = [
        ("attribute[business_name]", "PT Contoh"),
        ("attribute[amount_idr]", "12500000"),
        ("attribute[consumer_domicile]", "31.74"),
        ("attribute[proof_of_purchase][]", "bon"),
        ("attribute[proof_of_purchase][]", "faktur"),
        ("attribute[unasked]", "tetap disimpan"),
        ("media_url", "https://foto.example/1.jpg"),
        ("media_url", "https://foto.example/2.jpg"),
    ]
    data = event(
        *answers,
        description="Motor ditarik\ndi jalan",
        first_name="Siti",
        last_name="Aminah",
        email="siti@warga.example",
        address_string="Jl. Contoh 1",
    )["data"]

    assert (data["id"], data["category"], data["title"]) == ("open311-1", "PEMBIAYAAN", "Motor ditarik")
    assert data["description"].splitlines() == [
        "Motor ditarik",
        "di jalan",
        "",
        "Bukti perolehan: Bon, Faktur",
        "unasked: tetap disimpan",
        "Alamat: Jl. Contoh 1",
    ]
    assert data["reporter"]["name"] == "Siti Aminah"
    assert data["reporter"]["domicile"] == "31.74"
    assert data["business"]["name"] == "PT Contoh"
    assert data["amount_idr"] == 12_500_000
    assert [picture["url"] for picture in data["attachments"]] == [value for _, value in answers[-2:]]
    assert (data["location"]["lat"], data["location"]["lon"]) == (-6.26, 106.81)


def test_time_of_a_report_is_the_time_its_form_was_kept_with() -> None:
    assert event()["timestamp"] == AT


def test_nothing_but_service_and_place_is_enough() -> None:
    data = event()["data"]
    assert data["title"] == data["description"] == "Pembiayaan dan leasing"


@pytest.mark.parametrize("name", ["description", "email", "phone", "media_url", "attribute[amount_idr]", "address_id"])
def test_empty_field_is_the_same_as_none(name: str) -> None:
    assert event((name, "")) == event((name, "  ")) == event()


def test_senders_own_number_makes_one_report_of_a_form_sent_twice() -> None:
    first, second = (Form.posted([*LEAST.items(), ("attribute[fixmystreet_id]", "77")]) for _ in range(2))
    other = Form.posted([*first.pairs, ("description", "berubah")])
    assert first.webhook_id() == second.webhook_id() != other.webhook_id()
    assert first.digest() == second.digest()
    ids = {load_event(as_event(form.body(AT), form.webhook_id()))["data"]["id"] for form in (first, second, other)}
    assert ids == {"77"}


def test_without_a_number_of_its_own_every_form_is_a_report() -> None:
    form = Form.posted(LEAST.items())
    assert form.webhook_id() != form.webhook_id()


def test_key_is_never_kept() -> None:
    form = Form.posted([*LEAST.items(), ("api_key", "geheim")])
    assert b"geheim" not in form.body(AT)
    assert form.digest() == Form.posted(LEAST.items()).digest() != sha256(b"").hexdigest()


def test_client_cannot_set_the_time_of_receipt() -> None:
    assert event(("jembatan.received_at", "2001-01-01T00:00:00Z"))["timestamp"] == AT


def test_file_that_came_along_is_named_to_the_officer() -> None:
    form = Form.posted(LEAST.items(), ["kwitansi.jpg"])
    assert "Berkas tidak disimpan: kwitansi.jpg" in load_event(as_event(form.body(AT), "x"))["data"]["description"]


def test_amount_that_is_no_number_stays_readable() -> None:
    data = event(("attribute[amount_idr]", "kira-kira 12 juta"))["data"]
    assert data["amount_idr"] is None
    assert "Nilai kerugian (Rp): kira-kira 12 juta" in data["description"]


def test_long_first_line_is_cut_for_the_title_and_kept_in_the_text() -> None:
    data = event(description="a" * 500)["data"]
    assert len(data["title"]) == 120
    assert data["description"] == "a" * 500


def test_title_is_the_attribute_or_what_fixmystreet_writes_first() -> None:
    assert event(("attribute[title]", "Judul"), description="Baris pertama")["data"]["title"] == "Judul"
    assert event(description="title:  Motor ditarik\n\ndetail: …")["data"]["title"] == "Motor ditarik"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"service_code": ""}, "service_code: missing"),
        ({"service_code": "LUBANG"}, "service_code: unknown"),
        ({"lat": "", "long": ""}, "lat and long, address_string or address_id: one of them is required"),
        ({"long": ""}, "lat, long: send both"),
        *(({"lat": text}, "data.location.lat") for text in ("91", "-90.1", "9" * 400)),
        ({"description": "x" * (MAX_DESCRIPTION_CHARS + 1)}, "description: longer than 4000 characters"),
        ({"description": "a\x00b"}, "data.title"),
        ({"media_url": "ftp://foto.example/1.jpg"}, "data.attachments"),
        ({"attribute[consumer_domicile]": "3174"}, "data.reporter.domicile"),
    ],
)
def test_fault_is_named(fields: dict[str, str], said: str) -> None:
    assert any(problem.startswith(said) for problem in problems(**fields))


#: What Python reads as a number and nobody means as one, and what is none.
NO_NUMBERS = (
    *(
        " 1",
        "1 ",
        "\t1",
        "1\n",
        "\u00a01",
        "- 1",
        "1 0",
        "1_0",
        "１",
        "1e0",
        "1E0",
        "0x1",
        "1,0",
        "1.0.0",
        "--1",
        "+-1",
    ),
    *("nan", "NaN", "inf", "-inf", "Infinity", ".", "-", "1f", "selatan", "1\x00", "1" * 400 + "e1"),
)


@pytest.mark.parametrize("name", ["lat", "long", "page", "page_size"])
@pytest.mark.parametrize("text", NO_NUMBERS, ids=ascii)
def test_what_is_not_written_as_a_number_is_refused_with_the_name_of_the_field(name: str, text: str) -> None:
    if name in ("lat", "long"):
        assert [problem for problem in problems(**{name: text}) if problem.startswith(name)] == [
            f"{name}: not a number"
        ]
        return
    with pytest.raises(Refused) as refused:
        wanted_by(MultiDict({name: text}), ["open311"], NOW)
    assert refused.value.status == 400
    assert str(refused.value).startswith(f"{name}: a whole number")


@pytest.mark.parametrize("text", ["-6.2", "+6", "6.", ".5", "0006"])
def test_plain_decimal_number_is_a_coordinate(text: str) -> None:
    assert event(lat=text)["data"]["location"]["lat"] == float(text)


@pytest.mark.parametrize("address", ["address_string", "address_id"])
@pytest.mark.parametrize(
    ("half", "said"), [({"lat": "-6.2", "long": ""}, "Lintang: -6.2"), ({"lat": "", "long": "x"}, "Bujur: x")]
)
def test_half_a_place_beside_an_address_is_only_written_down(half: dict[str, str], said: str, address: str) -> None:
    data = event(**half, **{address: "31.74"})["data"]
    assert (data["location"]["lat"], data["location"]["lon"]) == (None, None)
    assert said in data["description"].splitlines()


def test_all_faults_are_named_at_once() -> None:
    assert len(problems(service_code="", lat="", description="x" * 5000)) == 3


@pytest.mark.parametrize("body", [b"", b"\xff", b"a", b"%ff=%ff", b"a=1&&b"])
def test_kept_bytes_that_are_no_form_are_no_report(body: bytes) -> None:
    with pytest.raises(NotAReport):
        as_event(body, "x")


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
names = st.one_of(
    texts, st.sampled_from([*LEAST, "description", "email", "media_url", "address_string", "attribute[amount_idr]"])
)


@given(pairs=st.lists(st.tuples(names, texts), max_size=8), files=st.lists(texts, max_size=2))
def test_any_form_is_an_event_or_has_faults(pairs: list[tuple[str, str]], files: list[str]) -> None:
    form = Form.posted(pairs, files)
    assert Form.kept(form.body(AT)).digest() != ""
    try:
        load_event(as_event(form.body(AT), form.webhook_id()))
    except NotAReport as fault:
        assert fault.problems


@given(pairs=st.lists(st.tuples(texts, texts), max_size=8))
def test_what_was_posted_is_what_was_kept(pairs: list[tuple[str, str]]) -> None:
    form = Form.posted(pairs)
    assert Form.kept(form.body(AT)).pairs[:-1] == form.pairs


# -- updates behind what a report says ----------------------------------------------------------------------------


@given(texts=st.lists(st.text(max_size=9000), max_size=12))
def test_updates_stand_whole_until_there_is_no_room_and_are_counted_then(texts: list[str]) -> None:
    said = "awal"
    for text in texts:
        said = with_update(said, text, "K7Q2-9XWM-4T8R")
    whole = "\n\n".join(["awal", *texts])
    assert said[:20_000] == whole[:20_000]
    fitting = [n for n in range(len(texts) + 1) if len("\n\n".join(["awal", *texts[:n]])) <= 20_000]
    left_out = len(texts) - fitting[-1]
    assert (f" {left_out} pemutakhiran" in said[20_000:]) if left_out else said == whole


def test_line_that_counts_cannot_be_forged() -> None:
    forged = with_update("x" * 20_000, "y", "K7Q2-9XWM-4T8R")[20_000:]
    assert with_update("awal" + forged, "y", "K7Q2-9XWM-4T8R") == f"awal{forged}\n\ny"


# -- dates and queries -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["2026-11-24T10:00:00+07:00", "2026-11-24T03:00:00Z", "2026-11-24T10:00:00 07:00", "2026-11-24T03:00Z"]
)
def test_w3c_date_is_read(text: str) -> None:
    assert read_date(text) == datetime(2026, 11, 24, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-24",
        "2026-11-24T10:00:00",
        "24/11/2026",
        "2026-13-01T00:00:00Z",
        "0001-01-01T00:00:00+07:00",
        "2026-11-24T10:00:00+0700",
        "2026-11-24T10:00:00+99:00",
        "9999-12-31T23:59:59-07:00",
        "٢٠٢٦-11-24T10:00:00Z",
    ],
)
def test_any_other_date_is_refused(text: str) -> None:
    with pytest.raises(NotADate):
        read_date(text)


@pytest.mark.parametrize(
    ("text", "last", "at"),
    [
        ("2026-11-24T10:00:00", False, "2026-11-24T03:00:00+00:00"),
        ("2026-11-24T10:00:00Z", True, "2026-11-24T10:00:00+00:00"),
        ("2026-11-24", False, "2026-11-23T17:00:00+00:00"),
        ("2026-11-24", True, "2026-11-24T16:59:59.999999+00:00"),
    ],
)
def test_query_may_leave_out_zone_and_hour_as_some_clients_do(text: str, last: bool, at: str) -> None:
    assert read_asked(text, last=last).isoformat() == at


@pytest.mark.parametrize("text", ["24/11/2026", "2026-13-01", "2026-11-24T25:00:00", "9999-12-31", "now"])
def test_query_for_no_date_at_all_is_refused(text: str) -> None:
    with pytest.raises(NotADate):
        read_asked(text, last=False)


def test_date_is_written_to_the_second_with_its_zone() -> None:
    assert written(AT) == "2026-11-24T10:00:00+07:00"
    assert abs(read_date(written(AT)) - AT) < timedelta(seconds=1)


def test_query_without_dates_spans_the_last_90_days() -> None:
    assert span_of(MultiDict(), NOW) == (NOW - LONGEST, NOW)


def test_empty_date_does_not_hide_the_one_behind_it() -> None:
    twice = MultiDict([("start_date", ""), ("start_date", " "), ("start_date", "2024-01-01T00:00:00Z")])
    assert span_of(twice, NOW)[0] == datetime(2024, 1, 1, tzinfo=UTC)


def test_query_with_one_date_spans_90_days_from_or_to_it() -> None:
    start = MultiDict({"start_date": "2024-01-01T00:00:00Z", "end_date": ""})
    end = MultiDict({"end_date": "2024-01-01T00:00:00Z"})
    at = datetime(2024, 1, 1, tzinfo=UTC)
    assert span_of(start, NOW) == (at, at + LONGEST)
    assert span_of(end, NOW) == (at - LONGEST, at)


@pytest.mark.parametrize(
    "arguments",
    [
        {"start_date": "2024-01-01T00:00:00Z", "end_date": "2024-04-01T00:00:00Z"},
        {"start_date": "2024-02-01T00:00:00Z", "end_date": "2024-01-01T00:00:00Z"},
        {"start_date": "kemarin"},
        {"status": "investigating"},
        *({"page_size": text} for text in ("0", "-1", "1001", "x", "１", "1.0", "9" * 5000)),
        *({"page": text} for text in ("0", "x", "100001")),
    ],
)
def test_query_outside_the_specification_is_refused(arguments: dict[str, str]) -> None:
    with pytest.raises(Refused) as refused:
        wanted_by(MultiDict(arguments), ["open311"], NOW)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("arguments", "most", "skip"),
    [({}, 1000, 0), ({"page": "", "page_size": ""}, 1000, 0), ({"page_size": "50"}, 50, 0), ({"page": "3"}, 1000, 2000), ({"page": "3", "page_size": "200"}, 200, 400)],
)  # fmt: skip
def test_query_may_ask_for_pages(arguments: dict[str, str], most: int, skip: int) -> None:
    wanted = wanted_by(MultiDict(arguments), ["open311"], NOW)
    assert (wanted.most, wanted.skip) == (most, skip)


def test_ninety_days_exactly_are_allowed() -> None:
    arguments = MultiDict({"start_date": "2024-01-01T00:00:00Z", "end_date": "2024-03-31T00:00:00Z"})
    assert span_of(arguments, NOW)[1] - span_of(arguments, NOW)[0] == LONGEST


# -- answers -----------------------------------------------------------------------------------------------------


@given(text=st.text())
def test_any_text_is_well_formed_xml_and_loses_only_what_xml_cannot_hold(text: str) -> None:
    body = answer("xml", "errors", [{"code": 400, "description": text}]).data
    read = ElementTree.fromstring(body).findtext("error/description")
    kept = "".join(c for c in text if c in "\t\n\r" or (c >= " " and c not in "\ufffe\uffff"))
    # A reader takes every line end for one line feed (XML 1.0 section 2.11).
    assert read.replace("\r\n", "\n").replace("\r", "\n") == kept.replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize("code", services.SERVICES)
def test_xml_and_json_say_the_same(code: str) -> None:
    content = services.definition(code)
    assert _spark(ElementTree.fromstring(answer("xml", "service_definition", content).data)) == _texts(
        json.loads(answer("json", "service_definition", content).data)
    )


def _spark(element: Any) -> Any:
    """Read XML as the Spark convention does: a list unless its elements have names of their own."""
    children = list(element)
    if not children:
        return element.text or ""
    if element.tag in ("attributes", "values"):
        return [_spark(child) for child in children]
    return {child.tag: _spark(child) for child in children}


def _texts(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _texts(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_texts(value) for value in content]
    return str(content).lower() if isinstance(content, bool) else str(content)


def test_errors_are_the_specifications() -> None:
    refused = Refused(403, "api_key: missing", **{"Retry-After": "5"})
    as_json, as_xml = refusal("json", refused), refusal("xml", refused)
    assert json.loads(as_json.data) == [{"code": 403, "description": "api_key: missing"}]
    assert ElementTree.fromstring(as_xml.data).findtext("error/code") == "403"
    assert as_xml.data.startswith(b'<?xml version="1.0" encoding="utf-8"?>\n<errors>')
    assert (as_xml.status_code, as_xml.headers["Retry-After"]) == (403, "5")


# -- what is shown -----------------------------------------------------------------------------------------------


def test_changeset_moves_with_what_is_offered() -> None:
    offered = json.dumps([services.service_list(), services.definition("AIR")], sort_keys=True)
    known = (services.CHANGED, sha256(offered.encode()).hexdigest()[:16])
    assert known == ("2026-11-24 08:00", "ff1b1111e464c994"), "set CHANGED to now, and this line to what it is now"


def test_codes_of_services_and_attributes_are_unique_and_ordered() -> None:
    attributes = services.definition("AIR")["attributes"]
    assert [attribute["order"] for attribute in attributes] == list(range(1, len(attributes) + 1))
    assert len({attribute["code"] for attribute in attributes}) == len(attributes)


def test_every_state_has_a_word_the_extension_knows() -> None:
    from bridge.open311.updates import STATUSES

    said = [*WORDS.values(), *OUTCOME_WORDS.values()]
    assert {words.mysociety for words in said} <= set(STATUSES)
    assert {words.open311 for words in said} == {"open", "closed"}


def _request(**fields: Any) -> dict[str, Any]:
    return shown.request(
        a_report(**fields), changed_at=NOW, agency="BPSK", track_url="https://x.example/track/T", expected_at=None
    )


def test_place_is_the_middle_of_a_city_and_never_the_citizens() -> None:
    place = _request(location={"lat": -6.2634, "lon": 106.8123, "area": "31.74.05.1002"}, reporter={"name": "Siti"})
    assert (place["address"], place["address_id"]) == ("Jakarta Selatan, DKI Jakarta", "31.74")
    assert (place["lat"], place["long"]) == (-6.27, 106.81)


@pytest.mark.parametrize(
    "fields",
    [
        {"location": {}},
        {"location": {"area": "32.73"}},
        {"location": {"area": "31.74"}, "reporter": {"anonymous": True}},
    ],
)
def test_unknown_place_and_place_of_the_anonymous_are_the_province(fields: dict[str, Any]) -> None:
    assert _request(**fields)["address_id"] == "31"


def test_category_we_do_not_know_is_shown_as_unsorted() -> None:
    assert _request(category="kata-kata warga")["service_code"] == "LAINNYA"


def test_updates_of_one_instant_have_one_name_that_is_an_identifier() -> None:
    ticket = read_ticket("K7Q2-9XWM-4T8R") or "K7Q2-9XWM-4T8R"
    assert update_id(ticket, AT) == update_id(ticket, AT) != update_id(ticket, AT + timedelta(microseconds=1))
    assert update_id(ticket, AT).replace("-", "").isalnum()
