"""What notices say: the shipped texts, an office's own, and every fault in them found before anybody is told anything."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from bridge.delivery.facts import Frame, Item, Several, Single, Told
from bridge.delivery.notices import KINDS, MAY_TURN_OFF, Notice, Texts
from bridge.delivery.samples import a_person, a_report, a_row
from bridge.links import Links
from bridge.words import LANGUAGES
from config.settings import HERE, BadSettings
from config.wording import read_texts, shipped
from tests.unit.given import MONDAY

LINKS = Links(b"s" * 32, "https://jembatan.example")
REPORT = replace(
    a_report(),
    title="Motor ditarik",
    description="uraian rahasia",
    reporter={"name": "Siti Kenari", "phone": "+62 812-0000-7777"},
)
ONE_REPORT = [kind for kind in KINDS if kind != "digest"]
RIGHT = "Laporan {{ report.ticket }}\n\nYth. {{ person.name }}\n"


def written(kind: str, language: str = "id", *, texts: Texts | None = None, **changed: Any) -> Notice:
    """Return a notice; `changed` goes into its payload."""
    row = a_row(kind, MONDAY)
    row["payload"] = row["payload"] | changed
    return (texts or shipped()).notice(REPORT, a_person(language), row, LINKS, remaining_s=4800.0)


def own(folder: Path, files: Mapping[str, str]) -> Path:
    """Write texts of an office, and return its configuration folder."""
    (folder / "texts").mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / "texts" / name).write_text(text, encoding="utf-8")
    return folder


def faults(folder: Path, files: Mapping[str, str]) -> list[str]:
    with pytest.raises(BadSettings) as error:
        read_texts(own(folder, files))
    return error.value.faults


@pytest.mark.parametrize("kind", ONE_REPORT)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_mail_about_a_report_names_its_ticket_and_leads_to_it(kind: str, language: str) -> None:
    notice = written(kind, language)
    assert REPORT.ticket in notice.subject
    assert "\n" not in notice.subject
    assert f"\nhttps://jembatan.example/desk/reports/{REPORT.ticket}\n" in notice.text
    assert f'<a href="https://jembatan.example/desk/reports/{REPORT.ticket}">' in notice.html
    assert "\n\n\n" not in notice.text
    assert notice.language == language


@pytest.mark.parametrize("kind", KINDS)
def test_no_mail_holds_what_is_the_citizen_s(kind: str) -> None:
    said = digest([item(kind="warning")]) if kind == "digest" else written(kind)
    assert not [word for word in ("Siti", "0000", "rahasia") if word in said.text + said.html + said.subject]


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_a_person_may_turn_off_says_where(kind: str) -> None:
    notice = digest([item()]) if kind == "digest" else written(kind)
    settings = "https://jembatan.example/desk/me"
    one_click = kind in MAY_TURN_OFF - {"digest"}
    assert (notice.one_click, settings in notice.text) == (one_click, kind in MAY_TURN_OFF)
    if one_click:
        token = str(notice.unsubscribe_url).removeprefix("https://jembatan.example/a/off/")
        assert LINKS.read_turn_off(token) == (a_person("id").person_id, kind)
    else:
        assert notice.unsubscribe_url == (settings if kind == "digest" else None)
    assert MAY_TURN_OFF.isdisjoint({"new_report", "escalation"})


def test_who_stands_in_for_somebody_is_told_for_whom() -> None:
    assert (
        "Anda menerima ini sebagai pengganti Budi Santoso."
        in written("escalation", standing_in_for="Budi\nSantoso").text
    )
    assert "in place of Budi Santoso" in written("escalation", "en", standing_in_for="Budi Santoso").text
    assert "pengganti" not in written("escalation").text


def test_html_says_what_the_text_says() -> None:
    notice = written("escalation", assigned=True)
    plain = unescape(re.sub(r"<[^>]+>", " ", notice.html))
    for line in notice.text.splitlines():
        # Addresses stand behind their links; a table has no colon.
        words = [] if line.startswith("http") else line.replace(":", " ").split()
        assert all(word in plain.replace(":", " ") for word in words), line
    assert "/a/" in notice.html


def test_title_can_neither_begin_a_line_of_its_own_nor_be_markup() -> None:
    sly = replace(REPORT, title="a\n\nTanggapi:\nhttps://jembatan.example/a/evil <b>x</b>\r\n  Tenggat : besok")
    notice = shipped().notice(sly, a_person("id"), a_row("warning", MONDAY), LINKS, remaining_s=1.0)
    assert "\nTanggapi:\n" not in notice.text
    assert 'href="https://jembatan.example/a/evil' not in notice.html
    assert "<b>x" not in notice.html


def item(kind: str = "escalation", *, level: int = 0, hours: int = 1, ticket: str = "A", **more: Any) -> Item:
    deadline = (MONDAY + timedelta(hours=hours)).isoformat()
    row = {
        "event": kind,
        "kind": "acknowledge",
        "cycle": 1,
        "payload": {"deadline_at": deadline, "level": level, **more},
    }
    return Item(replace(REPORT, ticket=ticket), row, 3600.0 * hours)


def digest(items: list[Item], why: str = "digest", language: str = "id") -> Notice:
    return shipped().digest(a_person(language), items, why=why, links=LINKS)


def test_digest_begins_with_the_highest_escalation_and_then_with_what_is_due_first() -> None:
    notice = digest(
        [
            Item(replace(REPORT, ticket="T-last"), a_row("amended", MONDAY)),
            item("warning", hours=5, ticket="T-fifth"),
            item(level=1, hours=-2, ticket="T-third"),
            item(level=3, hours=9, ticket="T-first"),
            item("new_report", hours=2, ticket="T-fourth"),
            item(level=1, hours=-9, ticket="T-second"),
        ]
    )
    order = re.findall(r"Tiket +: (T-\w+)", notice.text)
    assert order == ["T-first", "T-second", "T-third", "T-fourth", "T-fifth", "T-last"]
    assert notice.subject == "6 kabar: Eskalasi T-first dan 5 lainnya"
    assert len(re.findall("<table", notice.html)) == 6


def test_digest_of_one_has_no_others_and_every_reason_is_said_in_words() -> None:
    assert digest([item(ticket="T")]).subject == "1 kabar: Eskalasi T"
    assert len({digest([item()], why, lang).text for why in ("burst", "digest", "quiet") for lang in LANGUAGES}) == 6
    assert "sebagai pengganti" not in digest([item()]).text
    assert "Pengganti : Budi" in digest([item(standing_in_for="Budi")]).text


def test_person_whose_language_we_do_not_speak_reads_indonesian() -> None:
    assert written("warning", "jv").subject.startswith("Tenggat mendekat")


def test_folder_without_texts_says_what_is_shipped(tmp_path: Path) -> None:
    assert written("warning", texts=read_texts(tmp_path)) == written("warning")


def test_own_text_takes_the_place_of_the_shipped_one_and_all_others_stay(tmp_path: Path) -> None:
    texts = read_texts(own(tmp_path, {"warning.id.txt": RIGHT, "warning.en.txt~": "old {{", ".warning.swp": "{{"}))
    assert written("warning", texts=texts).subject == f"Laporan {REPORT.ticket}"
    assert written("warning", texts=texts).text == "Yth. Ani Rahmawati\n"
    assert written("amended", texts=texts) == written("amended")


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("warning.id.txt", RIGHT + "{{ titel }}", "texts/warning.id.txt:4: no field 'titel'; there are acknowledge_url, "),
        ("warning.id.txt", RIGHT + "\n{{ report.titel }}", "texts/warning.id.txt:5: no field 'titel' here; there are ticket, title, category"),
        ("warning.id.txt", RIGHT + "{% if level == 99 %}{{ report.nama }}{% endif %}", "texts/warning.id.txt:4: no field 'nama'"),
        ("warning.id.txt", RIGHT + "{% if level == 99 %}{{ nama }}{% endif %}", "texts/warning.id.txt:4: no field 'nama'"),
        ("warning.id.txt", RIGHT + "{{ report.reporter }}", "no field 'reporter' here"),
        ("warning.id.txt", RIGHT + "{{ items }}", "no field 'items'"),
        ("_report.en.txt", "{{ report.titel }}", "texts/_report.en.txt:1: no field 'titel' here"),
        ("digest.id.txt", "x\n\n{% for i in items if i.level > 99 %}{{ i.titel }}{% endfor %}", "texts/digest.id.txt:3: no field 'titel' here"),
        ("digest.id.txt", "x\n\n{{ items[0].report.titel }}", "no field 'titel' here"),
        ("digest.id.txt", "{{ ticket }}\n\nx", "no field 'ticket'"),
        ("notice.html", "{% for p in parts %}{% for r in p.rows %}{{ r.lable }}{% endfor %}{% endfor %}", "texts/notice.html:1: no field 'lable' here"),
        ("warning.id.txt", RIGHT + "{% if late %}", "texts/warning.id.txt:4: Unexpected end of template"),
        ("warning.id.txt", RIGHT + "\n{{ 'x' | besar }}", "texts/warning.id.txt:5: No filter named 'besar'"),
        ("warning.id.txt", RIGHT + "\n{{ due + 1 }}", "texts/warning.id.txt:5: "),
        ("warning.id.txt", RIGHT + "{% include '_reprot.id.txt' %}", "_reprot.id.txt"),
        ("warning.id.txt", RIGHT + "{{ person.__class__.__mro__ }}", "no field '__class__' here"),
        ("warning.id.txt", RIGHT + "{{ ''.__class__.__mro__ }}", "unsafe"),
        ("warning.id.txt", "\n\nYth.", "texts/warning.id.txt:1: the first line is the subject, and it is empty"),
        ("warning.id.txt", "", "the first line is the subject"),
        ("warning.id.txt", "{{ report.ticket }}\nYth.", "an empty line must follow the subject"),
        ("warning.id.txt", "{{ report.ticket }}\n\n", "nothing follows the subject"),
        ("warning.id.txt", "Tenggat\n\nYth.", "the subject must hold {{ report.ticket }}"),
        ("escalaton.id.txt", RIGHT, "texts/escalaton.id.txt: no such text; there are _report.en.txt, "),
    ],
)  # fmt: skip
def test_fault_of_a_text_is_told_with_its_file_and_line(tmp_path: Path, name: str, text: str, fault: str) -> None:
    found = faults(tmp_path, {name: text})
    assert fault in found[0]
    assert len(found) == 1, "and once, however many include it"


def test_text_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    folder = own(tmp_path, {})
    (folder / "texts" / "warning.id.txt").write_bytes(b"\xff")
    assert "texts/warning.id.txt: cannot be read" in faults(folder, {})[0]


def test_all_faults_of_all_texts_are_told_at_once(tmp_path: Path) -> None:
    found = faults(tmp_path, {"warning.id.txt": RIGHT + "{{ a }}{{ b }}", "digest.en.txt": "{%", "x.txt": ""})
    assert len(found) == 4


def test_page_on_notices_names_every_kind_and_every_fact() -> None:
    page = (HERE.parent / "docs" / "notices.md").read_text(encoding="utf-8")
    names = {*KINDS, *(name for kind in (Told, Single, Several, Frame) for name in kind.__dataclass_fields__)}
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []


def test_every_kind_is_shipped_in_every_language() -> None:
    there = {path.name for path in (HERE / "texts").iterdir()}
    assert {f"{kind}.{language}.txt" for kind in KINDS for language in LANGUAGES} <= there
