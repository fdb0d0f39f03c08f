"""The ways a source may prove itself: right, wrong, malformed, empty, several keys, and the key that opens nothing."""

import base64
import hmac
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.keyring import Keyring
from bridge.receiver.doors import Door, Verified
from bridge.schemes import SCHEMES, Headers, Shown, first_equal
from bridge.signing import BadKey, NotAuthentic, sign

NOW_S = 1_790_000_000
BODY = b'{"data": {"id": "1"}}'
HEADERS = Headers("X-Hub-Signature-256", "webhook-id")
#: Two keys for each scheme, as an operator writes them.
KEYS = {
    "standard-webhooks": ["whsec_" + base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2)],
    "hmac-sha256": ["the first key of a city app", "the second key of the city app"],
    "basic": ["city:the first password of a city", "city:the second: with a colon"],
    "bearer": ["the-first-token-of-a-city-app", "the-second-token-of-a-city-app"],
}
OPEN = list(KEYS)


def shown_by(scheme: str, key: str, body: bytes = BODY) -> dict[str, str]:
    """Return the WSGI variables of a sender that holds this key."""
    match scheme:
        case "standard-webhooks":
            signature = sign(base64.b64decode(key.removeprefix("whsec_")), "msg_1", NOW_S, body)
            return standard(signature)
        case "hmac-sha256":
            return {"HTTP_X_HUB_SIGNATURE_256": "sha256=" + hmac.new(key.encode(), body, sha256).hexdigest()}
        case "basic":
            return {"HTTP_AUTHORIZATION": "Basic " + base64.b64encode(key.encode()).decode()}
        case _:
            return {"HTTP_AUTHORIZATION": "Bearer " + key.encode().decode("latin-1")}


def standard(signature: str) -> dict[str, str]:
    """Return the variables of Standard Webhooks."""
    return {
        "HTTP_WEBHOOK_ID": "msg_1",
        "HTTP_WEBHOOK_TIMESTAMP": str(NOW_S),
        "HTTP_WEBHOOK_SIGNATURE": signature,
    }


def check(scheme: str, environ: dict[str, Any], keys: list[str], body: bytes = BODY) -> tuple[str, int]:
    """Ask a scheme about a request."""
    known = SCHEMES[scheme]
    return known.check([known.read_key(key) for key in keys], Shown(environ, HEADERS, body, NOW_S))


def refused(scheme: str, environ: dict[str, Any], keys: list[str], body: bytes = BODY) -> bool:
    """Tell whether a scheme refuses a request."""
    try:
        check(scheme, environ, keys, body)
    except NotAuthentic:
        return True
    return False


@pytest.mark.parametrize("scheme", OPEN)
@pytest.mark.parametrize("place", [0, 1])
def test_each_of_several_keys_opens_and_is_named(scheme: str, place: int) -> None:
    assert check(scheme, shown_by(scheme, KEYS[scheme][place]), KEYS[scheme])[1] == place


@pytest.mark.parametrize("scheme", OPEN)
def test_key_that_is_not_among_them_opens_nothing(scheme: str) -> None:
    assert refused(scheme, shown_by(scheme, KEYS[scheme][1]), KEYS[scheme][:1])


@pytest.mark.parametrize("scheme", ["standard-webhooks", "hmac-sha256"])
@pytest.mark.parametrize("body", [BODY + b" ", BODY[:-1], b""])
def test_signature_of_another_body_opens_nothing(scheme: str, body: bytes) -> None:
    assert refused(scheme, shown_by(scheme, KEYS[scheme][0]), KEYS[scheme], body)


@pytest.mark.parametrize("scheme", OPEN)
def test_body_may_be_empty_or_no_text(scheme: str) -> None:
    for body in (b"", b"\xff\x00"):
        assert check(scheme, shown_by(scheme, KEYS[scheme][0], body), KEYS[scheme], body)[1] == 0


RIGHT_HEX = hmac.new(KEYS["hmac-sha256"][0].encode(), BODY, sha256).hexdigest()
RIGHT_BASIC = base64.b64encode(KEYS["basic"][0].encode()).decode()
RIGHT_TOKEN = KEYS["bearer"][0]
MALFORMED = [
    *(("hmac-sha256", "HTTP_X_HUB_SIGNATURE_256", text) for text in (
        "", "sha256=", RIGHT_HEX, f"sha1={RIGHT_HEX}", f"SHA256={RIGHT_HEX}", f"sha256={RIGHT_HEX[:-1]}", f"sha256={RIGHT_HEX}0",
        f"sha256={RIGHT_HEX}\n", f"sha256= {RIGHT_HEX}", f"sha256={RIGHT_HEX},sha256={RIGHT_HEX}", f"sha256={'z' * 64}",
        f"sha256={'ä' * 64}", f"sha256={'１' * 64}",
    )),
    *(("basic", "HTTP_AUTHORIZATION", text) for text in (
        "", "Basic", "Basic ", RIGHT_BASIC, f"Bearer {RIGHT_BASIC}", f"Basic  {RIGHT_BASIC}", f"Basic {RIGHT_BASIC[:-2]}",
        f"Basic {RIGHT_BASIC}\n", f"Basic {RIGHT_BASIC}, Basic {RIGHT_BASIC}", "Basic !!!!", "Basic ä", "Basic ====",
        "Basic " + base64.b64encode(b"city").decode(), "Basic " + base64.b64encode(b":").decode(),
    )),
    *(("bearer", "HTTP_AUTHORIZATION", text) for text in (
        "", "Bearer", "Bearer ", RIGHT_TOKEN, f"Basic {RIGHT_TOKEN}", f"Bearer  {RIGHT_TOKEN}", f"Bearer {RIGHT_TOKEN} ",
        f"Bearer {RIGHT_TOKEN[:-1]}", f"Bearer {RIGHT_TOKEN}x", f"Bearer {RIGHT_TOKEN.upper()}", "Bearer ä", "Bearer \ud83d",
    )),
]  # fmt: skip


@pytest.mark.parametrize(("scheme", "name", "text"), MALFORMED)
def test_malformed_headers_are_refused(scheme: str, name: str, text: str) -> None:
    assert refused(scheme, {name: text}, KEYS[scheme])


@pytest.mark.parametrize(("scheme", "word"), [("basic", "bAsIc"), ("bearer", "BEARER")])
def test_name_of_the_authorization_scheme_may_be_in_any_case(scheme: str, word: str) -> None:
    _, _, rest = shown_by(scheme, KEYS[scheme][0])["HTTP_AUTHORIZATION"].partition(" ")
    assert check(scheme, {"HTTP_AUTHORIZATION": f"{word} {rest}"}, KEYS[scheme])[1] == 0


def test_hexadecimal_digits_may_be_large() -> None:
    assert (
        check("hmac-sha256", {"HTTP_X_HUB_SIGNATURE_256": f"sha256={RIGHT_HEX.upper()}"}, KEYS["hmac-sha256"])[1] == 0
    )


@pytest.mark.parametrize("scheme", ["hmac-sha256", "basic", "bearer"])
def test_secret_beyond_ascii_is_compared_as_its_utf8(scheme: str) -> None:
    key = "pengguna:kata sandi – 😠 yang panjang"
    assert check(scheme, shown_by(scheme, key), [key])[1] == 0


@pytest.mark.parametrize("scheme", OPEN)
@pytest.mark.parametrize("text", ["", "short", "a:b", "23 bytes of a key, only"])
def test_short_key_is_no_key(scheme: str, text: str) -> None:
    with pytest.raises(BadKey):
        SCHEMES[scheme].read_key(text)


def test_basic_needs_user_and_password() -> None:
    with pytest.raises(BadKey, match="user:password"):
        SCHEMES["basic"].read_key("a long text without a colon in it")


# --- ids ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["hmac-sha256", "basic", "bearer"])
def test_without_an_id_the_same_bytes_are_the_same_webhook(scheme: str) -> None:
    environ = shown_by(scheme, KEYS[scheme][0])
    assert check(scheme, environ, KEYS[scheme])[0] == f"sha256-{sha256(BODY).hexdigest()}"
    assert check(scheme, environ | {"HTTP_WEBHOOK_ID": "D-77"}, KEYS[scheme])[0] == "D-77"


@pytest.mark.parametrize("scheme", OPEN)
@pytest.mark.parametrize("webhook_id", ["a.b", "a,b", "a b", "ä", "m" * 257, "a\n"])
def test_id_out_of_grammar_is_refused(scheme: str, webhook_id: str) -> None:
    assert refused(scheme, shown_by(scheme, KEYS[scheme][0]) | {"HTTP_WEBHOOK_ID": webhook_id}, KEYS[scheme])


def test_headers_are_those_the_source_names() -> None:
    environ = shown_by("hmac-sha256", KEYS["hmac-sha256"][0])
    mine = {"HTTP_X_CITY": environ["HTTP_X_HUB_SIGNATURE_256"], "HTTP_X_DELIVERY": "D-1"}
    shown = Shown(mine, Headers("X-City", "x-delivery"), BODY, NOW_S)
    assert SCHEMES["hmac-sha256"].check([KEYS["hmac-sha256"][0].encode()], shown).webhook_id == "D-1"


# --- doors without a key --------------------------------------------------------------------------------------------


def decoyed(scheme: str) -> dict[str, str]:
    """Return what somebody would show who knows the key an unknown source is compared with."""
    decoy = SCHEMES[scheme].decoy
    shown: dict[str, Callable[[], dict[str, str]]] = {
        "standard-webhooks": lambda: standard(sign(decoy, "msg_1", NOW_S, BODY)),
        "hmac-sha256": lambda: {"HTTP_X_HUB_SIGNATURE_256": "sha256=" + hmac.new(decoy, BODY, sha256).hexdigest()},
        "basic": lambda: {"HTTP_AUTHORIZATION": "Basic " + base64.b64encode(decoy).decode()},
        "bearer": lambda: {"HTTP_AUTHORIZATION": "Bearer " + decoy.decode("latin-1")},
        "open311": dict,
    }
    return shown[scheme]()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("keyless", ["no keyring", "an empty one", "one with a short key only"])
def test_decoy_key_never_opens(scheme: str, keyless: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["short"] if "short" in keyless else []
    keys = Keyring(texts, tmp_path / "keys.json", id_of=str, read_key=SCHEMES[scheme].read_key)
    door = Door(SCHEMES[scheme], HEADERS, None if keyless == "no keyring" else keys)
    monkeypatch.setattr("bridge.receiver.doors.time.time", lambda: float(NOW_S))
    with pytest.raises(NotAuthentic):
        door.authentic(decoyed(scheme), BODY)
    with pytest.raises(NotAuthentic):
        door.api_key(bytes(32).decode())


@pytest.mark.parametrize("scheme", OPEN)
def test_door_names_the_key_that_matched(scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.receiver.doors.time.time", lambda: float(NOW_S))
    broken_first = ["short", *KEYS[scheme]]
    keys = Keyring(broken_first, tmp_path / "none", id_of=lambda t: t[-6:], read_key=SCHEMES[scheme].read_key)
    door = Door(SCHEMES[scheme], HEADERS, keys)
    for key in KEYS[scheme]:
        found = door.authentic(shown_by(scheme, key), BODY)
        assert found == Verified(found.webhook_id, key[-6:])


def test_no_webhook_is_an_open311_request() -> None:
    key = "an api key for open311 clients"
    for environ in ({}, *(shown_by(scheme, key) for scheme in ("hmac-sha256", "bearer"))):
        assert refused("open311", environ, [key])


@given(st.lists(st.binary(max_size=40), max_size=4), st.binary(max_size=40))
def test_first_equal_finds_the_first_and_only_equals(expected: list[bytes], asked: bytes) -> None:
    if asked in expected:
        assert first_equal(expected, asked) == expected.index(asked)
    else:
        with pytest.raises(NotAuthentic):
            first_equal(expected, asked)
