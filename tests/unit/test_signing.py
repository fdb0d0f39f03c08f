"""Signatures against the known answers and the negatives of Standard Webhooks (reference/webhooks.md section 2)."""

import base64
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.signing import (
    TOLERANCE_S,
    BadKey,
    NotAuthentic,
    matched,
    sending_key,
    sign,
    signing_key,
    verify,
    verifying_key,
)

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


# --- v1a, Ed25519 ---------------------------------------------------------------------------------------------------

PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
V1A = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
PUBLIC_KEY = verifying_key(PUBLIC)


def test_ed25519_signs_and_is_taken_as_the_known_answer_says() -> None:
    assert sign(sending_key(PRIVATE), ID, AT, BODY) == V1A
    assert matched([PUBLIC_KEY], headers(signature=V1A), BODY, now_s=AT) == (ID, 0)


def test_private_half_alone_signs_the_same() -> None:
    half = base64.b64encode(base64.b64decode(PRIVATE[5:])[:32]).decode()
    assert sign(sending_key(f"whsk_{half}"), ID, AT, BODY) == V1A


def test_shared_and_public_keys_stand_side_by_side_and_the_one_that_matched_is_named() -> None:
    keys = [verifying_key(SECRET), PUBLIC_KEY]
    assert matched(keys, headers(), BODY, now_s=AT).key_number == 0
    assert matched(keys, headers(signature=V1A), BODY, now_s=AT).key_number == 1
    assert matched(keys, headers(signature=f"{V1A} {SIGNATURE}"), BODY, now_s=AT).key_number == 0


@pytest.mark.parametrize(
    "signature",
    ["v1a,", V1A[:-1], V1A[:-4] + "AA==", V1A[:-3] + "h==", V1A + "=", V1A.replace("v1a", "v1"), V1A.replace("v1a", "v2a"),
     "v1a," + "A" * 86 + "==", "v1a," + "A" * 85 + "B==", "v1a,ä" + V1A[5:], SIGNATURE.replace("v1", "v1a"), V1A + "\n"],
)  # fmt: skip
def test_forged_ed25519_signatures_are_refused(signature: str) -> None:
    with pytest.raises(NotAuthentic):
        verify([PUBLIC_KEY], headers(signature=signature), BODY, now_s=AT)


@pytest.mark.parametrize("changed", [{"body": BODY + b" "}, {"id": "msg_2"}, {"timestamp": str(AT + 1)}])
def test_ed25519_covers_id_time_and_body(changed: dict[str, Any]) -> None:
    said = {"body": BODY, **changed}
    body = said.pop("body")
    with pytest.raises(NotAuthentic):
        verify([PUBLIC_KEY], headers(signature=V1A, **said), body, now_s=AT)


def test_public_key_used_as_a_shared_one_opens_nothing() -> None:
    # Whoever knows the public key must not be able to make a v1 signature that counts.
    forged = sign(base64.b64decode(PUBLIC[5:]), ID, AT, BODY)
    with pytest.raises(NotAuthentic):
        verify([PUBLIC_KEY], headers(signature=forged), BODY, now_s=AT)


@pytest.mark.parametrize(
    ("text", "why"),
    [(PRIVATE, "the sender's private key"), ("whpk_", "has 32 bytes, this one has 0"), ("whpk_" + PLAIN, "this one has 24"),
     ("whpk_!", "not base64"), ("", "only 0 bytes")],
)  # fmt: skip
def test_what_cannot_check_signatures_is_refused_with_reason(text: str, why: str) -> None:
    with pytest.raises(BadKey, match=re.escape(why)) as refused:
        verifying_key(text)
    assert PRIVATE[5:] not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "why"), [(PUBLIC, "not base64"), ("whsk_" + PLAIN, "this one has 24"), ("whsk_ä", "not base64")]
)
def test_what_cannot_make_signatures_is_refused_with_reason(text: str, why: str) -> None:
    with pytest.raises(BadKey, match=re.escape(why)):
        sending_key(text)
