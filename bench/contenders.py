"""Who runs in `ingest`: ours and the HTTP references, how each is started, and which queue it fills."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.bridges import KEYS, command
from bench.common import COMMANDS
from bench.queues import one_report_in, our_reports_in

OURS = "ours"


@dataclass(frozen=True)
class Contender:
    """One receiver; `command` takes the port to listen on, `reports_in` counts what one message carries."""

    name: str
    queue: str
    command: Callable[[int], list[str]]
    env: Mapping[str, str] = field(default_factory=dict)
    reports_in: Callable[[bytes], int] = one_report_in

    def environment(self, port: int, broker_url: str, secret: str) -> dict[str, str]:
        """Return the variables it is started with."""
        return {
            "QLUE_WEBHOOK_SECRET": secret,
            "BENCH_BROKER_URL": broker_url,
            "BENCH_QUEUE": self.queue,
            "BRIDGE_BROKER_URL": broker_url,
            "BRIDGE_LISTEN": f"127.0.0.1:{port}",
            **self.env,
        }


def contenders(workers: int, data_dir: Path, *, same_check: bool) -> list[Contender]:
    """Return ours with `workers` processes, and the references with two; with `same_check` they check as we do."""
    peer = {"BENCH_CHECK": "ours" if same_check else "marshmallow"}
    return [
        Contender(OURS, "bridge.intake", _ours, _our_settings(workers, data_dir), our_reports_in),
        Contender("a Flask + Celery", "bench.celery", _celery, peer),
        Contender("b FastAPI + aio-pika", "bench.fastapi", _fastapi, peer),
        Contender("d bare Flask prototype", "bench.flask", _flask, peer),
    ]


def _our_settings(workers: int, data_dir: Path) -> dict[str, str]:
    return {**KEYS, "BRIDGE_DATA_DIR": str(data_dir), "BRIDGE_RECEIVER_WORKERS": str(workers)}


def _ours(_: int) -> list[str]:
    return command("receive")


def _celery(port: int) -> list[str]:
    words = [str(COMMANDS / "gunicorn"), "bench.peers.celery_receiver:app", "--bind", f"127.0.0.1:{port}"]
    words += ["--workers", "2", "--worker-class", "gthread", "--threads", "16", "--log-level", "warning"]
    # Without this, two gunicorns of one user share a socket in the home folder.
    return [*words, "--no-control-socket"]


def _fastapi(port: int) -> list[str]:
    words = [str(COMMANDS / "uvicorn"), "bench.peers.fastapi_receiver:app"]
    words += [
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "2",
        "--loop",
        "uvloop",
        "--http",
        "httptools",
        "--log-level",
        "warning",
    ]
    return [*words, "--no-access-log", "--no-proxy-headers"]


def _flask(port: int) -> list[str]:
    words = [str(COMMANDS / "granian"), "bench.peers.flask_receiver:app", "--interface", "wsgi"]
    words += ["--host", "127.0.0.1", "--port", str(port), "--workers", "2", "--blocking-threads", "32"]
    return [*words, "--log-level", "warning"]
