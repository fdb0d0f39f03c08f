"""Mail as it leaves: readable by any mail program, and no field smuggles in another header."""

from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.delivery.email import compose
from bridge.delivery.errors import NotDelivered

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


def read(**changed: str) -> EmailMessage:
    """Compose a message and read it as a mail program does."""
    sent = compose(**{**GIVEN, **changed}).as_bytes()
    assert sent.isascii()
    assert max(len(line) for line in sent.split(b"\n")) <= 998
    return message_from_bytes(sent, policy=policy.default)  # type: ignore[return-value]


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
    assert message["References"] == "<K7Q2-9XWM-4T8S@bpsk.example>"
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
    assert refused.value.permanent
