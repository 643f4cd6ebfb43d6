"""Which addresses of the web may be dialled: public ones, on the ports of the web, and no other."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)
from typing import Final
from urllib.parse import urljoin, urlsplit

import idna
import yarl

from mmm_workflows.errors import WebError

type Address = IPv4Address | IPv6Address
type Lookup = Callable[[str, int], Awaitable[Sequence[str]]]

SCHEMES: Final = ("http", "https")
PORTS: Final = frozenset({80, 443})
LONGEST_URL: Final = 4096
LONGEST_HOST: Final = 253
# A label as the DNS of today carries it; the underscore is not for hosts, but is met.
LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
# What inet_aton, and so getaddrinfo, takes for a number: 0x7f, 0177, 2130706433.
NUMBER: Final = re.compile(r"(0x[0-9a-f]*|[0-9]+)")
UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")

# IANA's special-purpose registries, whole: the standard library's is_global changed within 3.12
# and calls 6to4, NAT64 and site-local addresses global.
NOT_PUBLIC_V4: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # the host of a virtual machine on Azure
        "169.254.0.0/16",  # link-local, metadata of clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
PUBLIC_V6: Final = IPv6Network("2000::/3")
NOT_PUBLIC_V6: Final = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
# The upper half of an ISATAP interface identifier, its "universal" bit left out.
ISATAP: Final = 0x00005EFE
UNIVERSAL_BIT: Final = 0x02000000


def is_public(address: Address) -> bool:
    """Whether an address lies on the public internet, and nothing in it leads elsewhere.

    Outside of ``2000::/3`` no IPv6 address is public, which covers NAT64, unique local,
    link-local, site-local and IPv4-compatible ones; an IPv4-mapped one is judged by what it maps,
    and an ISATAP one by the IPv4 address that it embeds as well.
    """
    if isinstance(address, IPv4Address):
        return not any(address in network for network in NOT_PUBLIC_V4)
    if address.scope_id is not None:
        return False
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address not in PUBLIC_V6 or any(address in network for network in NOT_PUBLIC_V6):
        return False
    embedded = _isatap(address)
    return embedded is None or is_public(embedded)


def checked_url(url: str) -> yarl.URL:
    """The address of a page, host in ASCII, without its fragment.

    Raises:
        WebError: It is not a plain http or https address (``page_forbidden``). Where its host
            leads is not looked at here: ``AddressGuard.resolve`` does.
    """
    if len(url) > LONGEST_URL:
        raise _forbidden(url, f"has {len(url)} characters; {LONGEST_URL} are taken")
    if UNSAFE.search(url):
        raise _forbidden(url, "has a backslash or control characters")
    try:
        parsed = yarl.URL(url)
        _, authority, path, _, _ = urlsplit(url)
    except ValueError:
        raise _forbidden(url, "cannot be read as an address") from None
    if parsed.scheme not in SCHEMES:
        raise _forbidden(url, f"has the scheme {parsed.scheme!r}, not http or https")
    if "@" in authority:
        # The sentence may be logged, so it does not repeat the password.
        raise _forbidden(parsed.raw_host or "The address", "comes with a user name or password")
    if not parsed.raw_host:
        raise _forbidden(url, "names no host")
    host = checked_host(parsed.raw_host)
    same = parsed if host == parsed.raw_host else parsed.with_host(host)
    rooted = same if path else same.with_path("/", keep_query=True)
    return rooted.with_fragment(None)


def redirected(url: yarl.URL, location: str) -> yarl.URL:
    """Where a redirect of ``url`` leads; see ``checked_url``."""
    try:
        target = urljoin(str(url), location)
    except ValueError:
        raise _forbidden(location, "cannot be read as an address") from None
    return checked_url(target)


def checked_host(host: str) -> str:
    """A host as it goes into the DNS: ASCII, lower case; or an IP address in its plain spelling.

    Raises:
        WebError: It is neither a name of the public DNS nor such an address (``page_forbidden``).
    """
    try:
        name = host.lower() if host.isascii() else idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        raise _forbidden(host, "is no internationalised name of a host") from None
    if "%" in name:
        raise _forbidden(host, "has a zone or a percent sign")
    if (literal := _literal(name)) is not None:
        return str(literal)
    labels = name.split(".")
    last = name.rstrip(".").rpartition(".")[2]
    if NUMBER.fullmatch(last):
        raise _forbidden(host, "is an IP address in an unusual spelling")
    if name.endswith("."):
        raise _forbidden(host, "ends in a dot")
    if len(name) > LONGEST_HOST or not all(LABEL.fullmatch(label) for label in labels):
        raise _forbidden(host, "is no name that a host can have")
    if len(labels) == 1 or last == "localhost":
        raise _forbidden(host, "is a name of a local network")
    return name


class AddressGuard:
    """Resolves a host once and answers with addresses only if all of them may be dialled.

    Dial exactly what ``resolve`` returns and never the name: a second look-up could be answered
    with another address.

    Args:
        allowed: Exact pairs of IP address and port that are let through although they are not
            public, so that tests can serve pages on the loopback interface. ``bootstrap`` never
            gives any.
        lookup: Host and port to IP addresses; the system's resolver when it is left out.
        timeout_s: How long a look-up is waited for.
    """

    def __init__(
        self,
        *,
        allowed: frozenset[tuple[str, int]] = frozenset(),
        lookup: Lookup | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        self._allowed = allowed
        self._lookup = lookup or system_lookup
        self._timeout_s = timeout_s

    async def resolve(self, host: str, port: int) -> tuple[str, ...]:
        """The addresses to dial for a host, in the resolver's order, each once.

        Raises:
            WebError: The host, the port or any of its addresses is not public
                (``page_forbidden``); the name is unknown (``page_unreachable``) or its look-up
                took too long (``page_timeout``).
        """
        host = checked_host(host)
        if port not in PORTS and port not in {allowed for _, allowed in self._allowed}:
            raise _forbidden(f"{host}:{port}", "has a port that is not of the web (80, 443)")
        literal = _literal(host)
        found = [str(literal)] if literal else await self._looked_up(host, port)
        addresses = tuple(dict.fromkeys(found))
        for address in addresses:
            if not self._may_dial(address, port):
                raise _forbidden(
                    host, f"leads to {address}, port {port}, which is not on the public web"
                )
        return addresses

    async def _looked_up(self, host: str, port: int) -> Sequence[str]:
        try:
            async with asyncio.timeout(self._timeout_s):
                found = await self._lookup(host, port)
        except TimeoutError:
            raise WebError(
                f"The name {host} was not resolved within {self._timeout_s:g} s.",
                code="page_timeout",
            ) from None
        except (OSError, UnicodeError) as error:
            raise WebError(
                f"The name {host} cannot be resolved ({error}). Check the address."
            ) from None
        if not found:
            raise WebError(f"The name {host} has no address. Check the address.")
        return found

    def _may_dial(self, address: str, port: int) -> bool:
        if (address, port) in self._allowed:
            return True
        try:
            return port in PORTS and is_public(ip_address(address))
        except ValueError:
            return False


async def system_lookup(host: str, port: int) -> tuple[str, ...]:
    """What the system's resolver says, in its order."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(str(entry[4][0]) for entry in found)


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _isatap(address: IPv6Address) -> IPv4Address | None:
    identifier = int(address) & ((1 << 64) - 1)
    if (identifier >> 32) & ~UNIVERSAL_BIT != ISATAP:
        return None
    return IPv4Address(identifier & ((1 << 32) - 1))


def _forbidden(subject: str, reason: str) -> WebError:
    shown = subject if subject.isprintable() else ascii(subject)
    return WebError(
        f"{shortened(shown)} {reason}. Only pages of the public web are read.",
        code="page_forbidden",
    )


def shortened(text: str, longest: int = 120) -> str:
    """A text as it fits into a sentence."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
