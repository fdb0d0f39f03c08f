"""Reference (a), the usual stack: Flask, and Celery's `.delay()` with confirms into a quorum queue."""

import os
from typing import Any

from celery import Celery  # type: ignore[import-untyped]
from flask import Flask, request
from kombu.entity import Queue

from bench.peers.checks import Refused, check

#: Threads of one gunicorn worker; as many broker connections, so that no request waits for one.
THREADS = 16
#: Without a limit a publish hangs for ever on a frozen broker.
CONFIRM_S = 8.0

tasks = Celery("bench", broker=os.environ["BENCH_BROKER_URL"])
tasks.conf.update(
    broker_pool_limit=THREADS,
    broker_transport_options={"confirm_publish": True, "read_timeout": CONFIRM_S},
    task_default_queue=os.environ["BENCH_QUEUE"],
    task_queues=[Queue(os.environ["BENCH_QUEUE"], durable=True, queue_arguments={"x-queue-type": "quorum"})],
    task_ignore_result=True,
)
app = Flask(__name__)


@tasks.task  # type: ignore[untyped-decorator]
def take_in(raw: str) -> None:
    """Never run here: only the way in is measured."""


@app.post("/webhooks/qlue")
def receive() -> tuple[dict[str, Any], int]:
    """Answer 202 once `.delay()` has its confirm."""
    raw = request.get_data()
    try:
        check(request.headers.get, raw)
    except Refused as refused:
        return {"status": "refused"}, refused.status
    take_in.delay(raw.decode())
    return {"status": "accepted"}, 202
