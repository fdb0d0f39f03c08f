"""Mail over the wire, to real servers: whose fault it is, what is sent in clear, and that no server holds us up."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from email import message_from_bytes
from email.message import Message
from urllib.parse import quote

import pytest

from bridge.delivery.email import compose
from bridge.delivery.errors import Fault, NotDelivered, Taken
from bridge.delivery.smtp import GREYLIST_S, LIMIT_S, SmtpMailer
from bridge.delivery.smtp_server import BadSmtpUrl, read_smtp_url
from consumers.telling import LEASE_S
from tests.waiting import free_port
from tests.web.mail_servers import PASSWORD, USER, Authority, Net, Post, Talk, check_login

LOGIN = f"{USER}:{quote(PASSWORD, safe='')}@"
AWAY, REFUSED = Fault.AWAY, Fault.REFUSED
#: Seconds the tests give a server that never comes to an end.
SHORT_S = 1.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who the test's certificates are of."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture
def net() -> Iterator[Net]:
    """Makes servers and mailers."""
    with ExitStack() as stack:
        yield Net(stack)


def letter(number: int = 1, text: str = "Yth. Ani,\n\n.titik di awal\n") -> Message:
    return compose(
        sender="jembatan@bpsk.example",
        to_name="Ani",
        to_address="ani@bpsk.example",
        subject="Laporan baru",
        text=text,
        html="<p>Yth. Ani</p>",
        delivery_id=f"d-{number}",
        ticket="K7Q2-9XWM-4T8R",
    )


def refused(mailer: SmtpMailer, message: Message | None = None) -> NotDelivered:
    """Return how sending fails."""
    with pytest.raises(NotDelivered) as error:
        mailer.send(message or letter())
    return error.value


def test_mail_is_taken_byte_for_byte_and_the_answer_is_kept(post: Post, net: Net) -> None:
    port = net.serve(post)
    assert net.mailer(f"smtp://127.0.0.1:{port}").send(letter()) == Taken(250, "2.0.0 queued as 7F3A")
    arrived = message_from_bytes(post.taken[0])
    assert arrived["Message-ID"] == "<d-1@bpsk.example>"
    plain = arrived.get_payload(0)
    assert isinstance(plain, Message)
    assert plain.get_payload(decode=True) == b"Yth. Ani,\r\n\r\n.titik di awal\r\n"


@pytest.mark.parametrize(
    ("where", "answer", "fault", "permanent", "retry_after_s"),
    [
        ("rcpt", "550 5.1.1 no such mailbox", REFUSED, True, None),
        ("rcpt", "553 not allowed", REFUSED, True, None),
        ("data", "554 5.7.1 looks like spam", REFUSED, True, None),
        ("data", "552 5.3.4 too big", REFUSED, True, None),
        ("rcpt", "451 4.7.1 greylisted, come again", REFUSED, False, GREYLIST_S),
        ("rcpt", "450 4.2.0 greylisted", REFUSED, False, GREYLIST_S),
        ("rcpt", "452 4.2.2 mailbox full", REFUSED, False, None),
        ("data", "451 4.7.1 come again", REFUSED, False, GREYLIST_S),
        ("data", "451 4.3.0 no space left", AWAY, False, None),
        ("rcpt", "421 4.3.2 shutting down", AWAY, False, None),
        ("data", "421 too busy", AWAY, False, None),
        ("rcpt", "530 5.7.0 log in first", AWAY, False, None),
    ],
)
def test_answer_tells_whose_fault_it_is(
    post: Post, net: Net, where: str, answer: str, fault: Fault, permanent: bool, retry_after_s: float | None
) -> None:
    getattr(post, where).append(answer)
    port = net.serve(post)
    mailer = net.mailer(f"smtp://127.0.0.1:{port}")
    error = refused(mailer)
    assert mailer.send(letter(2)).status == 250, "the next one goes through"
    assert (error.fault, error.permanent, error.retry_after_s) == (fault, permanent, retry_after_s)
    assert (error.status, f"{error.status} {error.response}", error.detail) == (int(answer[:3]), answer, answer)
    assert len(post.taken) == 1


def test_sender_the_server_does_not_take_is_no_fault_of_the_mail(net: Net) -> None:
    port = net.play(greeting("MAIL", "550 5.7.1 you are not allowed to send as that"))
    error = refused(net.mailer(f"smtp://127.0.0.1:{port}"))
    assert (error.fault, error.permanent, error.status) == (AWAY, False, 550)
    assert "BRIDGE_MAIL_FROM" in error.detail


def greeting(word: str, answer: str) -> Callable[[Talk], None]:
    """A server that greets and then answers one word."""

    def play(talk: Talk) -> None:
        talk.say("220 mail.example\r\n")
        talk.hear("EHLO")
        talk.say("250 mail.example\r\n")
        talk.hear(word)
        talk.say(f"{answer}\r\n")
        talk.ended.wait(20)

    return play


def says(text: str | bytes, *, hang_up: bool = True) -> Callable[[Talk], None]:
    """A server that only says this."""

    def play(talk: Talk) -> None:
        talk.say(text)
        if not hang_up:
            talk.ended.wait(20)

    return play


@pytest.mark.parametrize(
    ("script", "status"),
    [
        (says("554 5.3.2 no service for you\r\n"), 554),
        (says("421 too many connections\r\n"), 421),
        (says(b"\x16\x03\x01 \xff\xfe\0 garbage\r\n"), None),
        (says("HTTP/1.1 400 Bad Request\r\n\r\n"), None),
        (says("220 " + "x" * 20_000 + "\r\n"), 500),
        (says("220-endless\r\n" * 10_000, hang_up=False), None),
        (says(""), None),
        (greeting("MAIL", "nonsense"), None),
        (greeting("MAIL", "999 what"), None),
    ],
    ids=["554", "421", "garbage", "HTTP", "long line", "endless", "hangs up", "nonsense", "999"],
)
def test_server_that_does_not_speak_of_the_mail_is_away(
    net: Net, script: Callable[[Talk], None], status: int | None
) -> None:
    port = net.play(script)
    error = refused(net.mailer(f"smtp://127.0.0.1:{port}"))
    assert (error.fault, error.permanent, error.status) == (AWAY, False, status)
    assert "\0" not in error.detail


def test_server_that_talks_without_end_is_cut_short_before_it_fills_the_memory(net: Net) -> None:
    port = net.play(says("220-endless\r\n" * 10_000, hang_up=False))
    assert "more than a mail server has to say" in refused(net.mailer(f"smtp://127.0.0.1:{port}")).detail


def test_nobody_there_is_away(net: Net) -> None:
    assert refused(net.mailer(f"smtp://127.0.0.1:{free_port()}")).fault is AWAY


def drip_banner(talk: Talk) -> None:
    while not talk.ended.wait(0.05):
        talk.say("2")


def drip_answer(talk: Talk) -> None:
    talk.until_data()
    talk.hear(".\r\n")
    while not talk.ended.wait(0.05):
        talk.say("250-wait\r\n")


def silence(talk: Talk) -> None:
    talk.ended.wait(20)


@pytest.mark.parametrize("script", [drip_banner, drip_answer, silence])
def test_server_that_never_comes_to_an_end_is_left_in_time(net: Net, script: Callable[[Talk], None]) -> None:
    port = net.play(script)
    began = time.monotonic()
    assert refused(net.mailer(f"smtp://127.0.0.1:{port}", limit_s=SHORT_S)).fault is AWAY
    assert time.monotonic() - began < SHORT_S + 1


def test_tls_that_never_comes_to_an_end_is_left_in_time(net: Net) -> None:
    port = net.play(silence)
    began = time.monotonic()
    assert refused(net.mailer(f"smtps://127.0.0.1:{port}", limit_s=SHORT_S)).fault is AWAY
    assert time.monotonic() - began < SHORT_S + 1


def test_whole_sending_is_shorter_than_the_lease_of_its_attempt() -> None:
    assert LIMIT_S < 60 < LEASE_S


def lose_in_the_middle(talk: Talk) -> None:
    talk.until_data()
    talk.hear("Subject:")


def lose_before_the_answer(talk: Talk) -> None:
    talk.until_data()
    talk.hear(".\r\n")


def nonsense_after_the_mail(talk: Talk) -> None:
    lose_before_the_answer(talk)
    talk.say("well\r\n")


def test_connection_lost_in_the_middle_of_the_mail_is_away(net: Net) -> None:
    port = net.play(lose_in_the_middle)
    error = refused(net.mailer(f"smtp://127.0.0.1:{port}"), letter(text="panjang " * 200_000))
    assert (error.fault, error.permanent) == (AWAY, False)


def test_mail_whose_answer_was_lost_is_sent_again_under_the_same_id(post: Post, net: Net) -> None:
    seen: list[str] = []

    def note_and_lose(talk: Talk) -> None:
        talk.until_data()
        seen.append(talk.hear("Message-ID:"))
        talk.hear(".\r\n")

    def note_and_take(talk: Talk) -> None:
        note_and_lose(talk)
        talk.say("250 ok\r\n")

    port = net.play(note_and_lose, note_and_take)
    mailer = net.mailer(f"smtp://127.0.0.1:{port}")
    error = refused(mailer)
    assert mailer.send(letter()).status == 250
    assert (error.fault, error.permanent, error.status) == (AWAY, False, None)
    assert "may have arrived" in error.detail
    assert seen == ["Message-ID: <d-1@bpsk.example>\r\n"] * 2


def test_connection_the_server_closed_between_two_mails_is_made_anew(net: Net) -> None:
    def take_one(talk: Talk) -> None:
        lose_before_the_answer(talk)
        talk.say("250 ok\r\n")

    port = net.play(take_one, take_one)
    mailer = net.mailer(f"smtp://127.0.0.1:{port}")
    assert [mailer.send(letter(n)).status for n in (1, 2)] == [250, 250]


def test_server_that_takes_one_mail_a_connection_gets_the_next_on_another(net: Net) -> None:
    def take_one(talk: Talk) -> None:
        lose_before_the_answer(talk)
        talk.say("250 ok\r\n")
        talk.hear("MAIL")
        talk.say("421 4.7.0 too many mails\r\n")
        talk.hear("nothing any more")

    mailer = net.mailer(f"smtp://127.0.0.1:{net.play(take_one, take_one)}")
    assert [mailer.send(letter(n)).status for n in (1, 2)] == [250, 250]


def test_kept_connection_is_reset_after_a_refusal_and_only_then(net: Net) -> None:
    heard: list[str] = []

    def answer(talk: Talk) -> None:
        talk.say("220 mail.example\r\n")
        for word, said in (
            ("EHLO", "250 mail.example"),
            *(("MAIL", "250 ok"), ("RCPT", "250 ok"), ("DATA", "354 go on"), (".", "250 taken")),
            *(("MAIL", "250 ok"), ("RCPT", "550 nobody of this name")),
            *(("RSET", "250 ok"), ("MAIL", "250 ok"), ("RCPT", "250 ok"), ("DATA", "354 go on"), (".", "550 no")),
            *(("MAIL", "250 ok"), ("RCPT", "250 ok"), ("DATA", "354 go on"), (".", "250 taken")),
        ):
            heard.append(talk.hear("")[:4] if word != "." else talk.hear(".\r")[:1])
            talk.say(said + "\r\n")
            assert heard[-1].upper() == word

    mailer = net.mailer(f"smtp://127.0.0.1:{net.play(answer)}")
    assert mailer.send(letter(1)).status == 250
    assert refused(mailer).status == 550
    assert refused(mailer).status == 550
    assert mailer.send(letter(4)).status == 250
    assert len(heard) == 16


def test_connection_with_an_answer_outstanding_is_not_used_again(net: Net) -> None:
    """A late answer to this mail would be taken for the answer to the next."""

    def too_late(talk: Talk) -> None:
        talk.say("220 mail.example\r\n")
        talk.hear("EHLO")
        talk.say("250 mail.example\r\n")
        talk.hear("nothing any more")

    def take_one(talk: Talk) -> None:
        lose_before_the_answer(talk)
        talk.say("250 ok\r\n")

    mailer = net.mailer(f"smtp://127.0.0.1:{net.play(too_late, take_one)}", limit_s=SHORT_S)
    assert refused(mailer).fault is AWAY
    assert mailer.send(letter(2)).status == 250


def test_greylisted_recipient_is_taken_when_we_come_again(post: Post, net: Net) -> None:
    post.rcpt = ["451 4.7.1 greylisted"]
    port = net.serve(post)
    mailer = net.mailer(f"smtp://127.0.0.1:{port}")
    assert refused(mailer).retry_after_s == GREYLIST_S
    assert mailer.send(letter()).status == 250


def test_starttls_is_used_where_it_is_offered(authority: Authority, post: Post, net: Net) -> None:
    port = net.serve(post, tls_context=authority.context())
    net.mailer(f"smtp://127.0.0.1:{port}", authority.trusted).send(letter())
    net.mailer(f"smtp://127.0.0.1:{port}?starttls=required", authority.trusted).send(letter())
    net.mailer(f"smtp://127.0.0.1:{port}?starttls=never").send(letter())
    assert post.under_tls == [True, True, False]


def test_tls_from_the_start_and_a_login(authority: Authority, post: Post, net: Net) -> None:
    port = net.serve(post, tls=authority.context(), authenticator=check_login, auth_require_tls=False)
    net.mailer(f"smtps://{LOGIN}127.0.0.1:{port}", authority.trusted).send(letter())
    assert (post.under_tls, post.logged_in) == ([True], [True])


def test_login_after_starttls(authority: Authority, post: Post, net: Net) -> None:
    port = net.serve(post, tls_context=authority.context(), authenticator=check_login, auth_required=True)
    net.mailer(f"smtp://{LOGIN}127.0.0.1:{port}?starttls=required", authority.trusted).send(letter())
    assert (post.under_tls, post.logged_in) == ([True], [True])


def test_refused_login_says_what_to_do_and_not_the_password(authority: Authority, post: Post, net: Net) -> None:
    port = net.serve(post, tls_context=authority.context(), authenticator=check_login, auth_required=True)
    error = refused(net.mailer(f"smtp://{USER}:geheim-1234@127.0.0.1:{port}", authority.trusted))
    assert (error.fault, error.permanent, error.status) == (AWAY, False, 535)
    assert "BRIDGE_SMTP_URL" in error.detail
    assert "geheim" not in error.detail


@pytest.mark.parametrize("scheme", ["smtps", "smtp"])
def test_certificate_nobody_vouches_for_is_not_talked_to(
    authority: Authority, post: Post, net: Net, scheme: str
) -> None:
    tls = authority.context()
    port = net.serve(post, **({"tls": tls} if scheme == "smtps" else {"tls_context": tls}))
    error = refused(net.mailer(f"{scheme}://127.0.0.1:{port}"))
    assert (error.fault, post.taken) == (AWAY, [])
    assert "SSL_CERT_FILE" in error.detail


def test_certificate_of_another_name_is_not_talked_to(authority: Authority, post: Post, net: Net) -> None:
    port = net.serve(post, tls=authority.context())
    assert refused(net.mailer(f"smtps://localhost:{port}", authority.trusted)).fault is AWAY
    assert post.taken == []


def test_own_authority_is_trusted_through_openssl_s_variable(
    authority: Authority, post: Post, net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.trusted))
    port = net.serve(post, tls=authority.context())
    net.mailer(f"smtps://127.0.0.1:{port}").send(letter())
    assert post.under_tls == [True]


def test_server_that_must_but_does_not_offer_starttls_sees_neither_mail_nor_password(net: Net) -> None:
    heard: list[str] = []

    def listen(talk: Talk) -> None:
        talk.say("220 mail.example\r\n")
        heard.append(talk.hear("EHLO"))
        talk.say("250-mail.example\r\n250 AUTH PLAIN LOGIN\r\n")
        heard.append(talk.hear(""))

    port = net.play(listen)
    error = refused(net.mailer(f"smtp://{LOGIN}127.0.0.1:{port}?starttls=required"))
    assert error.fault is AWAY
    assert [line[:4].upper() for line in heard] == ["EHLO"]


@pytest.mark.parametrize(
    "url",
    [
        "smtp://ani:rahasia@mail.example?starttls=never",
        "smtp://ani:rahasia@mail.example?starttls=optional",
        "smtp://ani:rahasia@localhost:25?starttls=never",
        "smtp://ani:rahasia@mail.example?startls=required",
        "smtp://mail.example?starttls=maybe",
        "smtps://mail.example?starttls=required",
        "smtp://mail.example:99999",
    ],
)
def test_address_that_could_send_a_password_in_clear_or_is_misspelt_is_refused(url: str) -> None:
    with pytest.raises(BadSmtpUrl) as error:
        read_smtp_url(url)
    assert "rahasia" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("smtp://mail.example", ("mail.example", 25, False, "optional")),
        ("smtps://mail.example", ("mail.example", 465, True, "optional")),
        ("smtp://ani:x@mail.example:587", ("mail.example", 587, False, "required")),
        ("smtp://ani:x@[::1]:587", ("::1", 587, False, "optional")),
        ("smtp://ani:x@127.0.0.1?starttls=never", ("127.0.0.1", 25, False, "never")),
    ],
)
def test_password_asks_for_starttls_but_on_this_machine(url: str, read: tuple[str, int, bool, str]) -> None:
    server = read_smtp_url(url)
    assert (server.host, server.port, server.tls, server.starttls) == read
    assert "x" not in repr(server).replace("example", "")


def test_answer_is_kept_short_and_without_the_addresses_of_others_or_the_password(post: Post, net: Net) -> None:
    post.rcpt = [f"550 <ani@bpsk.example> unknown, try budi@bpsk.example with {PASSWORD} " + "x" * 450]
    port = net.serve(post, authenticator=check_login, auth_require_tls=False)
    error = refused(net.mailer(f"smtp://{LOGIN}127.0.0.1:{port}"))
    assert error.response.startswith("<ani@bpsk.example> unknown, try …@… with … xxx")
    port = net.play(greeting("MAIL", "550-" + "\r\n550-".join(["y" * 400] * 5) + "\r\n550 end"))
    assert len(refused(net.mailer(f"smtp://127.0.0.1:{port}")).response) == 1000


def test_greeting_alone_finds_what_is_wrong_with_the_login(authority: Authority, post: Post, net: Net) -> None:
    port = net.serve(post, tls_context=authority.context(), authenticator=check_login)
    net.mailer(f"smtp://{LOGIN}127.0.0.1:{port}", authority.trusted).greet()
    with pytest.raises(NotDelivered, match="BRIDGE_SMTP_URL"):
        net.mailer(f"smtp://{USER}:x@127.0.0.1:{port}", authority.trusted).greet()
