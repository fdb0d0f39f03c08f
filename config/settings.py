"""The environment, read once into a frozen `Settings`; every fault is told at once."""

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from bridge.delivery.addresses import NOTHING, Allowed, BadAllow, read_allowed
from bridge.delivery.smtp_server import BadSmtpUrl, read_smtp_url
from bridge.vault import BadDataKey, data_key

HERE = Path(__file__).parent

#: A signing key below this is refused (Standard Webhooks: 24 to 64 bytes).
LEAST_KEY_BYTES = 24


@dataclass(frozen=True)
class Setting:
    """One environment variable: `bridge settings` prints this, and a test holds the documentation to it."""

    name: str
    meaning: str
    default: str
    unit: str = ""
    secret: bool = False


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "BRIDGE_DATABASE_URL", "where facts are kept; postgresql://… or sqlite:///…", "SQLite in the data folder", "URL"
    ),
    Setting("BRIDGE_BROKER_URL", "the queue; amqp://… or embedded:///path", "embedded, in the data folder", "URL"),
    Setting(
        "BRIDGE_DATA_DIR", "embedded database and queue, made keys, mail as files, the auditor's head", "var/", "folder"
    ),
    Setting("BRIDGE_CONFIG_DIR", "sources, offices, routing, policies, calendars, texts", "config/", "folder"),
    Setting("BRIDGE_LISTEN", "address the web side listens on", "127.0.0.1:8311", "host:port"),
    Setting(
        "BRIDGE_PUBLIC_URL", "how the outside reaches us; goes into links", "http:// and the listen address", "URL"
    ),
    Setting(
        "BRIDGE_SECRET_KEY",
        "signs logins and one-click links",
        "made once into the data folder",
        "24+ bytes",
        secret=True,
    ),
    Setting(
        "BRIDGE_TICKET_KEY",
        "makes tickets unguessable; never change it",
        "made once into the data folder",
        "24+ bytes",
        secret=True,
    ),
    Setting(
        "BRIDGE_DATA_KEY",
        "seals personal data; several separated by spaces, the first seals, all of them open",
        "comes of BRIDGE_TICKET_KEY, which goes on opening",
        "Fernet keys",
        secret=True,
    ),
    Setting(
        "BRIDGE_SMTP_URL",
        "mail server; smtp://user:password@host:587 or smtps://…",
        "mail is written as .eml files",
        "URL",
        secret=True,
    ),
    Setting("BRIDGE_MAIL_FROM", "sender of notices", "jembatan@localhost", "address"),
    Setting("BRIDGE_LOG", "text for people, json for machines", "text"),
    Setting("BRIDGE_HEARTBEAT_URL", "a dead-man's switch; the auditor pings it as long as all is well", "none", "URL"),
    Setting("BRIDGE_AUDIT_EVERY_S", "how often the auditor looks", "30", "seconds"),
    Setting(
        "BRIDGE_CLOCK_JUMP_S",
        "the database's clock set forward by more than this holds the engine, set back by more raises an alarm",
        "120",
        "seconds",
    ),
    Setting(
        "BRIDGE_GUARD_SHARE",
        "a larger share of all running clocks due at once holds the engine for 15 minutes; 100 never does",
        "50",
        "percent",
    ),
    Setting("BRIDGE_GUARD_MIN", "so many clocks due at once, or fewer, never hold the engine", "500", "clocks"),
    Setting("BRIDGE_SPOOL_FLOOR_MB", "free disk a receiver's spool leaves alone while the broker is away", "500", "MB"),
    Setting("BRIDGE_RECEIVER_WORKERS", "processes of `bridge receive`", "2"),
    Setting(
        "BRIDGE_OUTGOING_ALLOW",
        "addresses inside that may be spoken to all the same; networks and host names separated by spaces",
        "none",
        "networks, names",
    ),
    Setting("BRIDGE_TRUSTED_PROXIES", "how many proxies in front of the pages to believe about addresses", "0"),
    Setting("OTEL_TRACES_EXPORTER", "where traces go: none, otlp, console; several separated by commas", "none"),
)


class BadSettings(Exception):
    """The environment or a configuration file cannot be used; `faults` lists everything that is wrong."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("\n".join(f"  - {fault}" for fault in faults))


@dataclass(frozen=True)
class Settings:
    """The settings of this process. URLs are complete, folders absolute, keys at least 24 bytes.

    What may hold a secret is left out when it is printed.
    """

    database_url: str = field(repr=False)
    broker_url: str = field(repr=False)
    data_dir: Path
    config_dir: Path
    listen_host: str
    listen_port: int
    public_url: str
    secret_key: bytes = field(repr=False)
    ticket_key: bytes = field(repr=False)
    data_keys: tuple[str, ...] = field(repr=False)
    smtp_url: str = field(repr=False)
    mail_from: str
    log: str
    heartbeat_url: str
    audit_every_s: int
    clock_jump_s: int
    guard_share: int
    guard_min: int
    spool_floor_mb: int
    receiver_workers: int
    outgoing_allow: Allowed
    trusted_proxies: int
    #: Trace exporters: otlp, console.
    traces: tuple[str, ...] = ()

    @property
    def spool(self) -> Path:
        """Where reports wait while the broker is away."""
        return self.data_dir / "spool.sqlite3"

    @property
    def kept_head(self) -> Path:
        """Where the auditor keeps the head of the escalation log."""
        return self.data_dir / "escalation-log-head"

    @property
    def made_keys(self) -> Path:
        """Where keys made for sources are kept, a file for each."""
        return self.data_dir / "keys"

    @property
    def embedded(self) -> bool:
        """Tell whether the queue is the embedded one."""
        return self.broker_url.startswith("embedded:")


class Environment:
    """Typed reading of variables; faults are collected, not raised one by one. `X_FILE` names a file with X."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.faults: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        """Return the variable, else the content of the file `<name>_FILE` names, else the default."""
        value, file = self._variables.get(name, ""), self._variables.get(f"{name}_FILE", "")
        if value and file:
            self.faults.append(f"{name}: both {name} and {name}_FILE are set; keep one")
        if value or not file:
            return value or default
        try:
            return Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            self.faults.append(f"{name}_FILE: cannot read {file}: {error}")
            return default

    def url(self, name: str, default: str, schemes: tuple[str, ...]) -> str:
        """Return a URL of one of the schemes."""
        value = self.text(name, default)
        beginnings = tuple(f"{scheme}://" for scheme in schemes)
        if value and not value.startswith(beginnings):
            self.faults.append(f"{name}: must begin with {' or '.join(beginnings)}")
        try:
            urlsplit(value)
        except ValueError:
            # Without the reason: it may quote the part with the password.
            self.faults.append(f"{name}: is not a URL")
        return value

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """Return a whole number within bounds."""
        value = self.text(name, str(default))
        # Python refuses to read a number of thousands of digits, so the length is looked at first.
        if not value.isascii() or not value.isdigit() or len(value) > 9 or not least <= int(value) <= most:
            self.faults.append(f"{name}: {value!r} is not a whole number from {least} to {most}")
            return default
        return int(value)

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        """Return one of the choices."""
        value = self.text(name, default)
        if value not in choices:
            self.faults.append(f"{name}: {value!r} is not one of {', '.join(choices)}")
            return default
        return value

    def key(self, name: str, made: Callable[[], str] | None) -> bytes:
        """Return a secret of at least 24 bytes; unset, `made` makes or finds one, or it is a fault."""
        value = self.text(name)
        if not value and made is not None:
            try:
                value = made()
            except (OSError, UnicodeDecodeError) as error:
                self.faults.append(f"{name}: cannot be kept in the data folder: {error}")
                return b""
        if len(value.encode()) < LEAST_KEY_BYTES:
            say = "is shorter than" if value else "is not set; it needs at least"
            self.faults.append(
                f"{name}: {say} {LEAST_KEY_BYTES} bytes; make one with: python3 -c "
                '"import secrets; print(secrets.token_urlsafe(32))"'
            )
        return value.encode()


def read_settings(variables: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    Raises:
        BadSettings: with every fault.
    """
    env = Environment(os.environ if variables is None else variables)
    data_dir = Path(env.text("BRIDGE_DATA_DIR", "var")).absolute()
    host, port = _listen(env)
    broker_url = env.url("BRIDGE_BROKER_URL", f"embedded://{data_dir}/queue.sqlite3", ("amqp", "amqps", "embedded"))
    database_url = env.url(
        "BRIDGE_DATABASE_URL",
        f"sqlite:///{data_dir}/bridge.sqlite3",
        ("postgresql", "postgresql+psycopg", "sqlite"),
    )
    # Several machines must share the keys, so only the all-in-one kind may make its own.
    embedded = broker_url.startswith("embedded:")
    settings = Settings(
        # SQLAlchemy 2.1 reads postgresql:// as psycopg 3, but earlier ones did not: be explicit.
        database_url=database_url.replace("postgresql://", "postgresql+psycopg://", 1),
        broker_url=_one_vhost(broker_url),
        data_dir=data_dir,
        config_dir=Path(env.text("BRIDGE_CONFIG_DIR", str(HERE))).absolute(),
        listen_host=host,
        listen_port=port,
        public_url=env.url("BRIDGE_PUBLIC_URL", f"http://{host}:{port}", ("http", "https")).rstrip("/"),
        secret_key=env.key("BRIDGE_SECRET_KEY", (lambda: _kept_key(data_dir, "secret-key")) if embedded else None),
        ticket_key=env.key("BRIDGE_TICKET_KEY", (lambda: _kept_key(data_dir, "ticket-key")) if embedded else None),
        data_keys=_data_keys(env),
        smtp_url=_smtp_url(env),
        mail_from=env.text("BRIDGE_MAIL_FROM", "jembatan@localhost"),
        log=env.choice("BRIDGE_LOG", "text", ("text", "json")),
        heartbeat_url=env.url("BRIDGE_HEARTBEAT_URL", "", ("http", "https")),
        audit_every_s=env.number("BRIDGE_AUDIT_EVERY_S", 30, 1, 3600),
        clock_jump_s=env.number("BRIDGE_CLOCK_JUMP_S", 120, 10, 86_400),
        guard_share=env.number("BRIDGE_GUARD_SHARE", 50, 1, 100),
        guard_min=env.number("BRIDGE_GUARD_MIN", 500, 1, 1_000_000),
        spool_floor_mb=env.number("BRIDGE_SPOOL_FLOOR_MB", 500, 1, 1_000_000),
        receiver_workers=env.number("BRIDGE_RECEIVER_WORKERS", 2, 1, 64),
        outgoing_allow=_outgoing_allow(env),
        trusted_proxies=env.number("BRIDGE_TRUSTED_PROXIES", 0, 0, 5),
        traces=_exporters(env),
    )
    if env.faults:
        raise BadSettings(env.faults)
    return settings


def _exporters(env: Environment) -> tuple[str, ...]:
    """Return the trace exporters asked for, by OpenTelemetry's own variable; all others of its are read by its SDK."""
    wanted = [name.strip() for name in env.text("OTEL_TRACES_EXPORTER", "none").split(",")]
    if unknown := [name for name in wanted if name not in ("none", "otlp", "console")]:
        env.faults.append(f"OTEL_TRACES_EXPORTER: {unknown[0]!r} is not one of none, otlp, console")
    return tuple(dict.fromkeys(name for name in wanted if name != "none"))


def _data_keys(env: Environment) -> tuple[str, ...]:
    keys = tuple(env.text("BRIDGE_DATA_KEY").split())
    for number, key in enumerate(keys, start=1):
        try:
            data_key(key)
        except BadDataKey as error:
            env.faults.append(f"BRIDGE_DATA_KEY: key {number} is {error}")
    return keys


def _smtp_url(env: Environment) -> str:
    told = len(env.faults)
    url = env.url("BRIDGE_SMTP_URL", "", ("smtp", "smtps"))
    if url and len(env.faults) == told:
        try:
            read_smtp_url(url)
        except BadSmtpUrl as error:
            env.faults.append(f"BRIDGE_SMTP_URL: {error}")
    return url


def _outgoing_allow(env: Environment) -> Allowed:
    try:
        return read_allowed(env.text("BRIDGE_OUTGOING_ALLOW"))
    except BadAllow as error:
        env.faults.append(
            f"BRIDGE_OUTGOING_ALLOW: {error}: neither a network, like 10.1.2.0/24, nor an address, nor a host name"
        )
        return NOTHING


def _one_vhost(url: str) -> str:
    """Return an AMQP URL whose virtual host both clients read alike: `amqp://host//` is "/" to kombu, "" to pika."""
    parts = urlsplit(url)
    if parts.scheme not in ("amqp", "amqps") or not parts.path.startswith("//"):
        return url
    return parts._replace(path="/" + quote(unquote(parts.path[1:]), safe="")).geturl()


def _listen(env: Environment) -> tuple[str, int]:
    value = env.text("BRIDGE_LISTEN", "127.0.0.1:8311")
    host, _, port = value.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or len(port) > 5 or not 0 < int(port) < 65536:
        env.faults.append(f"BRIDGE_LISTEN: {value!r} is not host:port, like 127.0.0.1:8311")
        return "127.0.0.1", 8311
    return host, int(port)


def _kept_key(data_dir: Path, name: str) -> str:
    """Return the key kept in the data folder, making it the first time; two processes at once agree."""
    path = data_dir / name
    data_dir.mkdir(parents=True, exist_ok=True)
    draft = data_dir / f".{name}.{secrets.token_hex(4)}"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_urlsafe(32))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # made before, or by another process a moment ago: that one counts
    finally:
        draft.unlink()
    return path.read_text(encoding="ascii")
