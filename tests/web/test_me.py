"""A person's own settings: kept when they make sense, refused in words when not; and a test by each of their channels."""

from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from bridge.desk.me import TESTS
from bridge.links import AckLink
from bridge.reports.people import Person, Role
from bridge.storage import people
from tests.servers import Answer, CityReceiver
from tests.web.office import Office

ME = "/desk/me"
FORM = {"language": "id", "quiet_from": "", "quiet_until": "", "digest": "", "stand_in": ""}
KEY = "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU="


def of(office: Office, name: str) -> Person:
    """Return somebody as they are kept."""
    with office.service.database.read() as connection:
        return people.one(connection, name)


def change(where: Office, name: str, **fields: Any) -> None:
    """Change somebody behind the page's back."""
    with where.service.database.write() as connection:
        people.set_fields(connection, name, **fields)


def test_what_somebody_chooses_is_kept_and_shown_again(office: Office) -> None:
    budi = office.inside("budi")
    chosen = {"quiet_from": "20:00", "quiet_until": "06:00", "digest": "13.00, 07:30", "stand_in": "ani"}
    answer = budi.post(ME, **FORM | chosen, tell="withdrawn")
    assert (answer.status_code, answer.location) == (302, f"{ME}?saved=1")
    kept = of(office, "budi")
    assert (kept.quiet, kept.digest, kept.stand_in) == ("20:00-06:00", "07:30 13:00", "ani")
    assert kept.turned_off == ("warning", "amended")
    text = budi.get(answer.location).text
    for shown in ("Tersimpan", 'value="20:00"', 'value="06:00"', 'value="07:30 13:00"', 'value="ani" selected'):
        assert shown in text, shown
    assert 'value="withdrawn" checked' in text
    assert 'value="warning" checked' not in text


def test_everything_is_taken_back_by_an_empty_form(office: Office) -> None:
    change(office, "budi", quiet="20:00-06:00", digest="07:30", stand_in="ani", turned_off=["warning"])
    office.inside("budi").post(ME, **FORM)
    kept = of(office, "budi")
    assert (kept.quiet, kept.digest, kept.stand_in) == ("", "", None)
    assert kept.turned_off == ("warning", "amended", "withdrawn")


def test_language_chosen_is_the_language_of_pages_and_mail(office: Office) -> None:
    office.add_person("eka", Role.OFFICER, password_hash=office.password_hash)
    eka = office.inside("eka")
    eka.post(ME, **FORM | {"language": "en"})
    assert of(office, "eka").language == "en"
    assert "My settings" in eka.get(ME).text


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"quiet_from": "20:00"}, "Isi kedua jam"),
        ({"quiet_from": "20:00", "quiet_until": "20:00"}, "Isi kedua jam"),
        ({"quiet_from": "25:00", "quiet_until": "06:00"}, "Isi kedua jam"),
        ({"quiet_from": "malam", "quiet_until": "pagi"}, "Isi kedua jam"),
        ({"digest": "pagi"}, "Tulis jam seperti 07:30 13:00"),
        ({"digest": " ".join(f"{hour:02}:00" for hour in range(12))}, "paling banyak 8"),
        ({"language": "xx"}, "Pilih salah satu bahasa"),
        ({"stand_in": "nobody"}, "Pilih rekan dari kantor Anda"),
        ({"stand_in": "ani"}, "Pilih rekan dari kantor Anda"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words_and_nothing_is_kept(
    office: Office, wrong: dict[str, str], said: str
) -> None:
    before = of(office, "ani")
    answer = office.inside("ani").post(ME, **FORM | wrong)
    assert (answer.status_code, said in answer.text, "Belum tersimpan" in answer.text) == (422, True, True)
    assert of(office, "ani") == before


def test_what_was_typed_stays_in_the_form_when_it_is_refused(office: Office) -> None:
    text = office.inside("ani").post(ME, **FORM | {"digest": "setiap pagi", "quiet_from": "21:00"}).text
    assert ('value="setiap pagi"' in text, 'value="21:00"' in text) == (True, True)


def test_stand_in_is_somebody_of_the_same_office(office: Office) -> None:
    office.add_person("fajar", Role.OFFICER)
    change(office, "fajar", office="bpsk-lain")
    text = office.inside("ani").get(ME).text
    assert ('value="budi"' in text, 'value="fajar"' in text, 'value="ani"' in text) == (True, False, False)


def test_page_says_what_always_comes_and_the_channels_in_order(office: Office) -> None:
    change(office, "ani", channels=["email", "telegram:8123456"])
    text = office.inside("ani").get(ME).text
    assert "keduanya tidak dapat dimatikan" in text
    assert text.index("ani@bpsk.example") < text.index("8123456") < text.index("tidak tersedia di sini")
    assert 'href="/desk/me"' in office.inside("ani").get("/desk/").text


# --- a test by each channel -----------------------------------------------------------------------------------------


@pytest.fixture
def receiver() -> Iterator[CityReceiver]:
    """The office's own system."""
    made = CityReceiver()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def wired(tmp_path: Path, receiver: CityReceiver) -> Iterator[Office]:
    """An office with mail as files, and a system of its own."""
    made = Office(
        tmp_path,
        OFFICE_WEBHOOK_URL=receiver.url,
        OFFICE_WEBHOOK_SECRET=KEY,
        BRIDGE_OUTGOING_ALLOW="127.0.0.1",
    )
    change(made, "ani", channels=["email", "office"])
    yield made
    made.close()


def test_a_test_goes_by_each_channel_and_says_what_each_answered(
    wired: Office, receiver: CityReceiver, tmp_path: Path
) -> None:
    receiver.answer_next(Answer(422, body=b"no <such> person"))
    text = wired.inside("ani").post(f"{ME}/test").text
    (written,) = (tmp_path / "mail").glob("*.eml")
    mailed = message_from_bytes(written.read_bytes(), policy=policy.default)
    assert mailed["To"] == "Ani <ani@bpsk.example>"
    assert "Uji coba" in mailed["Subject"]
    assert "✓ e-mail: diterima" in text
    assert "✗ office: tidak diterima" in text
    assert "no &lt;such&gt; person" in text
    assert len(receiver.requests) == 1


def test_tests_are_slowed_down_per_person(wired: Office, receiver: CityReceiver) -> None:
    ani = wired.inside("ani")
    statuses = [ani.post(f"{ME}/test").status_code for _ in range(TESTS + 1)]
    assert statuses == [200] * TESTS + [429]
    assert len(receiver.requests) == TESTS
    assert wired.inside("budi").post(f"{ME}/test").status_code == 200


def test_who_has_no_channel_is_told_where_everything_lies(wired: Office) -> None:
    change(wired, "budi", channels=[])
    assert "semuanya menunggu di kotak masuk" in wired.inside("budi").post(f"{ME}/test").text


# --- one click in a mail program (RFC 8058) ---------------------------------------------------------------------------


def test_one_click_turns_one_kind_off_without_a_login_and_is_safe_to_press_twice(office: Office) -> None:
    change(office, "adi", turned_off=[])
    change(office, "budi", turned_off=[])
    path = "/a/off/" + office.service.links.to_turn_off("adi", "warning").rpartition("/")[2]
    with office.app.test_client() as anybody:
        assert anybody.get(path).status_code == 200
        assert of(office, "adi").turned_off == (), "looking turns nothing off: scanners look"
        for _ in range(2):
            answer = anybody.post(path, data={"List-Unsubscribe": "One-Click"})
            assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
        assert of(office, "adi").turned_off == ("warning",)
        other = "/a/off/" + office.service.links.to_turn_off("adi", "amended").rpartition("/")[2]
        anybody.post(other)
    assert of(office, "adi").turned_off == ("warning", "amended"), "what was off stays off"
    assert of(office, "budi").turned_off == ()


@pytest.mark.parametrize("kind", ["new_report", "escalation"])
def test_no_link_turns_off_what_nobody_may(office: Office, kind: str) -> None:
    change(office, "adi", turned_off=[])
    path = "/a/off/" + office.service.links.to_turn_off("adi", kind).rpartition("/")[2]
    assert office.app.test_client().post(path).status_code == 404
    assert of(office, "adi").turned_off == ()


@pytest.mark.parametrize("token", ["x", "WyJhbmkiLCJ3YXJuaW5nIl0.bad", "%00"])
def test_link_of_somebody_else_turns_nothing_off(office: Office, token: str) -> None:
    change(office, "adi", turned_off=[])
    answer = office.app.test_client().post(f"/a/off/{token}")
    assert answer.status_code == 404
    assert of(office, "adi").turned_off == ()


def test_link_to_acknowledge_turns_nothing_off(office: Office) -> None:
    ack = office.service.links.to_acknowledge(AckLink("r", 1, "adi")).rpartition("/")[2]
    assert office.app.test_client().post(f"/a/off/{ack}").status_code == 404
