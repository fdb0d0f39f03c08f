"""Settings: read once, every fault at once, secrets from files, keys made once and kept."""

import stat
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pika
import pytest
from kombu.connection import Connection

from config.settings import SETTINGS, BadSettings, Environment, Settings, read_settings

KEY = "a-key-of-more-than-twenty-four-bytes"


def read(folder: Path, **variables: str) -> Settings:
    """Settings from nothing but these variables and a data folder."""
    return read_settings({"BRIDGE_DATA_DIR": str(folder), **{f"BRIDGE_{k}": v for k, v in variables.items()}})


def faults(folder: Path, **variables: str) -> list[str]:
    with pytest.raises(BadSettings) as refused:
        read(folder, **variables)
    return refused.value.faults


def test_machine_without_any_setting_gets_the_documented_defaults(tmp_path: Path) -> None:
    settings = read(tmp_path)
    assert settings.database_url == f"sqlite:///{tmp_path}/bridge.sqlite3"
    assert settings.broker_url == f"embedded://{tmp_path}/queue.sqlite3"
    assert settings.embedded
    assert (settings.listen_host, settings.listen_port) == ("127.0.0.1", 8311)
    assert (settings.public_url, settings.log, settings.smtp_url) == ("http://127.0.0.1:8311", "text", "")
    assert (settings.config_dir / "sources.toml").is_file()


def test_production_settings_are_taken_as_given(tmp_path: Path) -> None:
    settings = read(
        tmp_path,
        DATABASE_URL="postgresql://u:p@db/bridge",
        BROKER_URL="amqps://u:p@mq/%2F",
        LISTEN="[::1]:80",
        PUBLIC_URL="https://bpsk.example/",
        SECRET_KEY=KEY,
        TICKET_KEY=KEY,
    )
    assert settings.database_url == "postgresql+psycopg://u:p@db/bridge"
    assert not settings.embedded
    assert (settings.listen_host, settings.listen_port) == ("[::1]", 80)
    assert settings.public_url == "https://bpsk.example"
    assert settings.ticket_key == KEY.encode()


FAULTS = [
    ("DATABASE_URL", "mysql://db/x", "must begin with postgresql://"),
    ("BROKER_URL", "redis://mq", "must begin with amqp:// or amqps:// or embedded://"),
    ("PUBLIC_URL", "bpsk.example", "must begin with http:// or https://"),
    ("PUBLIC_URL", "http:bpsk.example", "must begin with http:// or https://"),
    ("PUBLIC_URL", "https://[::1", "is not a URL"),
    ("SMTP_URL", "mail.example:587", "must begin with smtp:// or smtps://"),
    ("HEARTBEAT_URL", "ftp://x", "must begin with http:// or https://"),
    ("LISTEN", "8311", "is not host:port"),
    ("LISTEN", "127.0.0.1:0", "is not host:port"),
    ("LISTEN", "127.0.0.1:65536", "is not host:port"),
    ("LISTEN", "127.0.0.1:٨٣", "is not host:port"),
    ("LISTEN", "127.0.0.1:" + "9" * 5000, "is not host:port"),
    ("LOG", "xml", "'xml' is not one of text, json"),
    ("RECEIVER_WORKERS", "many", "is not a whole number from 1 to 64"),
    ("RECEIVER_WORKERS", "0", "is not a whole number from 1 to 64"),
    ("RECEIVER_WORKERS", "9" * 5000, "is not a whole number from 1 to 64"),
    ("TICKET_KEY", "short", "is shorter than 24 bytes; make one with"),
    ("SECRET_KEY", "short", "is shorter than 24 bytes; make one with"),
]


@pytest.mark.parametrize(("name", "value", "fault"), FAULTS, ids=[f"{n}={v[:20]}" for n, v, _ in FAULTS])
def test_bad_setting_is_told_with_its_name_and_a_remedy(tmp_path: Path, name: str, value: str, fault: str) -> None:
    (told,) = faults(tmp_path, **{"SECRET_KEY": KEY, "TICKET_KEY": KEY, name: value})
    assert told.startswith(f"BRIDGE_{name}: ")
    assert fault in told


def test_every_fault_is_told_at_once_a_line_each(tmp_path: Path) -> None:
    wrong = {name: value for name, value, _ in FAULTS}
    with pytest.raises(BadSettings) as refused:
        read(tmp_path, **wrong)
    assert sorted(fault.split(":")[0] for fault in refused.value.faults) == sorted(f"BRIDGE_{name}" for name in wrong)
    assert str(refused.value).splitlines() == [f"  - {fault}" for fault in refused.value.faults]


def test_several_machines_must_share_their_keys_so_none_is_made(tmp_path: Path) -> None:
    told = faults(tmp_path, BROKER_URL="amqp://mq")
    assert [fault.split(":")[0] for fault in told] == ["BRIDGE_SECRET_KEY", "BRIDGE_TICKET_KEY"]
    assert all("is not set; it needs at least 24 bytes" in fault for fault in told)
    assert not (tmp_path / "ticket-key").exists()


def test_made_keys_are_kept_apart_and_only_their_owner_reads(tmp_path: Path) -> None:
    first, again = read(tmp_path), read(tmp_path)
    assert (first.secret_key, first.ticket_key) == (again.secret_key, again.ticket_key)
    assert first.secret_key != first.ticket_key
    assert min(len(first.secret_key), len(first.ticket_key)) >= 24
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret-key", "ticket-key"]


def test_processes_starting_at_once_agree_on_the_keys(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = {settings.ticket_key for settings in pool.map(lambda _: read(tmp_path), range(32))}
    assert len(found) == 1


def test_data_folder_nobody_can_use_is_a_fault_no_crash(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    told = faults(tmp_path / "file", LOG="xml")
    assert [fault.split(":")[0] for fault in told] == ["BRIDGE_SECRET_KEY", "BRIDGE_TICKET_KEY", "BRIDGE_LOG"]
    assert "cannot be kept" in told[0]


def test_kept_key_that_is_no_text_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "ticket-key").write_bytes(b"\xff" * 32)
    (told,) = faults(tmp_path)
    assert told.startswith("BRIDGE_TICKET_KEY: cannot be kept")


def test_secret_is_read_from_the_file_a_setting_names(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    assert read(tmp_path, TICKET_KEY_FILE=str(tmp_path / "key")).ticket_key == KEY.encode()


def test_file_that_cannot_be_read_is_named_in_its_fault(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff")
    told = faults(tmp_path, BROKER_URL_FILE=f"{tmp_path}/gone", SMTP_URL_FILE=f"{tmp_path}/bytes")
    assert [fault.split(":")[0] for fault in told] == ["BRIDGE_BROKER_URL_FILE", "BRIDGE_SMTP_URL_FILE"]
    assert f"cannot read {tmp_path}/gone" in told[0]


def test_value_and_file_for_the_same_setting_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    (told,) = faults(tmp_path, TICKET_KEY=KEY, TICKET_KEY_FILE=str(tmp_path / "key"))
    assert told == "BRIDGE_TICKET_KEY: both BRIDGE_TICKET_KEY and BRIDGE_TICKET_KEY_FILE are set; keep one"


SECRETS = {
    "SECRET_KEY": "secret-key-secret-key-secret",
    "TICKET_KEY": "ticket-key-ticket-key-ticket",
    "DATABASE_URL": "postgresql://u:dbpassword@db/x",
    "BROKER_URL": "amqp://u:mqpassword@mq",
    "SMTP_URL": "smtp://u:mailpassword@mail",
}


def test_settings_printed_by_accident_show_no_secret(tmp_path: Path) -> None:
    printed = repr(read(tmp_path, **SECRETS))
    for secret in ("secret-key-", "ticket-key-", "dbpassword", "mqpassword", "mailpassword"):
        assert secret not in printed


def test_faults_never_repeat_any_secret_somebody_set(tmp_path: Path) -> None:
    told = faults(tmp_path, TICKET_KEY="hush-hush", SMTP_URL="mailto:u:hush-hush@mail", DATABASE_URL="db:hush-hush")
    assert len(told) == 3
    assert "hush-hush" not in " ".join(told)


class Asked(Mapping[str, str]):
    """An environment that remembers what was asked for."""

    def __init__(self, known: dict[str, str]) -> None:
        self.known, self.asked = known, set[str]()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self.known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.known)

    def __len__(self) -> int:
        return len(self.known)


def test_every_setting_read_is_in_the_table_and_vice_versa(tmp_path: Path) -> None:
    variables = Asked({"BRIDGE_DATA_DIR": str(tmp_path)})
    read_settings(variables)
    assert {name for name in variables.asked if not name.endswith("_FILE")} == {setting.name for setting in SETTINGS}
    assert all(setting.meaning and setting.default for setting in SETTINGS)
    assert {setting.name for setting in SETTINGS if setting.secret} >= {"BRIDGE_SECRET_KEY", "BRIDGE_TICKET_KEY"}


def test_empty_variable_means_the_same_as_none(tmp_path: Path) -> None:
    assert Environment({"X": "", "X_FILE": ""}).text("X", "default") == "default"
    assert read(tmp_path, LOG="", SMTP_URL="").log == "text"


@pytest.mark.parametrize("path", ["//", "/%2F", "//sub", "/bridge", ""])
def test_both_amqp_clients_read_the_same_virtual_host(path: str) -> None:
    given = {"BRIDGE_BROKER_URL": f"amqp://h{path}", "BRIDGE_SECRET_KEY": "s" * 32, "BRIDGE_TICKET_KEY": "t" * 32}

    url = read_settings(given).broker_url

    assert pika.URLParameters(url).virtual_host == Connection(url).virtual_host
