"""Which addresses are spoken to: whatever the spelling, nothing inside is reached unless the operator opened it."""

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.delivery.addresses import Allowed, BadAllow, BadUrl, read_allowed, read_target, why_forbidden
from bridge.delivery.guarded import Forbidden, Guard
from bridge.delivery.timed import SocketAddress

INSIDE = """0.0.0.0 10.1.2.3 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254 168.63.129.16 169.254.169.254 172.16.0.1
172.31.255.255 192.0.0.8 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.250
240.0.0.1 255.255.255.255 :: ::1 ::7f00:1 ::808:808 ::ffff:127.0.0.1 ::ffff:169.254.169.254 64:ff9b::7f00:1 64:ff9b::808:808
64:ff9b:1::1 100::1 2001::1 2001:db8::1 2001:10::1 2002:7f00:1::1 2002:808:808::1 3fff::1 5f00::1 fc00::1
fd00:ec2::254 fe80::1 fec0::1 ff02::1""".split()
OUTSIDE = "8.8.8.8 93.184.216.34 172.32.0.1 100.128.0.1 192.0.1.1 2606:4700::1111 2a00:1450::1 ::ffff:8.8.8.8".split()


@pytest.mark.parametrize("text", INSIDE)
def test_address_that_is_not_of_the_open_internet_is_forbidden(text: str) -> None:
    assert why_forbidden(ip_address(text))


@pytest.mark.parametrize("text", OUTSIDE)
def test_address_of_the_open_internet_is_not(text: str) -> None:
    assert why_forbidden(ip_address(text)) is None


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_nothing_pythons_own_list_calls_inside_is_let_through(address: IPv4Address | IPv6Address) -> None:
    if not address.is_global or address.is_multicast:
        assert why_forbidden(address)


@given(st.sampled_from([text for text in INSIDE if ":" not in text]).map(IPv4Address))
def test_no_form_of_ipv6_leads_to_an_address_of_ipv4_inside(address: IPv4Address) -> None:
    number, everything = int(address), Allowed((ip_network("::/0"),))
    embedded = [number, 0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x64FF9B_0001 << 80 | number]
    embedded += [0x2002 << 112 | number << 80, 0x20010000 << 96 | (number ^ 0xFFFF_FFFF)]
    for form in map(IPv6Address, (one for one in embedded if one > 1)):
        assert why_forbidden(form), form
        assert why_forbidden(form, everything), f"{form}: allowing the tunnel does not allow where it leads"


@pytest.mark.parametrize(
    ("text", "opened"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("10.0.0.5", True),
        ("192.168.1.9", True),
        ("fd12::1", True),
        ("::ffff:10.0.0.5", True),
    ]
    + [
        (text, False)
        for text in ("169.254.169.254", "fd00:ec2::254", "fe80::1", "100.64.0.1", "0.0.0.1", "::", "224.0.0.1")
    ],
)
def test_writing_out_an_address_opens_this_machine_and_private_networks_and_nothing_else(
    text: str, opened: bool
) -> None:
    assert (why_forbidden(ip_address(text), near=True) is None) == opened


@pytest.mark.parametrize(
    "text", [text for text in INSIDE if ":" not in text or not text.startswith(("2002", "2001::", "::", "64:"))]
)
def test_address_the_operator_allowed_is_spoken_to(text: str) -> None:
    assert why_forbidden(ip_address(text), read_allowed(text)) is None


def test_allowing_one_address_leaves_its_neighbour_forbidden() -> None:
    allowed = read_allowed("10.1.2.0/30 fd12::/64 Dalam.Kota.example.")
    assert allowed.names == {"dalam.kota.example"}
    found = {text: why_forbidden(ip_address(text), allowed) for text in ("10.1.2.3", "10.1.2.4", "fd12::9", "fd13::9")}
    assert found == {"10.1.2.3": None, "10.1.2.4": "private", "fd12::9": None, "fd13::9": "private"}


def test_every_entry_that_is_neither_network_nor_name_is_named() -> None:
    with pytest.raises(BadAllow) as bad:
        read_allowed("10.1.2.3/24 10.0.0.0/8 http://x 1.2.3.256 ok.example 10.0.0.0/33 a..b")
    assert str(bad.value) == "'10.1.2.3/24', 'http://x', '1.2.3.256', '10.0.0.0/33', 'a..b'"


# --- spellings ------------------------------------------------------------------------------------------------------


def numeric(host: str, port: int) -> Sequence[tuple[int, SocketAddress]]:
    """Ask the system's own reader of odd spellings, but no DNS."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return [(family, address) for family, _, _, _, address in found]


def addresses(url: str) -> Sequence[tuple[int, SocketAddress]]:
    """Return where a citizen's URL would lead to."""
    return Guard(resolve=numeric).addresses(read_target(url), near=False, within_s=5)


@pytest.mark.parametrize(
    "host",
    [
        *"""127.0.0.1 127.0.0.1. 2130706433 0x7f000001 0x7f.1 0177.0.0.1 127.1 0177.1 0x7f.0.0.0x1 017700000001 0 0.0
        [::1] [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:ffff:127.0.0.1] [::127.0.0.1] [64:ff9b::127.0.0.1]
        [fe80::1%25lo] [fe80::1%lo] [2606:4700::1%25lo] [2606:4700::1%1] [::1%1] 127%2e0%2e0%2e1 %31%32%37.0.0.1 １２７.0.0.1 127。0。0。1 ①②⑦.0.0.1
        169.254.169.254 2852039166 0xA9FEA9FE user@127.0.0.1 8.8.8.8@127.0.0.1 8.8.8.8:80@127.0.0.1
        8.8.8.8\\@127.0.0.1 127.0.0.1\\@8.8.8.8 127.0.0.1#@8.8.8.8 127.0.0.1?@8.8.8.8 127.0.0.1%00.example
        . .. - [ ] []""".split(),
        *("127.0.0.1\t", "127.0.0.1\x00.example", "127.0.0.1 .example", "127.0.0.1\n.example", ""),
    ],
)
def test_no_spelling_of_a_host_reaches_this_machine(host: str) -> None:
    with pytest.raises((BadUrl, Forbidden, OSError)):
        assert addresses(f"http://{host}:8311/") == "refused"


def _spellings(address: IPv4Address) -> st.SearchStrategy[str]:
    number = int(address)
    parts = [number >> 24, number >> 16 & 255, number >> 8 & 255, number & 255]
    short = [[number], [parts[0], number & 0xFF_FFFF], [*parts[:2], number & 0xFFFF], parts]
    written = st.sampled_from([str, hex, lambda n: f"0{n:o}", lambda n: f"0X{n:X}", lambda n: f"00{n:o}"])
    dots = st.sampled_from([".", "。", "．", "%2e"])
    last = st.sampled_from(["", "."])

    def joined(numbers: list[int]) -> st.SearchStrategy[str]:
        texts = st.tuples(*[written.map(lambda how, n=n: how(n)) for n in numbers])
        return st.tuples(texts, dots, last).map(lambda made: made[1].join(made[0]) + made[2])

    inside = [
        f"[::ffff:{address}]",
        f"[::{address}]",
        f"[64:ff9b::{address}]",
        f"[::ffff:{number >> 16:x}:{number & 0xFFFF:x}]",
    ]
    return st.one_of(st.sampled_from(short).flatmap(joined), st.sampled_from(inside))


@given(st.sampled_from([text for text in INSIDE if ":" not in text]).map(IPv4Address).flatmap(_spellings))
def test_whatever_the_spelling_an_address_inside_is_refused(host: str) -> None:
    with pytest.raises((BadUrl, Forbidden, OSError)):
        assert addresses(f"http://{host}/") == "refused"


@given(st.text(max_size=40))
def test_any_text_as_a_url_is_read_or_refused_and_leads_to_nothing_inside(text: str) -> None:
    for url in (text, f"http://{text}", f"http://{text}/", f"https://8.8.8.8{text}"):
        try:
            found = addresses(url)
        except (BadUrl, Forbidden, OSError):
            continue
        assert all(ip_address(address[0]).is_global for _, address in found)


def test_url_is_taken_apart_as_it_will_be_asked_for() -> None:
    target = read_target("HTTPS://Foto.Kota.example.:8443/bon baru.jpg?a=b c&d=%20é")
    assert (target.tls, target.host, target.dns_name) == (True, "foto.kota.example", "foto.kota.example.")
    assert (target.authority, target.path) == ("foto.kota.example:8443", "/bon%20baru.jpg?a=b%20c&d=%20%C3%A9")
    assert read_target("https://[2606:4700::1111]").authority == "[2606:4700::1111]"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/",
        "//a.example/",
        "file:///etc/passwd",
        "http://a.example:0/",
        "http://a.example:99999/",
        "http://\ud800/",
        "http://a/\ud800",
    ],
)
def test_what_is_no_address_on_the_web_is_refused(url: str) -> None:
    with pytest.raises(BadUrl):
        read_target(url)
