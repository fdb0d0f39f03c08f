"""Signatures against the known answers and the negatives of Standard Webhooks (reference/webhooks.md section 2)."""

import base64
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.signing import TOLERANCE_S, BadKey, NotAuthentic, sign, signing_key, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY, OTHER_KEY = signing_key(SECRET), bytes(32)
ID, AT = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
WRONG = sign(OTHER_KEY, ID, AT, BODY)

KNOWN_ANSWERS = [
    (BODY, SIGNATURE, "1: the one of every library"),
    (b"", "v1,v48jdbgvh29KJz2Qc+ghw8G6vG3nAKnujWBg8oM/62A=", "2: empty"),
    (
        '{"kota":"Jakarta","isi":"harga naik – Rp50.000 😠"}'.encode(),
        "v1,OotZ7ujK/ML9NJ8jPWXsfk8JW8jZUnJngdkv2+Ox2Fo=",
        "3: beyond ASCII",
    ),
    (b"\xff\xfe\x00{}", "v1,AqSnxDws4x8cqJTgpKdp36Jm+tbqOjwdFeJ56KmWvhU=", "4: not even text"),
]


def headers(**changed: str | None) -> dict[str, str]:
    """The headers of vector 1; `signature=None` leaves that one out."""
    given_ones = {"id": ID, "timestamp": str(AT), "signature": SIGNATURE, **changed}
    return {f"webhook-{name}": value for name, value in given_ones.items() if value is not None}


def reason(sent: dict[str, str], *, keys: tuple[bytes, ...] = (KEY,), now_s: float = AT, body: bytes = BODY) -> str:
    """Why it is not authentic."""
    with pytest.raises(NotAuthentic) as refused:
        verify(keys, sent, body, now_s=now_s)
    return refused.value.reason


@pytest.mark.parametrize(("body", "signature", "remark"), KNOWN_ANSWERS)
def test_sender_signs_as_the_known_answers_say(body: bytes, signature: str, remark: str) -> None:
    assert sign(KEY, ID, AT, body) == signature, remark


@pytest.mark.parametrize(("body", "signature", "remark"), KNOWN_ANSWERS)
def test_receiver_takes_what_the_known_answers_signed(body: bytes, signature: str, remark: str) -> None:
    assert verify([KEY], headers(signature=signature), body, now_s=AT) == ID, remark


@given(
    st.binary(min_size=24), st.from_regex(r"[!-+\-/-~]{1,40}", fullmatch=True), st.integers(0, 10**12 - 1), st.binary()
)
def test_whatever_is_signed_is_taken_under_the_same_key(key: bytes, webhook_id: str, at: int, body: bytes) -> None:
    sent = {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(at),
        "webhook-signature": sign(key, webhook_id, at, body),
    }
    assert verify([key], sent, body, now_s=at) == webhook_id
    assert reason(sent, keys=(key + b"!",), now_s=at, body=body) == "invalid_signature"


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"id": None}, "header_grammar", "no id"),
    ({"timestamp": None}, "header_grammar", "no timestamp"),
    ({"signature": None}, "invalid_signature", "no signature"),
    ({"id": ""}, "header_grammar", "empty id"),
    ({"id": "msg_a.b"}, "header_grammar", "the separator within the id"),
    ({"id": f"{ID},{ID}"}, "header_grammar", "two ids joined by the server"),
    ({"id": "m" * 257}, "header_grammar", "id too long"),
    ({"id": ID + "\n"}, "header_grammar", "id with a line end"),
    ({"id": "msg ü"}, "header_grammar", "id beyond ASCII"),
    ({"timestamp": "hello"}, "header_grammar", "timestamp of letters"),
    ({"timestamp": f" {AT}"}, "header_grammar", "timestamp with a blank"),
    ({"timestamp": f"+{AT}"}, "header_grammar", "timestamp with a sign"),
    ({"timestamp": f"{AT}.9"}, "header_grammar", "timestamp with a fraction"),
    ({"timestamp": "1_614265330"}, "header_grammar", "timestamp with an underscore"),
    ({"timestamp": "１６１４２６５３３０"}, "header_grammar", "timestamp in full-width digits"),
    ({"timestamp": f"{AT}\n"}, "header_grammar", "timestamp with a line end"),
    ({"timestamp": "1" * 13}, "header_grammar", "timestamp too long"),
    ({"timestamp": f"0{AT}"}, "invalid_signature", "timestamp written otherwise than it was signed"),
    ({"signature": ""}, "invalid_signature", "empty"),
    ({"signature": "v1,"}, "invalid_signature", "empty after the version"),
    ({"signature": SIGNATURE[:-6]}, "invalid_signature", "truncated"),
    ({"signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA="}, "invalid_signature", "last character changed"),
    (
        {"signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OF="},
        "invalid_signature",
        "bits nobody reads changed",
    ),
    ({"signature": SIGNATURE.removeprefix("v1,")}, "invalid_signature", "no version"),
    ({"signature": SIGNATURE.replace("v1,", "v2,")}, "invalid_signature", "unknown version"),
    ({"signature": SIGNATURE.replace("v1,", "v1a,")}, "invalid_signature", "version of another kind of key"),
    ({"signature": SIGNATURE.replace(",", ",,")}, "invalid_signature", "two commas"),
    ({"signature": f"{WRONG},{SIGNATURE}"}, "invalid_signature", "two headers joined by the server"),
    ({"signature": SIGNATURE + "\n"}, "invalid_signature", "line end"),
    ({"signature": "v1,ä" + SIGNATURE[4:]}, "invalid_signature", "beyond ASCII"),
    ({"signature": "v1," + "!" * 44}, "invalid_signature", "not base64"),
    ({"signature": " ".join([WRONG] * 20 + [SIGNATURE])}, "invalid_signature", "more signatures than anybody rotates"),
]


@pytest.mark.parametrize(("changed", "expected", "remark"), REFUSED, ids=[row[2] for row in REFUSED])
def test_forged_or_malformed_headers_are_refused(changed: dict[str, Any], expected: str, remark: str) -> None:
    assert reason(headers(**changed)) == expected, remark


ACCEPTED = [
    f"{WRONG} v2,{SIGNATURE[3:]} {SIGNATURE} {WRONG}",
    f"v1a,AAAA {SIGNATURE}",
    f"{SIGNATURE}  {WRONG}",
    f"  {SIGNATURE}",
    f"nonsense ,, v1, {SIGNATURE}",
]


@pytest.mark.parametrize("signature", ACCEPTED)
def test_right_signature_is_found_among_others_and_nonsense(signature: str) -> None:
    assert verify([KEY], headers(signature=signature), BODY, now_s=AT) == ID


@pytest.mark.parametrize("keys", [(KEY, OTHER_KEY), (OTHER_KEY, KEY)])
def test_each_live_key_is_tried_while_keys_rotate(keys: tuple[bytes, ...]) -> None:
    assert verify(keys, headers(), BODY, now_s=AT) == ID
    assert verify(keys, headers(signature=WRONG), BODY, now_s=AT) == ID


@pytest.mark.parametrize("keys", [(), (OTHER_KEY,)], ids=["no key", "another key"])
def test_source_without_the_right_key_takes_nothing(keys: tuple[bytes, ...]) -> None:
    assert reason(headers(), keys=keys) == "invalid_signature"


@pytest.mark.parametrize("away_s", [-TOLERANCE_S, -1, 0, 1, TOLERANCE_S])
def test_clock_five_minutes_away_is_accepted_both_ways(away_s: int) -> None:
    assert verify([KEY], headers(), BODY, now_s=AT + away_s) == ID


@pytest.mark.parametrize("away_s", [-TOLERANCE_S - 1, -300.5, 300.5, TOLERANCE_S + 1, 10**9])
def test_older_or_later_than_five_minutes_is_stale(away_s: float) -> None:
    assert reason(headers(), now_s=AT + away_s) == "stale"


def test_stale_is_only_said_of_what_was_signed_at_all() -> None:
    assert reason(headers(signature=WRONG), now_s=AT + 9999) == "invalid_signature"


anything = st.one_of(st.text(max_size=80), st.binary(max_size=80).map(lambda raw: raw.decode("latin-1")))
signatures = st.lists(st.one_of(anything, st.just(SIGNATURE), st.from_regex(r"v1a?,[A-Za-z0-9+/=]*")), max_size=5)


@given(st.fixed_dictionaries({}, optional={f"webhook-{name}": anything for name in ("id", "timestamp", "signature")}))
def test_no_header_whatever_raises_anything_but_not_authentic(sent: dict[str, str]) -> None:
    assert reason(sent) in ("header_grammar", "invalid_signature")


@given(signatures.map(" ".join), st.binary(max_size=50))
def test_no_list_of_signatures_raises_anything_but_not_authentic(signature: str, body: bytes) -> None:
    try:
        assert verify([KEY], headers(signature=signature), body, now_s=AT) == ID
    except NotAuthentic:
        return
    assert body == BODY
    assert SIGNATURE in signature.split(" ")


@given(st.integers(0, 8 * len(BODY) - 1))
def test_any_flipped_bit_of_the_body_is_refused(bit: int) -> None:
    body = bytearray(BODY)
    body[bit // 8] ^= 1 << bit % 8
    assert reason(headers(), body=bytes(body)) == "invalid_signature"


@pytest.mark.parametrize("name", ["id", "timestamp", "signature"])
def test_any_flipped_bit_of_a_header_is_refused(name: str) -> None:
    right = headers()[f"webhook-{name}"]
    for bit in range(7 * len(right)):
        place, flip = bit // 7, 1 << bit % 7
        flipped = right[:place] + chr(ord(right[place]) ^ flip) + right[place + 1 :]
        assert reason(headers(**{name: flipped})) in ("header_grammar", "invalid_signature"), flipped


@pytest.mark.parametrize("cut", range(1, len(BODY)))
def test_text_moved_between_timestamp_and_body_is_refused(cut: int) -> None:
    moved = headers(timestamp=f"{AT}.{BODY[:cut].decode()}")
    assert reason(moved, body=BODY[cut:].removeprefix(b".")) == "header_grammar"


PLAIN = SECRET.removeprefix("whsec_")
PADDED = base64.b64encode(bytes(25)).decode()


@pytest.mark.parametrize("text", [SECRET, PLAIN, f"whsec_{PADDED}", PADDED, PADDED.rstrip("=")])
def test_key_is_read_with_or_without_prefix_and_padding(text: str) -> None:
    assert signing_key(text) in (KEY, bytes(25))


BAD_KEYS = [
    ("", "only 0 bytes"),
    ("whsec_", "only 0 bytes"),
    ("whsec_" + base64.b64encode(bytes(23)).decode(), "only 23 bytes; at least 24"),
    ("v1,whsec_" + PLAIN, "not base64"),
    (f"{PLAIN} {PLAIN}", "not base64"),
    (PLAIN + "\n", "not base64"),
    ("whsec_" + "A" * 33, "not base64"),
    ("whsec_ü" + PLAIN, "not base64"),
]


@pytest.mark.parametrize(("text", "why"), BAD_KEYS)
def test_key_too_short_or_not_base64_is_refused_with_reason(text: str, why: str) -> None:
    with pytest.raises(BadKey, match=re.escape(why)):
        signing_key(text)


@given(st.text())
def test_any_text_is_a_long_enough_key_or_bad(text: str) -> None:
    try:
        assert len(signing_key(text)) >= 24
    except BadKey:
        return


def test_error_about_a_bad_key_never_repeats_the_key() -> None:
    short = base64.b64encode(b"top secret, short").decode()
    for text in (short, "not! base64? " + short):
        with pytest.raises(BadKey) as refused:
            signing_key(text)
        assert short not in str(refused.value)
