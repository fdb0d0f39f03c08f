"""Reference (c), the ceiling: pika's SelectConnection with many confirms outstanding; no HTTP, no checks.

    python -m bench.peers.bare_publisher amqp://… QUEUE --messages 40000 --bytes 1200 --window 500

Prints one JSON object: confirmed, seconds, per_s.
"""

import argparse
import json
import time

import pika
from pika.adapters.select_connection import SelectConnection
from pika.channel import Channel
from pika.spec import Basic, BasicProperties

#: A run that has not finished by then is reported as far as it came.
LIMIT_S = 60.0


class BarePublisher:
    """Publishes `messages` bodies of `size_bytes`, at most `window` unconfirmed, and counts the confirms."""

    def __init__(self, url: str, queue: str, *, messages: int, size_bytes: int, window: int) -> None:
        self._queue, self._messages, self._window = queue, messages, window
        self._body = b"x" * size_bytes
        self._properties = BasicProperties(content_type="application/json", delivery_mode=2)
        self.sent = self.confirmed = self.refused = 0
        self._started_at = 0.0
        self.seconds = 0.0
        self._connection = SelectConnection(
            pika.URLParameters(url), on_open_callback=self._opened, on_open_error_callback=self._stop
        )

    def run(self) -> None:
        """Publish everything; returns at the last confirm, or after LIMIT_S."""
        self._connection.ioloop.call_later(LIMIT_S, self._finish)
        self._connection.ioloop.start()

    def _opened(self, connection: SelectConnection) -> None:
        connection.channel(on_open_callback=self._channel_opened)

    def _channel_opened(self, channel: Channel) -> None:
        self._channel = channel
        channel.confirm_delivery(self._on_confirm, callback=self._ready)

    def _ready(self, _: object) -> None:
        arguments = {"x-queue-type": "quorum"}
        self._channel.queue_declare(self._queue, durable=True, arguments=arguments, callback=self._start)

    def _start(self, _: object) -> None:
        self._started_at = time.monotonic()
        self._fill()

    def _fill(self) -> None:
        while self.sent < self._messages and self.sent - self.confirmed - self.refused < self._window:
            self._channel.basic_publish("", self._queue, self._body, self._properties, mandatory=True)
            self.sent += 1

    def _on_confirm(self, frame: pika.frame.Method) -> None:
        settled = self.confirmed + self.refused
        count = frame.method.delivery_tag - settled if frame.method.multiple else 1
        if isinstance(frame.method, Basic.Ack):
            self.confirmed += count
        else:
            self.refused += count
        if settled + count >= self._messages:
            self._finish()
        else:
            self._fill()

    def _finish(self) -> None:
        if not self.seconds and self._started_at:
            self.seconds = time.monotonic() - self._started_at
        self._stop()

    def _stop(self, *_: object) -> None:
        self._connection.ioloop.stop()


def main() -> None:
    """Publish and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("queue")
    parser.add_argument("--messages", type=int, default=40_000)
    parser.add_argument("--bytes", type=int, default=1200)
    parser.add_argument("--window", type=int, default=500)
    options = parser.parse_args()
    bare = BarePublisher(
        options.url, options.queue, messages=options.messages, size_bytes=options.bytes, window=options.window
    )
    bare.run()
    seconds = bare.seconds or float("inf")
    print(json.dumps({"confirmed": bare.confirmed, "seconds": seconds, "per_s": bare.confirmed / seconds}))


if __name__ == "__main__":
    main()
