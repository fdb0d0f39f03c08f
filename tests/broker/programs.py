"""Programs the tests run as processes of their own, to be killed: `python -m tests.broker.programs NAME URL …`."""

import json
import os
import resource
import select
import signal
import sys
import threading
import time
from itertools import count
from pathlib import Path

from bridge import logs
from bridge.broker.embedded import QueueStore
from bridge.broker.publisher import NotDurable, open_publisher
from bridge.receiver.spool import SpoolingPublisher
from tests.broker.queues import LIMIT_S, Broker, names_in, webhook
from tests.servers import eventually


def hold(url: str, queue: str, number: str) -> None:
    """Take so many messages, say their names, and hold them until killed."""
    with Broker(url).taking(queue, prefetch=int(number)) as taking:
        for message in taking.wait_for(int(number)):
            print(*names_in(message.body), flush=True)
        sys.stdin.read()
        signal.pause()


def work_off(url: str, queue: str) -> None:
    """Acknowledge whatever comes and say its name, until told to go and nothing comes any more."""
    with Broker(url).taking(queue, prefetch=10) as taking:
        print("ready", flush=True)
        told_to_go = False
        while True:
            idle = taking.nothing_more() if told_to_go else taking._take() == 0
            while taking.messages:
                message = taking.messages.pop(0)
                message.ack()
                print(*names_in(message.body), flush=True)
                idle = False
            if told_to_go and idle:
                return
            told_to_go = told_to_go or _input_is_closed()


def _input_is_closed() -> bool:
    return bool(select.select([sys.stdin], [], [], 0)[0])


def die_holding(url: str, queue: str, times: str) -> None:
    """So often: take a message in a child process that then dies of SIGKILL; say how many took one."""
    took = 0
    for _ in range(int(times)):
        child = os.fork()
        if child == 0:
            with Broker(url).taking(queue, prefetch=1) as taking:
                while not taking._take(0.05):
                    pass
                os.kill(os.getpid(), signal.SIGKILL)
        took += _died(child, url, queue)
    print(took, flush=True)


def _died(child: int, url: str, queue: str) -> bool:
    until = time.monotonic() + 5
    while time.monotonic() < until:
        if os.waitpid(child, os.WNOHANG)[0]:
            return True
        time.sleep(0.02)
    os.kill(child, signal.SIGTERM)
    os.waitpid(child, 0)
    return False


def publish(url: str) -> None:
    """Publish webhooks without end, and say each name once it has been confirmed."""
    publisher = open_publisher(url)
    for number in count():
        publisher.publish([webhook(f"w{number}")], timeout_s=30)
        os.write(1, f"w{number}\n".encode())


def publish_until_full(url: str) -> None:
    """Publish until the disk is full, say so, make room, publish once more; every confirmed name is said."""
    publisher = open_publisher(url)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    try:
        for number in range(1000):
            publisher.publish([webhook(f"w{number}", 2000)], timeout_s=30)
            print(f"w{number}", flush=True)
    except NotDurable:
        print("full", flush=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    publisher.publish([webhook("after")], timeout_s=30)
    print("after", flush=True)
    publisher.close()


def open_queue(url: str) -> None:
    """Wait for the word, then open the queue's file and put one message into it."""
    print("ready", flush=True)
    sys.stdin.read()
    store = QueueStore(Path(url.removeprefix("embedded://")))
    store.put([("bridge.intake", "{}")])
    store.close()


def send_through_spool(url: str, spool: str, mark: str) -> None:
    """Send from four threads until told to stop; of each report its name, when it began and was answered, and why not."""
    inner = open_publisher(url)
    publisher = SpoolingPublisher(inner, Path(spool), floor_bytes=1_000_000)

    def keep_sending(thread: int) -> None:
        for number in count():
            if over.wait(0.01 + 0.004 * thread):  # some hundreds a second; each at a pace of its own
                return
            name, error, began = f"{mark}-{thread}-{number:05}", "", time.monotonic()
            try:
                publisher.publish([webhook(name)], timeout_s=8)
            except NotDurable as refusal:
                error = str(refusal)
            # Monotonic seconds are the machine's: those of two processes can be compared.
            os.write(1, f"{json.dumps([name, began, time.monotonic(), error])}\n".encode())

    over = threading.Event()
    threads = [threading.Thread(target=keep_sending, args=(thread,)) for thread in range(4)]
    for one in threads:
        one.start()
    sys.stdin.read()
    over.set()
    for one in threads:
        one.join()
    eventually(lambda: not publisher.spooling, LIMIT_S, "all has been forwarded")
    publisher.close()
    inner.close()


_ALL = (hold, work_off, die_holding, publish, publish_until_full, open_queue, send_through_spool)
PROGRAMS = {work.__name__: work for work in _ALL}

if __name__ == "__main__":
    logs.configure("text")  # to standard error: what is said on the output is counted
    PROGRAMS[sys.argv[1]](*sys.argv[2:])
