"""What an answer means, and what is kept of it."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.delivery.answers import judged, retry_after
from bridge.delivery.errors import Fault, NotDelivered, Taken
from bridge.delivery.guarded import Answer
from bridge.delivery.redaction import redacted


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body, True)


def refused(given_answer: Answer) -> NotDelivered:
    with pytest.raises(NotDelivered) as failed:
        judged(given_answer)
    return failed.value


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_two_hundreds_are_taken(status: int) -> None:
    assert judged(answer(status, b"terima kasih")) == Taken(status, "terima kasih")


@pytest.mark.parametrize("status", [400, 409])
def test_what_is_known_already_is_taken(status: int) -> None:
    assert judged(answer(status, b"Bad request: Already Exists")).status == status


@pytest.mark.parametrize(
    ("statuses", "fault", "permanent"),
    [
        ((301, 302, 303, 307, 308, 400, 401, 403, 404, 409, 413, 422, 451, 499), Fault.REFUSED, False),
        ((410,), Fault.REFUSED, True),
        ((408, 425, 429, 500, 501, 502, 503, 504, 507, 599, 100, 103, 600, 999), Fault.AWAY, False),
    ],
)
def test_status_says_whose_fault_it_is_and_whether_to_come_back(
    statuses: tuple[int, ...], fault: Fault, permanent: bool
) -> None:
    found = {status: refused(answer(status, b"no")) for status in statuses}
    assert {(error.fault, error.permanent, error.response) for error in found.values()} == {(fault, permanent, "no")}
    assert [error.status for error in found.values()] == list(statuses)


def test_receivers_wish_to_wait_is_passed_on() -> None:
    assert refused(answer(503, retry_after="120")).retry_after_s == 120.0
    at = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    waited = retry_after(at)
    assert waited is not None
    assert 3590 < waited <= 3600


@pytest.mark.parametrize(
    ("value", "waited_s"),
    [(" 7 ", 7.0), ("0", 0.0), ("Sun Nov  6 08:49:37 1994", 0.0), ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0)]
    + [
        (text, None)
        for text in (
            "-1",
            "1.5",
            "soon",
            "",
            "9" * 400,
            "99999999",
            "٣",
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "Sun, 99 Nov 1994 08:49:37 GMT",
        )
    ],
)
def test_wish_that_cannot_be_meant_is_none(value: str, waited_s: float | None) -> None:
    assert retry_after(value) == waited_s


@given(st.text(max_size=60))
def test_any_text_as_a_wish_to_wait_is_read_or_ignored(value: str) -> None:
    waited_s = retry_after(value)
    assert waited_s is None or 0 <= waited_s <= 31 * 86_400


# --- what is kept ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "secret",
    [
        "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVow", "whsk_abc", "whpk_abc", "v1,Zm9v", "v1a,Zm9v+/==", "Bearer abcd.efgh", "basic dXNlcg==",
        "siti.kenari@warga.example", "siti+1@a.b.co.id", "+62 812-0000-7777", "0812 0000 7777", "(021) 555-01234", "3174091203850001", "081200007777",
        "0123456789abcdef0123456789abcdef", "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo=", "K" * 32,
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_not_kept(secret: str) -> None:
    kept = redacted(f"error: {secret} is unknown")
    assert secret not in kept
    assert kept.startswith("error: ")
    assert kept.endswith(" is unknown")
    assert "[…]" in kept


@pytest.mark.parametrize(
    "text",
    [
        "Bad request: not found at line 12",
        "try again after 2026-11-24T10:00:00+07:00",
        "ticket K7Q2-9XWM-4T8R",
        "HTTP 503, 1200 ms, 10.1.2.3",
        "Rp 1.250.000",
    ],
)
def test_what_helps_to_find_the_fault_is_kept(text: str) -> None:
    assert redacted(text) == text


def test_our_own_secret_is_not_kept_however_it_is_echoed() -> None:
    key = "kunci & rahasia"
    echoed = "a=kunci & rahasia b=kunci+%26+rahasia c=kunci%20%26%20rahasia d=kunci &amp; rahasia"
    assert redacted(echoed, [key]) == "a=[…] b=[…] c=[…] d=[…]"


def test_answer_is_made_printable_and_short() -> None:
    assert redacted("a\x00b\x1b[31m\r\n\u202ec  d") == "a b [31m c d"
    assert len(redacted("kata " * 1000)) == 1000


@given(st.text(max_size=4096))
def test_whatever_is_kept_can_be_stored_and_shown(text: str) -> None:
    kept = redacted(text, ["rahasia"])
    assert len(kept) <= 1000
    assert kept.isprintable()
    assert kept.encode().decode() == kept
