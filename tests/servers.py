"""Private real servers for tests: free loopback ports, data in a folder of their own, gone with the test process.

Never the machine's own instances: own configuration files, own cookie and epmd, own data. Each runs under
tests/keeper.py, which kills it and all it started as soon as the test process ends, even by SIGKILL.
"""

import itertools
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pika
import psycopg
from psycopg import sql

from tests.receivers import Answer, CityReceiver, Mail, Mailed, Posted
from tests.server import NotInstalled, Server, new_folder, program
from tests.waiting import eventually, free_port

__all__ = [
    "Answer",
    "CityReceiver",
    "Mail",
    "Mailed",
    "Nginx",
    "Posted",
    "PostgreSQL",
    "RabbitMQ",
    "Server",
    "chromium_path",
    "eventually",
    "free_port",
    "new_folder",
]  # tests import everything from here

RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
NODE = "jembatan@localhost"


class RabbitMQ(Server):
    """A RabbitMQ node with its own epmd, cookie and data."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.epmd_port = free_port()
        self.distribution_port = free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self._erl_call = program("erl_call", "erlang-base")
        self._vhosts = 0
        self._calls = itertools.count(1)
        self._home = self._small_home()

    def _small_home(self) -> Path:
        """Make a RabbitMQ without the plugins we don't use, by links.

        Erlang looks for every module in every plugin's folder; without these its start costs a quarter less.
        """
        if not RABBITMQ.exists():
            raise NotInstalled(f"{RABBITMQ} (Debian: rabbitmq-server)")
        installed, home = RABBITMQ.resolve().parents[1], self.folder / "home"
        (home / "plugins").mkdir(parents=True)
        for name in ("sbin", "escript"):
            (home / name).symlink_to(installed / name)
        for app in (installed / "plugins").iterdir():
            if app.name.startswith("rabbitmq_prelaunch") or not app.name.startswith("rabbitmq_"):
                (home / "plugins" / app.name).symlink_to(app)
        return home

    def command(self) -> list[str]:
        (self.folder / "rabbitmq.conf").write_text(self._configuration())
        (self.folder / "plugins").write_text("[].\n")
        return [str(self._home / "sbin" / "rabbitmq-server")]

    def environment(self) -> dict[str, str]:
        at = self.folder
        return {
            **super().environment(),
            "RABBITMQ_SCRIPTS_DIR": str(self._home / "sbin"),
            "RABBITMQ_PLUGINS_DIR": str(self._home / "plugins"),
            "RABBITMQ_NODENAME": NODE,
            # A file that isn't there: the machine's own /etc/rabbitmq must not be read.
            "RABBITMQ_CONF_ENV_FILE": str(at / "none"),
            "RABBITMQ_CONFIG_FILE": str(at / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(at / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(at / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(at / "data"),
            "RABBITMQ_SCHEMA_DIR": str(at / "schema"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(at / "generated"),
            "RABBITMQ_LOG_BASE": str(at / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(at / "pid"),
            "RABBITMQ_DIST_PORT": str(self.distribution_port),
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # "Allow input" makes the script become the Erlang VM instead of waiting beside it, so that our pid is the
            # VM's; -noinput then keeps the VM from ending at the end of /dev/null.
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_SERVER_START_ARGS": "-noinput",
            # Two schedulers: the tests need the cores too.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2",
        }

    def _configuration(self) -> str:
        return (
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            "vm_memory_high_watermark.absolute = 1GB\n"
            # An alarm would silently block publishers on a full build machine.
            "disk_free_limit.absolute = 10MB\n"
            "log.console.level = warning\n"
            # The default reserves 512 MB.
            "raft.wal_max_size_bytes = 33554432\n"
        )

    def ready(self) -> bool:
        """Return whether a client that says "AMQP 0-9-1" is answered with Connection.Start (a method frame, type 1)."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as client:
                client.sendall(b"AMQP\x00\x00\x09\x01")
                return client.recv(1) == b"\x01"
        except OSError:
            return False

    def new_vhost(self) -> str:
        """Make an empty virtual host and return its URL."""
        self._vhosts += 1
        name = f"test-{self._vhosts}"
        self.evaluate(f'rabbit_vhost:add(<<"{name}">>, <<"tests">>)')
        all_of_it = ", ".join(['<<".*">>'] * 3)
        grant = "rabbit_auth_backend_internal:set_permissions"
        self.evaluate(f'{grant}(<<"guest">>, <<"{name}">>, {all_of_it}, <<"tests">>)')
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{name}"

    def drop_vhost(self, url: str) -> None:
        """Remove a virtual host with all it holds; its connections are closed."""
        name = urlsplit(url).path[1:]
        self.evaluate(f'rabbit_vhost:delete(<<"{name}">>, <<"tests">>)')

    def close_connections(self) -> None:
        """Close every client's connection from the server's side, as an operator may."""
        self.evaluate('[rabbit_networking:close_connection(Pid, "tests") || Pid <- rabbit_networking:connections()]')

    def settle(self) -> None:
        """Have the queues declared so far outlive a `kill()`.

        RabbitMQ 3.10 writes down which quorum queues there are up to a second after it confirmed their declaration
        (github.com/rabbitmq/ra/pull/443). Killed before, it comes back with a queue without leader and messages.
        """
        self.evaluate("[ok = dets:sync(Table) || Table <- dets:all()]")

    def queue_depth(self, vhost_url: str, queue: str) -> int:
        """Return the number of messages ready in a queue: what a passive declaration says, no statistics."""
        with pika.BlockingConnection(pika.URLParameters(vhost_url)) as connection:
            declared = connection.channel().queue_declare(queue, passive=True)
        return int(declared.method.message_count)

    def evaluate(self, erlang: str) -> str:
        """Evaluate an Erlang expression in the node; milliseconds, where rabbitmqctl takes more than a second."""
        # It finds the cookie in HOME, and the node through our epmd. Every call has a name of its own: under the same
        # name one is refused for as long as the node has not noticed the end of the call before.
        call = subprocess.run(
            [self._erl_call, "-h", f"call{next(self._calls)}", "-n", NODE, "-e"],
            input=f"{erlang}.\n", env=self.environment(), cwd=self.folder, capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        if not call.stdout.startswith("{ok, "):
            raise RuntimeError(f"{erlang} said {call.stdout or call.stderr}")
        return call.stdout[len("{ok, ") : -1]


class PostgreSQL(Server):
    """A PostgreSQL cluster of its own; fsync stays on, because durability is what the tests are about."""

    # "Fast": clients are cut off. SIGTERM would wait for them.
    stop_signal = signal.SIGINT

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.data = folder / "data"
        self.programs = _postgresql_programs()
        self._databases = 0
        if os.getuid() == 0:
            # PostgreSQL refuses to run as root.
            self.user = "postgres"
            shutil.chown(folder, *pwd.getpwnam("postgres")[2:4])
            _let_through(folder)

    def command(self) -> list[str]:
        if not self.data.exists():
            self._init()
        settings = {"fsync": "on", "max_connections": "200", "unix_socket_directories": "", "shared_buffers": "64MB"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [
            str(self.programs / "postgres"),
            "-D",
            str(self.data),
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
            *options,
        ]

    def ready(self) -> bool:
        """Return whether it answers a query."""
        try:
            with psycopg.connect(self._admin_url(), connect_timeout=2) as connection:
                return connection.execute("SELECT true").fetchone() == (True,)
        except psycopg.OperationalError:
            return False

    def new_database(self, template: str = "template1") -> str:
        """Make a database, empty or a copy of `template`, and return its SQLAlchemy URL."""
        self._databases += 1
        name = f"test_{self._databases}"
        self._execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}"), name, template)
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{name}"

    def drop_database(self, url: str) -> None:
        """Remove a database; its connections are closed."""
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)"), urlsplit(url).path[1:])

    def _execute(self, statement: sql.SQL, *names: str) -> None:
        with psycopg.connect(self._admin_url(), autocommit=True) as connection:
            connection.execute(statement.format(*(sql.Identifier(name) for name in names)))

    def _admin_url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def _init(self) -> None:
        # --no-sync only for making the cluster: nothing of ours is in it yet.
        command = [str(self.programs / "initdb"), "-D", str(self.data), "-U", "postgres", "--auth=trust", "--no-sync"]
        command += ["--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"]
        who = {"user": self.user, "group": self.user, "extra_groups": []} if self.user else {}
        with self.log.open("ab") as log:
            subprocess.run(  # type: ignore[call-overload]
                command, check=True, stdout=log, stderr=log, env=self.environment(), cwd=self.folder, **who
            )


class Nginx(Server):
    """An nginx with the given configuration, in which `@port@` and `@folder@` stand for its own."""

    # "Quit" would wait for clients that keep their connection.
    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path, config_text: str) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config_text = config_text
        if os.getuid() == 0:
            # Its workers give up root and must still reach their temporary files.
            _let_through(folder)

    def command(self) -> list[str]:
        self._write()
        nginx = program("nginx", "nginx-light")
        return [nginx, "-p", f"{self.folder}/", "-c", "nginx.conf", "-e", str(self.log), "-g", "daemon off;"]

    def ready(self) -> bool:
        """Return whether the port accepts connections."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2):
                return True
        except OSError:
            return False

    def reload(self, config_text: str) -> None:
        """Take another configuration without dropping connections; returns at once, as nginx does."""
        self.config_text = config_text
        self._write()
        self._signal(signal.SIGHUP)

    def _write(self) -> None:
        text = self.config_text.replace("@port@", str(self.port)).replace("@folder@", str(self.folder))
        (self.folder / "nginx.conf").write_text(text)


def chromium_path() -> str:
    """Return the Chromium the browser tests drive."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    raise NotInstalled("chromium (Debian: chromium)")


def _postgresql_programs() -> Path:
    """Return the folder of the newest PostgreSQL: Debian's place first, then the path."""
    installed = [at for at in Path("/usr/lib/postgresql").glob("*/bin") if (at / "initdb").exists()]
    if installed:
        return max(installed, key=lambda at: int(re.sub(r"\D", "", at.parent.name)))
    return Path(program("initdb", "postgresql")).resolve().parent


def _let_through(folder: Path) -> None:
    """Check that another user can reach the folder; pytest's own temporary folders are closed to all but us."""
    closed = [str(at) for at in folder.parents if not at.stat().st_mode & 0o001]
    if closed:
        raise ValueError(f"another user must reach {folder}, but these are closed: {', '.join(closed)}")
