"""channels.toml and the further addresses of a source: read with what is set here, every fault with its place."""

from pathlib import Path

import pytest

from bridge.reports.channels import RETRY_AFTER_S, Channel, Flood, Ways
from config.files import Configuration
from tests.unit.test_config_files import KEY, RIGHT, faults, read

CHANNELS = """
[email]
kind = "email"
fallback = "2 minutes"
[office]
kind = "webhook"
url = "OFFICE_URL"
secret = "OFFICE_SECRET"
retry = ["1 second", "10 minutes"]
[telegram]
kind = "apprise"
url = "TELEGRAM_URL"
[callbacks]
kind = "callbacks"
retry = ["5 seconds"]
[flood]
kind = "flood"
most = 5
within = "1 hour"
digest_every = "10 minutes"
"""


def found(folder: Path, text: str = CHANNELS, **variables: str) -> Configuration:
    return read(folder, RIGHT | {"channels.toml": text}, **variables)


def test_channels_are_read_with_their_patience_and_those_not_set_here_are_named(tmp_path: Path) -> None:
    channels = found(tmp_path, OFFICE_URL="https://office.example/hook", OFFICE_SECRET=f"{KEY} {KEY}").channels
    assert channels.ways == Ways(
        {"email": Channel("email", RETRY_AFTER_S, 120), "office": Channel("office", (1, 600), 900)},
        Channel("callbacks", (5,), 900),
        Flood(5, 3600, 600),
    )
    assert channels.unset == {"telegram": "TELEGRAM_URL"}
    assert (channels.sources["office"].url, channels.sources["office"].keys) == (
        "https://office.example/hook",
        (KEY, KEY),
    )


def test_folder_from_before_there_were_channels_tells_by_mail(tmp_path: Path) -> None:
    channels = read(tmp_path, RIGHT).channels
    assert (channels.ways, list(channels.sources)) == (Ways(), ["email"])


def test_shipped_file_is_right_and_says_the_defaults(tmp_path: Path) -> None:
    shipped = (Path(__file__).parents[2] / "config" / "channels.toml").read_text(encoding="utf-8")
    channels = found(tmp_path, shipped).channels
    assert channels.ways.flood == Flood()
    assert channels.ways.city.retry_s == RETRY_AFTER_S
    assert list(channels.sources) == ["email"]


def test_secrets_of_channels_are_not_printed_by_accident(tmp_path: Path) -> None:
    channels = found(tmp_path, TELEGRAM_URL="tgram://geheim/{to}").channels
    assert "geheim" not in repr(channels)


WRONG = [
    ('kind = "email"', 'kind = "fax"', "email.kind: Must be one of: email, webhook, apprise, callbacks, flood"),
    ('"2 minutes"', '"2 working hours"', "email.fallback: '2 working hours' is working time; write seconds, minutes"),
    ('"2 minutes"', '"soon"', "email.fallback: 'soon' is not a span"),
    ('"10 minutes"]', '"never"]', "office.retry[2]: 'never' is not a span"),
    ('retry = ["1 second", "10 minutes"]', "retry = []", "office.retry: Length must be between 1 and 50"),
    ('url = "TELEGRAM_URL"', 'url = "tgram://token"', "telegram.url: must name an environment variable"),
    ('url = "TELEGRAM_URL"', "", "telegram.url: missing; name the environment variable"),
    ("[email]", "[mail]", "mail: the channel of kind email is called [email]"),
    ("[telegram]", "[telegram-of-the-office]", "telegram-of-the-office: a channel's name has at most 16 letters"),
    ("[telegram]", "[Telegram]", "Telegram: a name is small letters, digits and dashes"),
    ("most = 5", "most = -1", "flood.most: Must be greater than or equal to 0"),
    ('"10 minutes"\n', '"0 seconds"\n', "flood.digest_every: a digest every second at most"),
    ("[email]", "[email]\nrety = 5", "email.rety: Unknown field"),
]


@pytest.mark.parametrize(("old", "new", "fault"), WRONG, ids=[row[2][:40] for row in WRONG])
def test_fault_of_a_channel_is_told_with_place_and_remedy(tmp_path: Path, old: str, new: str, fault: str) -> None:
    assert old in CHANNELS
    told = faults(tmp_path, RIGHT | {"channels.toml": CHANNELS.replace(old, new, 1)})
    assert [line for line in told if line.startswith(f"channels.toml: {fault}")], told


def test_office_that_could_not_verify_us_is_a_fault(tmp_path: Path) -> None:
    files = RIGHT | {"channels.toml": CHANNELS}
    (told,) = faults(tmp_path, files, OFFICE_URL="https://office.example")
    assert told == "channels.toml: office.secret: OFFICE_URL is set, so OFFICE_SECRET must hold the key that signs"
    (told,) = faults(tmp_path, files, OFFICE_URL="https://office.example", OFFICE_SECRET=f"{KEY} short")
    assert told.startswith("channels.toml: office.secret: key 2 in OFFICE_SECRET: ")


FURTHER = RIGHT | {
    "sources.toml": RIGHT["sources.toml"]
    + '[qlue.callbacks.arsip]\nurl = "ARSIP_URL"\nsecret = "ARSIP_SECRET"\n'
    + '[qlue.callbacks.dasbor]\nurl = "DASBOR_URL"\nsecret = "DASBOR_SECRET"\n'
}


def test_source_is_told_back_at_each_address_that_is_set(tmp_path: Path) -> None:
    read_one = read(
        tmp_path,
        FURTHER,
        QLUE_URL="https://city.example",
        QLUE_BACK=KEY,
        ARSIP_URL="https://a.example",
        ARSIP_SECRET=KEY,
    )
    assert read_one.rulebook.told_back == {"qlue", "qlue/arsip"}
    assert [(one.recipient, one.url) for one in read_one.sources["qlue"].callbacks] == [
        ("qlue", "https://city.example"),
        ("qlue/arsip", "https://a.example"),
    ]


@pytest.mark.parametrize(
    ("variables", "fault"),
    [
        (
            {"ARSIP_URL": "https://a.example"},
            "qlue.callbacks.arsip.secret: ARSIP_URL is set, so ARSIP_SECRET must hold",
        ),
        ({"ARSIP_URL": "https://a.example", "ARSIP_SECRET": "kurz"}, "qlue.callbacks.arsip.secret: ARSIP_SECRET: "),
    ],
)
def test_further_address_nobody_could_sign_for_is_a_fault(
    tmp_path: Path, variables: dict[str, str], fault: str
) -> None:
    (told,) = faults(tmp_path, FURTHER, **variables)
    assert told.startswith(f"sources.toml: {fault}")


def test_source_that_is_called_like_a_channel_is_a_fault(tmp_path: Path) -> None:
    files = RIGHT | {"channels.toml": CHANNELS.replace("[telegram]", "[qlue]")}
    (told,) = faults(tmp_path, files)
    assert told == "sources.toml: qlue: a channel of channels.toml is called so; take another"


def test_name_of_a_further_address_fits_its_column(tmp_path: Path) -> None:
    files = FURTHER | {"sources.toml": FURTHER["sources.toml"].replace("arsip]", f"{'a' * 21}]")}
    (told,) = faults(tmp_path, files)
    assert "must be at most 20 small letters" in told
