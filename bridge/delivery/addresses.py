"""Which addresses we may speak to: the rule alone, without a network.

Whoever chooses a URL must not choose what it reaches inside: a cloud's metadata, a neighbour, ourselves
(server-side request forgery, OWASP A10:2021). The ranges are those of the IANA special-purpose address registries
(RFC 6890, as of 2025), written out here since `ipaddress.is_global` differs between Pythons.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import quote, unquote, urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: Where an operator's own servers are: opened by writing the address itself, or by allowing a name.
_NEAR: dict[str, tuple[str, ...]] = {
    "this machine": ("127.0.0.0/8", "::1/128"),
    "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
}
#: Opened by nothing but its own entry in BRIDGE_OUTGOING_ALLOW.
_FAR: dict[str, tuple[str, ...]] = {
    # Whoever reads one of these may own the machine: AWS (also IPv6), Google, Azure, Oracle, Alibaba, Azure's host.
    "metadata of a cloud": (
        "169.254.169.254/32", "fd00:ec2::254/128", "192.0.0.192/32", "100.100.100.200/32", "168.63.129.16/32",
    ),
    "link-local": ("169.254.0.0/16", "fe80::/10"),
    "shared by a carrier (RFC 6598)": ("100.64.0.0/10",),
    "unspecified": ("0.0.0.0/8", "::/128"),
    "multicast": ("224.0.0.0/4", "ff00::/8"),
    "documentation": ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"),
    "benchmarks": ("198.18.0.0/15",),
    "6to4": ("192.88.99.0/24", "2002::/16"),
    "Teredo": ("2001::/32",),
    "NAT64": ("64:ff9b::/96", "64:ff9b:1::/48"),
    "IPv4 inside IPv6": ("::/96",),
    "site-local": ("fec0::/10",),
    "for protocols": ("192.0.0.0/24", "2001::/23"),
    "reserved": ("240.0.0.0/4",),
}  # fmt: skip


def _networks(table: dict[str, tuple[str, ...]]) -> tuple[tuple[Network, str], ...]:
    return tuple((ip_network(text), why) for why, texts in table.items() for text in texts)


_NEAR_NETWORKS, _FAR_NETWORKS = _networks(_NEAR), _networks(_FAR)
#: Where the last 32 bits are an address of IPv4: NAT64 (RFC 6052, RFC 8215) and the compatible form (RFC 4291).
_LAST_32_BITS = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"), IPv6Network("::/96"))
#: All that has been given out for the open internet (RFC 4291 section 2.4).
_GLOBAL_UNICAST = IPv6Network("2000::/3")
#: Letters, digits, dashes and underscores; what browsers and glibc read otherwise (%, full-width dots) is no name.
_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.ASCII)
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
#: What may stand in a path or query as it is (RFC 3986); `%` since it may begin an escape.
_SAFE = "!#$%&'()*+,/:;=?@[]~"


class BadUrl(ValueError):
    """Not a URL we would ask for."""


class BadAllow(ValueError):
    """An entry of BRIDGE_OUTGOING_ALLOW that is neither a network nor a name."""


@dataclass(frozen=True)
class Target:
    """A URL taken apart once, so that what is checked and what is connected to cannot be read differently.

    `host` is an address or a name in ASCII, small letters, without a last dot; `dns_name` keeps that dot.
    `path` begins with / and has its query; `user` is "name:password" where the URL has one, else "".
    """

    tls: bool
    host: str
    dns_name: str
    port: int
    path: str
    user: str = ""

    @property
    def literal(self) -> Address | None:
        """Return the address where the URL names one the usual way, else None."""
        return read_address(self.host)

    @property
    def authority(self) -> str:
        """Return what the Host header says (RFC 9110 section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


@dataclass(frozen=True)
class Allowed:
    """What the operator opened: networks, and names that may lie on this machine or in a private network."""

    networks: tuple[Network, ...] = ()
    names: frozenset[str] = frozenset()

    def has(self, address: Address) -> bool:
        """Tell whether a network holds the address."""
        return any(address.version == network.version and address in network for network in self.networks)


NOTHING = Allowed()


def read_target(url: str) -> Target:
    """Take a URL apart.

    Raises:
        BadUrl: not http or https, no host, a host in an odd spelling, spaces or control characters.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise BadUrl(f"not a URL: {error}") from None
    if parts.scheme not in ("http", "https"):
        raise BadUrl("only http and https are asked for")
    if _UNSAFE.search(parts.netloc) or port == 0:
        raise BadUrl("its host or port cannot be read")
    dns_name = _host(host)
    tls = parts.scheme == "https"
    try:
        path = quote(parts.path or "/", safe=_SAFE) + (f"?{quote(parts.query, safe=_SAFE)}" if parts.query else "")
    except UnicodeEncodeError:  # half of a surrogate pair
        raise BadUrl("its path cannot be written") from None
    user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}" if "@" in parts.netloc else ""
    return Target(tls, dns_name.removesuffix("."), dns_name, port or (443 if tls else 80), path, user)


def _host(text: str) -> str:
    if ":" in text:
        literal = read_address(text)
        if literal is None:
            raise BadUrl("its host is no address of IPv6")
        return str(literal)
    try:
        name = text.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise BadUrl("its host is no name") from None
    if not _NAME.fullmatch(name.removesuffix(".")):
        raise BadUrl("its host is neither a name nor an address")
    return name


def read_address(text: str) -> Address | None:
    """Return an address, or None for one with a zone, one written as a number or in octal, or none at all."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A zone means another machine on every machine.
    return None if isinstance(address, IPv6Address) and address.scope_id else address


def read_allowed(text: str) -> Allowed:
    """Read networks (10.1.2.0/24), addresses and host names, separated by spaces.

    Raises:
        BadAllow: naming every entry that is none of them.
    """
    networks: list[Network] = []
    names: set[str] = set()
    bad: list[str] = []
    for entry in text.split():
        try:
            networks.append(ip_network(entry))
        except ValueError:
            name = entry.lower().removesuffix(".")
            if _is_name(name):
                names.add(name)
            else:
                bad.append(entry)
    if bad:
        raise BadAllow(", ".join(map(repr, bad)))
    return Allowed(tuple(networks), frozenset(names))


def _is_name(text: str) -> bool:
    # What ends in a number is a mistyped address, never a name.
    return _NAME.fullmatch(text) is not None and not text.rpartition(".")[2].isdigit()


def why_forbidden(address: Address, allowed: Allowed = NOTHING, *, near: bool = False) -> str | None:
    """Return why an address may not be spoken to, or None if it may.

    Args:
        near: Whether this machine and private networks are opened for this one destination.
    """
    for face in _faces(address):
        # Each for itself: allowing the range of a tunnel does not allow what it leads to.
        why = None if allowed.has(face) else _why(face, near=near)
        if why is not None:
            return why
    return None


def _faces(address: Address) -> Iterator[Address]:
    """Yield the address, and the IPv4 address it leads to; one of the mapped form is nothing but the latter."""
    if isinstance(address, IPv4Address):
        yield address
    elif address.ipv4_mapped:
        yield address.ipv4_mapped
    else:
        yield address
        if address.sixtofour:
            yield address.sixtofour
        elif address.teredo:
            yield address.teredo[1]
        elif any(address in network for network in _LAST_32_BITS) and int(address) > 1:
            yield IPv4Address(int(address) & 0xFFFF_FFFF)


def _why(address: Address, *, near: bool) -> str | None:
    for network, why in _FAR_NETWORKS:
        if address.version == network.version and address in network and address != IPv6Address("::1"):
            return why
    for network, why in _NEAR_NETWORKS:
        if address.version == network.version and address in network:
            return None if near else why
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return "reserved"
    return None
