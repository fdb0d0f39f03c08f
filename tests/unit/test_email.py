"""Mail as it leaves: readable by any mail program, and no field smuggles in another header."""

from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.delivery.email import compose
from bridge.delivery.errors import Fault, NotDelivered
from bridge.delivery.smtp import _with_dots

GIVEN = {
    "sender": "jembatan@bpsk.example",
    "to_name": "Ani Rahmawati",
    "to_address": "ani@bpsk.example",
    "subject": "Laporan baru",
    "text": "Yth. Ani,\n\n.titik di awal\n",
    "html": "<p>Yth. Ani</p>\n",
    "delivery_id": "d-1",
    "ticket": "K7Q2-9XWM-4T8S",
}


def read(**changed: Any) -> EmailMessage:
    """Compose a message and read it as a mail program does."""
    sent = compose(**{**GIVEN, **changed}).as_bytes()
    assert sent.isascii()
    assert max(len(line) for line in sent.split(b"\n")) <= 998
    return message_from_bytes(sent, policy=policy.default)  # type: ignore[return-value]


def test_all_mail_about_a_report_is_one_thread_and_no_mail_is_its_root() -> None:
    first, second, other = read(), read(delivery_id="d-2"), read(delivery_id="d-3", ticket="AAAA-BBBB-CCCC")
    root = "<K7Q2-9XWM-4T8S@bpsk.example>"
    assert [m["References"] for m in (first, second)] == [m["In-Reply-To"] for m in (first, second)] == [root, root]
    assert other["References"] != root
    assert len({m["Message-ID"] for m in (first, second, other)} | {root}) == 4


def test_mail_about_several_reports_belongs_to_no_thread() -> None:
    message = read(ticket=None)
    assert (message["References"], message["In-Reply-To"]) == (None, None)


def test_nothing_answers_by_itself_and_filters_know_the_list() -> None:
    message = read(language="en")
    assert (message["Auto-Submitted"], message["X-Auto-Response-Suppress"]) == ("auto-generated", "All")
    assert message["List-Id"] == "Jembatan BPSK <notices.bpsk.example>"
    assert message["Content-Language"] == "en"


def test_only_what_may_be_turned_off_says_where_and_one_click_only_where_it_works() -> None:
    url = "https://jembatan.example/desk/me"
    names = ("List-Unsubscribe", "List-Unsubscribe-Post")
    assert [read()[name] for name in names] == [None, None]
    assert [read(unsubscribe_url=url)[name] for name in names] == [f"<{url}>", None]
    both = read(unsubscribe_url=url, one_click=True)
    assert [both[name] for name in names] == [f"<{url}>", "List-Unsubscribe=One-Click"]
    assert read(one_click=True)["List-Unsubscribe-Post"] is None


@pytest.mark.parametrize("sign", ["", "– “leasing”"])
def test_long_subject_is_folded_where_it_may_be_and_arrives_whole(sign: str) -> None:
    subject = (
        f"Eskalasi tingkat 2 K7Q2-9XWM-4T8S: {'Penarikan kendaraan bermotor tanpa surat tugas ' * 4}{sign}".strip()
    )
    sent = compose(**{**GIVEN, "subject": subject}).as_bytes()
    header = sent.partition(b"\nSubject: ")[2].partition(b"\nDate:")[0]
    first, *rest = header.split(b"\n")
    assert max(len(b"Subject: " + first), *map(len, rest)) <= 78
    assert all(line.startswith(b" ") for line in rest)
    assert read(subject=subject)["Subject"] == subject


@given(
    text=st.text(max_size=400),
    subject=st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=200),
    url=st.sampled_from([None, "https://jembatan.example/desk/me", "https://jembatan.example/" + "x" * 100]),
)
@example(text=".\n..\nFrom here\n", subject="=?utf-8?q?x?=", url=None)
@example(text="", subject="satu " * 30, url=None)
def test_mail_server_gets_what_the_library_would_write(text: str, subject: str, url: str | None) -> None:
    message = compose(**{**GIVEN, "text": text, "html": text, "subject": subject, "unsubscribe_url": url})
    library = message.as_bytes(policy=policy.compat32.clone(linesep="\r\n"))
    wire = _with_dots(message)
    assert wire.endswith(b"\r\n.\r\n")
    assert wire.removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n.") == library


def body(message: EmailMessage, subtype: str) -> str:
    """Return the text of one of its two forms."""
    part = message.get_body((subtype,))
    assert part
    return str(part.get_content())


def test_message_says_who_to_whom_about_what_and_belongs_to_its_thread() -> None:
    message = read()
    assert str(message["From"]) == "Jembatan BPSK <jembatan@bpsk.example>"
    assert str(message["To"]) == "Ani Rahmawati <ani@bpsk.example>"
    assert message["Message-ID"] == "<d-1@bpsk.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "multipart/alternative"
    assert (body(message, "plain"), body(message, "html")) == (GIVEN["text"], GIVEN["html"])


#: What a JSON string can hold, but for lone surrogates, which no UTF-8 body can.
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(subject=ANY_TEXT, name=ANY_TEXT)
def test_subject_and_name_add_no_header_and_arrive_as_they_are(subject: str, name: str) -> None:
    message = read(subject=subject, to_name=name)
    assert sorted(key.lower() for key in message) == sorted(key.lower() for key in read())
    assert message["To"].addresses[0].addr_spec == GIVEN["to_address"]
    if subject.isprintable():
        assert str(message["Subject"]).split() == subject.split()


@given(text=st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n")))
def test_text_arrives_as_it_is(text: str) -> None:
    assert body(read(text=text), "plain") == text


@pytest.mark.parametrize(
    "address",
    ["ani@bpsk.example\r\nBcc: all@example", "ani @bpsk.example", "ani@bpsk.example, budi@bpsk.example", "<ani@x>",
     "añi@bpsk.example", "ani@bpsk.example\0"],
)  # fmt: skip
def test_address_no_header_can_hold_is_refused_for_good(address: str) -> None:
    with pytest.raises(NotDelivered) as refused:
        compose(**{**GIVEN, "to_address": address})
    assert (refused.value.permanent, refused.value.fault) == (True, Fault.OURS)
