"""Which addresses are public, and which spellings of a host are refused."""

from __future__ import annotations

import asyncio
import ipaddress
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_workflows.errors import WebError
from mmm_workflows.tools.addresses import AddressGuard, checked_url, is_public

NOT_PUBLIC = """
    0.0.0.0 0.1.2.3 10.0.0.5 100.64.1.1 100.100.100.200 127.0.0.1 127.255.255.254 168.63.129.16
    169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.8 192.0.2.1 192.88.99.1 192.168.1.1
    198.18.0.1 198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
    :: ::1 ::7f00:1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::7f00:1 64:ff9b::8.8.8.8
    64:ff9b:1::a00:1 100::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2::1 2001:10::1
    2001:20::1 2001:db8::1 2002:7f00:1:: 2002:808:808:: 3fff::1 5f00::1 fc00::1 fd00:ec2::254
    fe80::1 fe80::1%eth0 fec0::1 ff02::1 2606:4700::5efe:127.0.0.1 2606:4700::200:5efe:10.0.0.1
"""
PUBLIC = """
    1.1.1.1 8.8.8.8 93.184.216.34 172.32.0.1 192.0.1.1 100.128.0.1 223.255.255.255
    2606:4700::1111 2a00:1450:4001:80b::200e 2400:cb00::1 ::ffff:8.8.8.8 2606:4700::5efe:8.8.8.8
"""
FORBIDDEN_URLS = [
    "http://127.0.0.1/",
    "http://127.1/",
    "http://127.0.0.1./",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://0x/",
    "http://%31%32%37.0.0.1/",
    "http://\uff11\uff12\uff17.0.0.1/",
    "http://127\u30020\u30020\u30021/",
    "http://0.0.0.0/",
    "http://localhost/",
    "http://localhost./",
    "http://LOCALHOST/",
    "http://a.localhost/",
    "http://intranet/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://[fd00:ec2::254]/latest/",
    "http://169.254.169.254/latest/meta-data/",
    "http://10.0.0.5/",
    "http://100.64.1.1/",
    "http://224.0.0.1/",
    "http://user@1.1.1.1/",
    "http://user:secret@example.org/",
    "http://@example.org/",
    "http://example.org@127.0.0.1/",
    "http://example.org\\@127.0.0.1/",
    "http://1.1.1.1:22/",
    "http://1.1.1.1:6379/",
    "http://example.org:0/",
    "http://example.org:99999/",
    "http://example.org:8o/",
    "http://ex ample.org/",
    "http://example.org/\r\nX-Evil: 1",
    "http://exa\tmple.org/",
    "http://example.org/\x00",
    "http://[::1",
    "http://a..b/",
    "http://-a.org/",
    "http://\u2100.com/",
    "http://" + "a" * 64 + ".org/",
    "http://" + "a." * 130 + "org/",
    "http://example.org/" + "a" * 5000,
    "http:///path",
    "http:example.org",
    "//example.org/",
    "/etc/passwd",
    "",
    "example.org",
    "file:///etc/passwd",
    "gopher://example.org/",
    "data:text/html,hello",
    "ftp://example.org/",
    "ws://example.org/",
    "javascript:alert(1)",
    "jar:http://example.org!/",
]


async def no_lookup(host: str, port: int) -> tuple[str, ...]:
    raise AssertionError(f"{host} was looked up")


async def refused(guard: AddressGuard, url: str) -> WebError:
    with pytest.raises(WebError) as caught:
        checked = checked_url(url)
        await guard.resolve(checked.raw_host, checked.port)
    return caught.value


@pytest.mark.parametrize("address", NOT_PUBLIC.split())
def test_an_address_that_is_not_of_the_public_internet_is_none(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC.split())
def test_a_public_address_is_one(address: str) -> None:
    assert is_public(ip_address(address))


@given(st.integers(0, 2**32 - 1).map(IPv4Address) | st.integers(0, 2**128 - 1).map(IPv6Address))
def test_no_address_is_public_that_the_standard_library_calls_otherwise(
    address: IPv4Address | IPv6Address,
) -> None:
    if is_public(address) and not getattr(address, "ipv4_mapped", None):
        assert address.is_global
        assert not (address.is_multicast or address.is_reserved or address.is_unspecified)


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_a_mapped_address_is_judged_by_what_it_maps(address: IPv4Address) -> None:
    mapped = IPv6Address(int(address) | 0xFFFF << 32)
    assert is_public(mapped) == is_public(address)
    for network in ("64:ff9b::/96", "::/96"):
        assert not is_public(ipaddress.IPv6Network(network)[int(address)])


@pytest.mark.parametrize("url", FORBIDDEN_URLS)
async def test_a_hostile_address_is_refused_without_a_look_up(url: str) -> None:
    error = await refused(AddressGuard(lookup=no_lookup), url)
    assert error.code == "page_forbidden"
    assert error.message.endswith("Only pages of the public web are read.")
    assert error.message.isprintable()
    assert len(error.message) < 300


async def test_the_refusal_of_a_password_does_not_repeat_it() -> None:
    error = await refused(AddressGuard(lookup=no_lookup), "http://user:secret@example.org/")
    assert "secret" not in error.message
    assert "example.org" in error.message


@pytest.mark.parametrize(
    "found", [("10.0.0.5",), ("93.184.216.34", "127.0.0.1"), ("::1",), ("not an address",)]
)
async def test_a_name_is_refused_when_any_of_its_addresses_is_not_public(
    found: tuple[str, ...],
) -> None:
    async def lookup(host: str, port: int) -> tuple[str, ...]:
        return found

    error = await refused(AddressGuard(lookup=lookup), "http://example.org/")
    assert error.code == "page_forbidden"
    assert found[-1] in error.message


async def test_the_addresses_of_a_public_name_are_answered_in_order_and_once() -> None:
    asked = []

    async def lookup(host: str, port: int) -> tuple[str, ...]:
        asked.append((host, port))
        return ("93.184.216.34", "2606:4700::1111", "93.184.216.34")

    guard = AddressGuard(lookup=lookup)
    assert await guard.resolve("EXAMPLE.org", 443) == ("93.184.216.34", "2606:4700::1111")
    assert asked == [("example.org", 443)]


async def test_a_name_without_an_address_is_unreachable() -> None:
    async def nothing(host: str, port: int) -> tuple[str, ...]:
        return ()

    async def unknown(host: str, port: int) -> tuple[str, ...]:
        raise OSError(-2, "Name or service not known")

    for lookup in (nothing, unknown):
        error = await refused(AddressGuard(lookup=lookup), "http://example.org/")
        assert error.code == "page_unreachable"


async def test_a_look_up_is_not_waited_for_without_end() -> None:
    async def never(host: str, port: int) -> tuple[str, ...]:
        await asyncio.sleep(60)
        return ()

    error = await refused(AddressGuard(lookup=never, timeout_s=0.05), "http://example.org/")
    assert error.code == "page_timeout"


async def test_only_the_exact_pair_of_address_and_port_is_excepted() -> None:
    guard = AddressGuard(allowed=frozenset({("127.0.0.1", 8098)}))
    assert await guard.resolve("127.0.0.1", 8098) == ("127.0.0.1",)
    for url in (
        "http://127.0.0.1/",
        "http://127.0.0.1:8099/",
        "http://127.0.0.2:8098/",
        "http://1.1.1.1:8098/",
    ):
        assert (await refused(guard, url)).code == "page_forbidden"


async def test_the_systems_resolver_is_asked_when_no_other_is_given() -> None:
    error = await refused(AddressGuard(), "http://no-such-name.invalid/")
    assert error.code in ("page_unreachable", "page_timeout")


@pytest.mark.parametrize(
    ("given_url", "expected"),
    [
        ("HTTP://Example.ORG:80/a b?q=ü#part", "http://example.org/a%20b?q=%C3%BC"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://faß.de/x", "https://xn--fa-hia.de/x"),
        ("http://[2606:4700:0::1111]/", "http://[2606:4700::1111]/"),
        ("http://example.org", "http://example.org/"),
    ],
)
def test_an_address_is_written_in_one_way(given_url: str, expected: str) -> None:
    assert str(checked_url(given_url)) == expected
    assert str(checked_url(expected)) == expected


@given(st.text(max_size=60) | st.text(max_size=40).map(lambda text: f"http://{text}"))
def test_whatever_is_given_as_an_address_is_read_or_refused(text: str) -> None:
    try:
        checked = checked_url(text)
    except WebError as error:
        assert error.code == "page_forbidden"
    else:
        assert checked.scheme in ("http", "https")
        assert checked.raw_host
        assert str(checked_url(str(checked))) == str(checked)
