"""Reference (d), the bare prototype: Flask and one pipelined pika publisher per process, confirms, `mandatory`, quorum.

As thin as it gets without leaving Flask: no spool, no reconnecting, one message per report. A request hands its body to
the I/O thread, and is woken by it once the queue has confirmed.
"""

import os
import threading
from functools import partial
from typing import Any

import pika
from flask import Flask, request
from pika.adapters.select_connection import SelectConnection
from pika.channel import Channel
from pika.spec import Basic, BasicProperties

from bench.peers.checks import Refused, check

CONFIRM_S = 8.0
QUEUE = os.environ["BENCH_QUEUE"]


class Waiting:
    """One body on its way, and the request that waits for it."""

    def __init__(self, body: bytes, message_id: str) -> None:
        self.body, self.message_id = body, message_id
        self.settled, self.safe = threading.Event(), False


class Pipeline:
    """Publishes whatever requests hand it, many unconfirmed at a time."""

    def __init__(self) -> None:
        self._waiting: dict[int, Waiting] = {}
        self._returned: set[str] = set()
        self._tag = 0
        self._ready = threading.Event()
        self._connection = SelectConnection(pika.URLParameters(os.environ["BENCH_BROKER_URL"]), self._opened)
        threading.Thread(target=self._connection.ioloop.start, daemon=True).start()

    def publish(self, body: bytes, message_id: str) -> bool:
        """Return whether the queue has confirmed in time."""
        one = Waiting(body, message_id)
        if not self._ready.wait(CONFIRM_S):
            return False
        self._connection.ioloop.add_callback_threadsafe(partial(self._send, one))
        return one.settled.wait(CONFIRM_S) and one.safe

    def _opened(self, connection: SelectConnection) -> None:
        connection.channel(on_open_callback=self._channel_opened)

    def _channel_opened(self, channel: Channel) -> None:
        self._channel = channel
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(self._on_confirm, callback=self._declare)

    def _declare(self, _: object) -> None:
        arguments = {"x-queue-type": "quorum"}
        self._channel.queue_declare(QUEUE, durable=True, arguments=arguments, callback=lambda _: self._ready.set())

    def _send(self, one: Waiting) -> None:
        properties = BasicProperties(content_type="application/json", delivery_mode=2, message_id=one.message_id)
        self._tag += 1
        self._waiting[self._tag] = one
        self._channel.basic_publish("", QUEUE, one.body, properties, mandatory=True)

    def _on_return(self, _: Channel, __: Basic.Return, properties: BasicProperties, ___: bytes) -> None:
        self._returned.add(properties.message_id)

    def _on_confirm(self, frame: pika.frame.Method) -> None:
        last, acked = frame.method.delivery_tag, isinstance(frame.method, Basic.Ack)
        tags = [tag for tag in self._waiting if tag <= last] if frame.method.multiple else [last]
        for tag in tags:
            one = self._waiting.pop(tag)
            one.safe = acked and one.message_id not in self._returned
            one.settled.set()


app = Flask(__name__)
pipeline = Pipeline()


@app.post("/webhooks/qlue")
def receive() -> tuple[dict[str, Any], int]:
    """Answer 202 once the queue has confirmed."""
    raw = request.get_data()
    try:
        check(request.headers.get, raw)
    except Refused as refused:
        return {"status": "refused"}, refused.status
    if not pipeline.publish(raw, request.headers["webhook-id"]):
        return {"status": "refused"}, 503
    return {"status": "accepted"}, 202
