"""The tests' own servers keep what they promise: durable over a kill, and nothing left behind."""

import signal
import smtplib
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlsplit

import pika
import pika.exceptions
import psycopg
import pytest
import requests

from tests.conftest import Urls
from tests.server import Server, process_name, processes_below
from tests.servers import Answer, CityReceiver, Mail, Nginx, PostgreSQL, RabbitMQ, chromium_path, eventually, new_folder

ROOT = Path(__file__).parents[1]
QUEUE = "kept"


def _declare(rabbitmq: RabbitMQ, url: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        connection.channel().queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
    rabbitmq.settle()


def _publish_confirmed(url: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("", QUEUE, b"kept", pika.BasicProperties(delivery_mode=2), mandatory=True)


@pytest.mark.parametrize("end", [RabbitMQ.kill, RabbitMQ.stop])
def test_confirmed_message_in_a_quorum_queue_survives_the_end_of_rabbitmq(
    rabbitmq: RabbitMQ, amqp_url: str, end: Callable[[RabbitMQ], None]
) -> None:
    _declare(rabbitmq, amqp_url)
    _publish_confirmed(amqp_url)
    end(rabbitmq)
    assert not rabbitmq.ready()
    rabbitmq.ensure_running()
    eventually(lambda: rabbitmq.queue_depth(amqp_url, QUEUE) == 1, 20, "the message is there again")


def test_rabbitmq_cuts_its_clients_off_when_told(rabbitmq: RabbitMQ, amqp_url: str) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    rabbitmq.close_connections()
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker):
        connection.process_data_events(5)


@pytest.mark.usefixtures("amqp_url")
def test_frozen_rabbitmq_answers_nobody_until_it_thaws(rabbitmq: RabbitMQ) -> None:
    rabbitmq.freeze()
    assert rabbitmq.running
    assert not rabbitmq.ready()
    rabbitmq.thaw()
    eventually(rabbitmq.ready, 10, "it answers again")


def test_two_tests_never_share_a_vhost_or_a_database(rabbitmq: RabbitMQ, postgres: PostgreSQL) -> None:
    assert rabbitmq.new_vhost() != rabbitmq.new_vhost()
    assert postgres.new_database() != postgres.new_database()


def test_frozen_postgresql_holds_up_a_query_until_it_thaws(postgres: PostgreSQL, postgres_url: str) -> None:
    with _postgres(postgres_url) as connection, ThreadPoolExecutor() as other:
        postgres.freeze()
        query = other.submit(connection.execute, "SELECT 1")
        with pytest.raises(TimeoutError):
            query.result(0.2)
        postgres.thaw()
        assert query.result(10).fetchone() == (1,)


class Childless(Server):
    """A process with a child that has ended and was never taken notice of, as one that ends while frozen leaves."""

    def command(self) -> list[str]:
        return ["sh", "-c", "sleep 0 & exec sleep 60"]

    def ready(self) -> bool:
        return [process_name(child) for child in processes_below(self.pid)] == [""]


def test_server_freezes_though_a_child_has_ended_unnoticed() -> None:
    server = Childless(new_folder("childless"))
    try:
        server.start()
        server.freeze()
        assert server.running
    finally:
        server.close()


def test_node_can_be_asked_by_many_at_once(rabbitmq: RabbitMQ) -> None:
    with ThreadPoolExecutor(4) as many:
        assert set(many.map(rabbitmq.evaluate, ["node()"] * 40)) == {"jembatan@localhost"}


def _postgres(url: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


@pytest.mark.parametrize("end", [PostgreSQL.restart, PostgreSQL.kill])
def test_committed_row_survives_the_end_of_postgresql(
    postgres: PostgreSQL, postgres_url: str, end: Callable[[PostgreSQL], None]
) -> None:
    with _postgres(postgres_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        end(postgres)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    postgres.ensure_running()
    with _postgres(postgres_url) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
        assert connection.execute("SHOW fsync").fetchone() == ("on",)


NGINX = """
pid @folder@/nginx.pid;
events {}
http {
    client_body_temp_path @folder@/body;
    access_log off;
    server { listen 127.0.0.1:@port@; return 200 "ANSWER"; }
}
"""


def test_nginx_answers_and_takes_another_configuration() -> None:
    nginx = Nginx(new_folder("nginx"), NGINX.replace("ANSWER", "before"))
    nginx.start()
    assert requests.get(nginx.url, timeout=5).text == "before"
    nginx.reload(NGINX.replace("ANSWER", "after"))
    eventually(lambda: requests.get(nginx.url, timeout=5).text == "after", 10, "the new configuration answers")
    nginx.close()
    assert not nginx.ready()
    assert not nginx.folder.exists()


def test_server_that_cannot_start_says_why() -> None:
    nginx = Nginx(new_folder("nginx"), "events {} nonsense;")
    with pytest.raises(AssertionError, match='unknown directive "nonsense"'):
        nginx.start()
    nginx.close()


def test_chromium_runs() -> None:
    said = subprocess.run([chromium_path(), "--version"], capture_output=True, text=True, check=True, timeout=60)
    assert "Chrom" in said.stdout


OWNER = """
import sys
from tests.servers import Nginx, PostgreSQL, RabbitMQ, new_folder
makers = {"beam.smp": RabbitMQ, "postgres": PostgreSQL, "nginx": lambda folder: Nginx(folder, sys.argv[1])}
servers = [makers[name](new_folder(name)) for name in sys.argv[2:]]
for server in servers:
    server.start()
print(*(server.folder for server in servers), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("deadly", "programs"),
    [
        (signal.SIGKILL, ["beam.smp", "postgres", "nginx"]),
        (signal.SIGTERM, ["postgres", "nginx"]),
        (signal.SIGINT, ["postgres", "nginx"]),
    ],
)
def test_nothing_is_left_when_the_test_process_is_killed(deadly: signal.Signals, programs: list[str]) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, NGINX, *programs],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT,
    )  # fmt: skip
    assert owner.stdout is not None
    folders = [Path(name) for name in owner.stdout.readline().split()]
    below = processes_below(owner.pid)
    names = {process_name(pid) for pid in below}
    assert set(programs) <= names
    owner.send_signal(deadly)
    owner.communicate()
    eventually(lambda: not any(process_name(pid) for pid in below), 10, f"the end of {names}")
    eventually(lambda: not any(folder.exists() for folder in folders), 10, f"the removal of {folders}")


def test_mail_is_kept_with_sender_recipients_and_time(mail: Mail) -> None:
    _send(mail, "first")
    (mailed,) = mail.wait_for(1)
    assert (mailed.sender, mailed.recipients) == ("bridge@example.test", ("officer@example.test",))
    assert mailed.message["Subject"] == "first"
    assert mailed.message.get_content().strip() == "Segera ditangani – tolong"
    assert mailed.arrived_at.tzinfo


def test_mail_server_refuses_and_vanishes_on_request(mail: Mail) -> None:
    mail.answer_next("451 4.3.0 later")
    with pytest.raises(smtplib.SMTPDataError, match="later"):
        _send(mail, "refused once")
    mail.refuse("554 5.7.1 never")
    with pytest.raises(smtplib.SMTPDataError, match="never"):
        _send(mail, "refused always")
    mail.accept()
    mail.stop()
    with pytest.raises(ConnectionRefusedError):
        _send(mail, "nobody there")
    mail.start()
    _send(mail, "back")
    assert [mailed.message["Subject"] for mailed in mail.wait_for(1)] == ["back"]


def _send(mail: Mail, subject: str) -> None:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, "bridge@example.test", "officer@example.test"
    message.set_content("Segera ditangani – tolong")
    with smtplib.SMTP("127.0.0.1", mail.port, timeout=5) as client:
        client.send_message(message)


def test_city_receives_bytes_as_sent_and_answers_as_told(city: CityReceiver) -> None:
    city.answer_next(503, Answer(429, {"Retry-After": "7"}))
    body = b'{"a":  1}'
    answers = [requests.post(city.url, body, headers={"Webhook-Id": "m1"}, timeout=5) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 429, 200]
    assert answers[1].headers["Retry-After"] == "7"
    posted = city.wait_for(3)
    assert {(each.body, each.headers["webhook-id"], each.path) for each in posted} == {(body, "m1", "/callbacks")}


def test_city_that_is_slow_meets_the_senders_limit(city: CityReceiver) -> None:
    city.answer_next(Answer(delay_s=60))
    with pytest.raises(requests.ReadTimeout):
        requests.post(city.url, b"", timeout=0.2)


def test_waiting_in_vain_says_what_did_not_happen() -> None:
    with pytest.raises(AssertionError, match=r"not within 0.01 s: the chair is told; last answer: False"):
        eventually(lambda: False, 0.01, "the chair is told")


def test_every_engine_gets_urls_of_its_own_kind(engine_urls: Urls) -> None:
    kinds = (urlsplit(engine_urls.database_url).scheme, urlsplit(engine_urls.broker_url).scheme)
    assert kinds == {"embedded": ("sqlite", "embedded"), "full": ("postgresql+psycopg", "amqp")}[engine_urls.name]


def test_every_database_and_broker_is_promised_one_by_one(database_url: str, broker_url: str) -> None:
    assert urlsplit(database_url).scheme in {"sqlite", "postgresql+psycopg"}
    assert urlsplit(broker_url).scheme in {"embedded", "amqp"}


def test_city_receiver_takes_no_post_that_breaks_off_in_the_middle(city: CityReceiver) -> None:
    with socket.create_connection(("127.0.0.1", city.port)) as cut:
        cut.sendall(b"POST /callbacks HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
    requests.post(city.url, data=b"whole", timeout=10)
    assert [posted.body for posted in city.requests] == [b"whole"]
