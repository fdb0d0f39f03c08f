"""`bridge receipts`: a city's own list, in whatever form it comes, held against what was accepted."""

import csv
import hashlib
import io
import json
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

from bridge.cli.progress import LateBar
from bridge.receipts.lists import BadList, entries
from bridge.storage import webhooks
from bridge.storage.listed import Entry
from tests.web.keyboard import Desk, assert_refused

BEGIN = datetime(2026, 11, 2, tzinfo=UTC)
SPAN = ("--since", "2026-11-02T00:00:00Z", "--until", "2026-11-03T00:00:00Z")
NAMES = [f"msg-{number}" for number in range(5)]


def sha(text: str) -> str:
    """Return the hash of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(scope="module", autouse=True)
def _accepted(desk: Desk) -> None:
    rows = [
        {"source": "qlue", "webhook_id": name, "sha256": sha(name), "received_at": BEGIN + timedelta(seconds=n), "effect": "created", "body": b""}
        for n, name in enumerate(NAMES)
    ]  # fmt: skip
    with desk.office.service.database.write() as connection:
        webhooks.remember(connection, rows)


def compare(desk: Desk, listed: str, *words: str) -> Result:
    """Compare a list that comes on standard input with the day the accepted ones came."""
    return desk.run("receipts", "compare", "qlue", "-", *SPAN, *words, typed=listed)


def csv_of(*names: str) -> str:
    """Return a list as CSV."""
    return "webhook_id,sha256\n" + "".join(f"{name},{sha(name)}\n" for name in names)


# --- comparing ------------------------------------------------------------------------------------------------------


def test_list_that_agrees_ends_with_0_and_any_difference_with_1(desk: Desk) -> None:
    agreed = compare(desk, csv_of(*NAMES))
    assert (agreed.exit_code, "5 the same, 0 missing here, 0 missing there, 0 different body." in agreed.output) == (
        0,
        True,
    )
    for listed in (csv_of(*NAMES[1:]), csv_of(*NAMES, "msg-x"), csv_of(*NAMES[1:]) + f"msg-0,{sha('another')}\n"):
        assert compare(desk, listed).exit_code == 1


def test_differences_are_named_one_by_one(desk: Desk) -> None:
    listed = csv_of("msg-0", "msg-1", "msg-x") + f"msg-2,{sha('another')}\n"
    said = json.loads(compare(desk, listed, "--json").output)
    assert said["counts"] == {"same": 2, "different_body": 1, "missing_here": 1, "missing_there": 2}
    assert {(one["what"], one["webhook_id"], one.get("hint")) for one in said["differences"]} == {
        ("different_body", "msg-2", None),
        ("missing_here", "msg-x", "not_accepted"),
        ("missing_there", "msg-3", None),
        ("missing_there", "msg-4", None),
    }
    assert datetime.fromisoformat(said["complete_until"]).tzinfo
    text = compare(desk, listed).output
    assert all(
        word in text
        for word in ("missing here", "missing there", "different body", "msg-x", "not accepted", "Complete until")
    )
    assert json.loads(compare(desk, csv_of(*NAMES), "--json").output)["differences"] == []


def test_what_we_answered_and_do_not_have_is_called_lost(desk: Desk) -> None:
    listed = json.dumps([{"webhook_id": "msg-gone", "sha256": sha("x"), "received_at": "2026-11-02T07:00:00+07:00"}])
    assert "LOST" in compare(desk, listed).output
    young = json.dumps([{"webhook_id": "msg-gone", "sha256": sha("x"), "received_at": "2099-11-02T07:00:00+07:00"}])
    assert "may still be on its way" in compare(desk, young).output
    assert "may still be on its way" in compare(desk, listed, "--complete-until", "2026-11-01").output


def test_without_a_span_the_list_has_to_hold_everything(desk: Desk) -> None:
    inside = desk.run("receipts", "compare", "qlue", "-", "--json", typed=csv_of(*NAMES))
    assert (inside.exit_code, json.loads(inside.output)["counts"]["missing_there"]) == (1, 1), "the desk's own report"
    outside = desk.run(
        "receipts", "compare", "qlue", "-", "--since", "2026-11-03", "--until", "2026-11-04", typed=csv_of(*NAMES)
    )
    assert outside.exit_code == 0, "what we received on another day is not missing here"


def test_list_of_a_file_is_read_and_a_bad_one_is_refused_with_its_line(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "sent.csv"
    file.write_bytes(b"\xef\xbb\xbf" + csv_of(*NAMES).replace(",", ";").replace("\n", "\r\n").encode())
    assert desk.run("receipts", "compare", "qlue", str(file), *SPAN).exit_code == 0
    file.write_text(csv_of(*NAMES), encoding="utf-16")
    assert (
        "line 1: this looks like UTF-16: save the list as UTF-8"
        in desk.run("receipts", "compare", "qlue", str(file)).output
    )
    file.write_text(csv_of("msg-0") + "msg-1,short\n")
    done = desk.really_run("receipts", "compare", "qlue", str(file), *SPAN)
    assert_refused(done, "line 3: sha256 of msg-1 is not 64 hexadecimal digits")
    assert desk.run("receipts", "compare", "qlue", str(tmp_path / "none")).exit_code == 2
    assert "no source 'nobody'" in desk.run("receipts", "compare", "nobody", "-", typed=csv_of()).output


def test_receipts_are_listed_and_shown(desk: Desk) -> None:
    rows = desk.rows("receipts", "list", "qlue", *SPAN)
    assert [row["webhook_id"] for row in rows] == NAMES
    text = desk.run("receipts", "list", "qlue", *SPAN).output
    assert [line.split()[-1] for line in text.splitlines()] == NAMES
    assert compare(desk, json.dumps(rows)).exit_code == 0, "our own list is one that can be compared"
    shown = json.loads(desk.run("receipts", "show", "qlue", "msg-1", "--json").output)
    assert (shown["sha256"], shown["effect"]) == (sha("msg-1"), "created")
    assert sha("msg-1") in desk.run("receipts", "show", "qlue", "msg-1").output
    unknown = desk.run("receipts", "show", "qlue", "msg-x")
    assert (unknown.exit_code, "Complete until" in unknown.output) == (1, True)
    assert (
        desk.run("receipts", "list", "qlue", "--since", "2030-01-01", "--until", "2030-01-02", "--json").output
        == "[\n]\n"
    )


@pytest.mark.parametrize("total", [None, 30])
def test_bar_comes_late_whether_the_end_is_known_or_not(capsys: pytest.CaptureFixture[str], total: int | None) -> None:
    for patience_s, seen in ((60, ""), (-1, "Comparing")):
        with ExitStack() as stack:
            bar = LateBar(stack, "Comparing", total, patience_s=patience_s)
            bar(10)
            bar(20)
        assert capsys.readouterr().err.strip() == seen, "only its label where nobody looks"


# --- reading lists --------------------------------------------------------------------------------------------------


def read(text: str) -> list[Entry]:
    """Return what a list says."""
    return list(entries(io.StringIO(text)))


A = "a" * 64
ROW = {"webhook_id": "m1", "sha256": A}


@pytest.mark.parametrize(
    "text",
    [
        f"webhook_id,sha256\nm1,{A}\n",
        f"\n\nwebhook_id,sha256\n\nm1,{A}",
        f"SHA256;other; Webhook_ID\n{A.upper()};x;m1\n",
        f'webhook_id,sha256,title\n"m1",{A},"one, and\nanother line"\n',
        json.dumps([ROW]),
        json.dumps([ROW], indent=4),
        "[]\n" + json.dumps([ROW]),
        json.dumps({"count": 1, "items": [ROW], "next": None}) + json.dumps({"items": []}),
        f'"Nomor, kami";webhook_id;sha256\n"1,5";m1;{A}\n',
        f'"Nomor;\nkami",webhook_id,sha256\n1,m1,{A}\n',
        f"webhook_id, sha256\nm1, {A}\n",
        f'webhook_id , sha256\n m1 , "{A}"\n',
        f"webhook_id\tsha256\tsent_at\nm1\t{A}\t\n",
        f"webhook_id,sha256\nm1,{A}\n   \n",
        f"webhook_id,sha256\r\nm1,{A}\r\n,\r\n \t \r\n",
        f"webhook_id,sha256,,\nm1,{A},,\n",
        json.dumps(ROW) + "\n",
        json.dumps(ROW | {"payload": {"items": [1]}}) + "\n\n",
        json.dumps({"x": {"items": [1]}, "items": [ROW | {"sent_at": None}]}, indent=1),
    ],
)
def test_list_may_be_csv_json_or_pages_of_our_manifest(text: str) -> None:
    assert read(text) == [Entry("m1", A)]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", 1, "webhook_id,sha256"),
        ("a,b\n", 1, "webhook_id,sha256"),
        (f"webhook_id,sha256\nm1,{A}\nm2\n", 3, "1 columns instead of 2"),
        (f"webhook_id,sha256\n,{A}\n", 2, "webhook_id"),
        (f"webhook_id,sha256\n\nm 1,{A}\n", 3, "webhook_id"),
        (f"webhook_id,sha256\nm\udcff,{A}\n", 2, "webhook_id"),
        ("webhook_id,sha256\nm1,xyz\n", 2, "sha256 of m1"),
        (f"webhook_id,sha256,sent_at\nm1,{A},2026-11-24T10:00:00\n", 2, "sent_at"),
        (f'webhook_id,sha256\n"m1,{A}\n', 2, "end"),
        ("webhook_id,sha256\n" + "m" * 70_000 + f",{A}\n", 2, "column"),
        ("[", 1, "JSON"),
        ("[\n1]", 2, "expected an object"),
        (f'[\n{{"webhook_id": "m1",\n "sha256": "{A}"}}\n{{}}]', 4, "expected ','"),
        ('[\n{"webhook_id": 7}]', 2, "webhook_id"),
        ('{"x": "m1"}', 1, "without items"),
        ('{"webhook_id": "m1"}', 1, "sha256 of m1"),
        (json.dumps(ROW) + '\n{"webhook_id": "m2"}', 2, "sha256 of m2"),
        (json.dumps(ROW) + "," + json.dumps(ROW), 1, "an object a line"),
        (f"webhook_id,sha256,SHA256\nm1,{A},{'b' * 64}\n", 1, "the column sha256 is there twice"),
        (f'[{{"webhook_id": "m1", "sha256": "{"b" * 64}",\n "sha256": "{A}"}}]', 1, "'sha256' is there twice"),
        (f'{{"webhook_id": "m1", "sha256": "{"b" * 64}",\n "sha256": "{A}"}}', 2, "'sha256' is there twice"),
        ('{"items": [],\n "items": []}', 2, "'items' is there twice"),
        (f"[{json.dumps(ROW)},\n]", 2, "a comma before"),
        ('{"items": [],\n}', 2, "a comma before"),
        (json.dumps({f"name-{n}": n for n in range(1001)}), 1, "more than 1000 names"),
        ("{7: 8}", 1, "a name has to be a text"),
        ("\udcff\udcfew\0e\0b\0", 1, "save the list as UTF-8"),
        ("w\0e\0b\0h\0o\0o\0k\0", 1, "save the list as UTF-8"),
        ("[]\n[]\n7", 3, "array"),
        ("[" + "[" * 5000, 1, "JSON"),
        (f'[{{"webhook_id": "{"m" * 900_000}', 1, "64 KB"),
    ],
)
def test_fault_is_named_with_its_line(text: str, line: int, said: str) -> None:
    with pytest.raises(BadList, match=f"line {line}: ") as refused:
        read(text)
    assert said in str(refused.value)


@given(
    rows=st.lists(st.tuples(st.from_regex(r"[!-~]{1,20}", fullmatch=True), st.sampled_from([A, "b" * 64]))),
    indent=st.sampled_from([None, 1]),
)
def test_any_list_is_read_as_it_was_written(rows: list[tuple[str, str]], indent: int | None) -> None:
    objects: list[dict[str, Any]] = [{"webhook_id": name, "sha256": digest} for name, digest in rows]
    expected = [Entry(*row) for row in rows]
    assert read(json.dumps(objects, indent=indent)) == expected
    assert read(json.dumps({"items": objects, "count": len(rows)}, indent=indent)) == expected
    if rows:
        assert read("\n".join(json.dumps(one, indent=indent) for one in objects)) == expected
    for delimiter in ",;\t":
        typed = io.StringIO()
        csv.writer(typed, delimiter=delimiter).writerows(
            [("note, or; not", "webhook_id", "sha256"), *(("", *row) for row in rows)]
        )
        assert read(typed.getvalue()) == expected


@given(st.text() | st.text(alphabet='[]{}",:0a\n;wi'))
def test_anything_at_all_is_a_list_or_a_named_fault(text: str) -> None:
    try:
        assert all(isinstance(entry, Entry) for entry in read(text))
    except BadList as fault:
        assert str(fault).startswith("line ")


def test_pages_longer_than_what_is_read_at_a_time_are_read_whole() -> None:
    rows = [{"webhook_id": f"m{number}", "sha256": A, "note": "x" * (number % 97)} for number in range(6000)]
    found = read(json.dumps({"count": 6000, "items": rows}))
    assert [entry.webhook_id for entry in found] == [row["webhook_id"] for row in rows]
