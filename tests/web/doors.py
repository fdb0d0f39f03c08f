"""The two ways the way in is shipped: `bridge receive` before RabbitMQ, and `bridge up` on the embedded queue."""

import base64
import json
import shutil
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TypeVar

import pika

from bridge.broker.topology import connect, declare
from tests.servers import RabbitMQ, eventually
from tests.web.processes import ROOT, SECRET, Bridge, ask

#: The city's next key while it rotates: both are live.
NEXT_KEY = b"the key the city changes to after"
#: One byte less than a key must have.
SHORT_KEY = b"a key of 23 bytes only!"
AnyDoor = TypeVar("AnyDoor", bound="Door")
#: Keys of the sources that prove themselves otherwise; `crm` sends words of its own, `slow` may send one a second.
JAKI_KEY, SLOW_KEY = "the-key-the-tests-share-with-jaki", "the-token-of-a-slow-source"
CRM_KEY = "crm:the-password-of-the-crm"
OPEN311_KEY = "the-key-the-tests-share-with-open311"
_OTHERS = """
[crm]
name = "CRM"
scheme = "basic"
secret = "CRM_SECRET"
id_header = "X-Delivery"
[crm.mapping]
timestamp = "local_time(dibuat, 'Asia/Jakarta')"
"data.id" = "to_string(nomor)"
"data.title" = "judul"
"data.description" = "isi"
"data.category" = "pick(`{\\"leasing\\": \\"PEMBIAYAAN\\"}`, jenis)"
[slow]
name = "Slow"
scheme = "bearer"
secret = "SLOW_SECRET"
rate = 1
"""
_SOURCES = '[{name}]\nname = "{name}"\nscheme = "standard-webhooks"\nsecret = "{secret}"\n'


class Door(ABC):
    """A running way in, and a look into what it made durable."""

    def __init__(self, bridge: Bridge) -> None:
        self.bridge = bridge

    @property
    def port(self) -> int:
        """Return the port it listens on."""
        return self.bridge.port

    @abstractmethod
    def kept(self) -> set[str]:
        """Return the ids of all webhooks that are durable."""

    @abstractmethod
    def without_queue(self) -> AbstractContextManager[None]:
        """Take the queue away for as long as the block lasts."""

    def ready(self) -> bool:
        """Tell whether it says that it would accept."""
        return ask(self.port, "GET", "/readyz").status == 200


class FullDoor(Door):
    """Granian in processes of its own, a spool and RabbitMQ behind; nobody empties the queue but the tests."""

    def __init__(self, bridge: Bridge, rabbitmq: RabbitMQ, url: str) -> None:
        super().__init__(bridge)
        self._rabbitmq, self._url = rabbitmq, url
        self._spool = bridge.folder / "var" / "spool.sqlite3"
        self._seen: set[str] = set()

    def kept(self) -> set[str]:
        # The disk first: what is forwarded after that look is in the broker at the next.
        with closing(sqlite3.connect(self._spool, timeout=30)) as spool:
            waiting = _ids(json.loads(row[0])["body"] for row in spool.execute("SELECT payload FROM messages"))
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            channel = connection.channel()
            while (body := channel.basic_get("bridge.intake", auto_ack=True)[2]) is not None:
                self._seen |= _ids([body])
        return self._seen | waiting

    @contextmanager
    def without_broker(self) -> Iterator[None]:
        """Take RabbitMQ away for as long as the block lasts; the spool stays."""
        self._rabbitmq.settle()
        self._rabbitmq.kill()
        try:
            yield
        finally:
            self._rabbitmq.ensure_running()

    @contextmanager
    def without_queue(self) -> Iterator[None]:
        with self.without_broker(), closing(sqlite3.connect(self._spool, isolation_level=None, timeout=30)) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            yield
            holder.execute("ROLLBACK")

    def spooled(self) -> int:
        """Return how many reports wait on the receiver's disk."""
        with closing(sqlite3.connect(self._spool, timeout=30)) as spool:
            return int(spool.execute("SELECT count(*) FROM messages").fetchone()[0])


class SmallDoor(Door):
    """Waitress, the embedded queue and every step in one process."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__(bridge)
        self._data = bridge.folder / "var"

    def kept(self) -> set[str]:
        # Waiting in the queue, or taken from it and stored.
        with closing(sqlite3.connect(self._data / "queue.sqlite3")) as queue:
            payloads = queue.execute("SELECT payload FROM messages WHERE queue LIKE '%intake'").fetchall()
        with closing(sqlite3.connect(self._data / "bridge.sqlite3")) as facts:
            stored = {row[0] for row in facts.execute("SELECT webhook_id FROM webhooks")}
        return stored | _ids(json.loads(payload)["body"] for (payload,) in payloads)

    @contextmanager
    def without_queue(self) -> Iterator[None]:
        with closing(sqlite3.connect(self._data / "queue.sqlite3", isolation_level=None)) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            yield
            holder.execute("ROLLBACK")


def _ids(bodies: Iterable[str | bytes]) -> set[str]:
    """Return the ids of all webhooks in messages of the intake, which hold one or several."""
    data = [json.loads(body)["data"] for body in bodies]
    return {item["webhook_id"] for one in data for item in one.get("items", [one])}


def open_full(folder: Path, rabbitmq: RabbitMQ, **variables: str) -> FullDoor:
    """Start `bridge receive` on a virtual host of its own."""
    url = rabbitmq.new_vhost()
    with connect(url) as connection:
        declare(connection)
    bridge = Bridge(folder, "receive", BRIDGE_BROKER_URL=url, **_variables(folder), **variables)
    return _opened(FullDoor(bridge, rabbitmq, url))


def open_small(folder: Path) -> SmallDoor:
    """Start `bridge up`."""
    return _opened(SmallDoor(Bridge(folder, "up", **_variables(folder))))


def _opened(door: AnyDoor) -> AnyDoor:
    door.bridge.start()
    eventually(door.ready, 30, f"the way in is ready\n{door.bridge.log_end()}")
    return door


def _variables(folder: Path) -> dict[str, str]:
    """Return settings: two live keys for qlue, one too short for a source, none for another, and the other schemes."""
    config = folder / "config"
    shutil.copytree(ROOT / "config", config, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    with (config / "sources.toml").open("a") as file:
        file.write(
            _SOURCES.format(name="short", secret="SHORT_SECRET") + _SOURCES.format(name="keyless", secret="NO_SECRET")
        )
        file.write(_OTHERS)
    next_key, short = (base64.b64encode(key).decode() for key in (NEXT_KEY, SHORT_KEY))
    return {
        "BRIDGE_CONFIG_DIR": str(config),
        "QLUE_WEBHOOK_SECRET": f"{SECRET} whsec_{next_key}",
        "SHORT_SECRET": f"whsec_{short}",
        "JAKI_WEBHOOK_SECRET": JAKI_KEY,
        "CRM_SECRET": CRM_KEY,
        "SLOW_SECRET": SLOW_KEY,
        "OPEN311_API_KEY": OPEN311_KEY,
    }
