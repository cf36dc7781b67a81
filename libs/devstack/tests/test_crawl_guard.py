"""Which URLs and addresses may be fetched, in every spelling."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.devstack.crawl.errors import FetchRefused
from penstock.devstack.crawl.guard import Target, absolute, canonical, check_url, is_public, may_connect

PRIVATE = [
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
    *("192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"),
]


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://example.com", Target("http", "example.com", 80)),
        ("HTTPS://EXAMPLE.com./a?b#c", Target("https", "example.com", 443)),
        ("http://example.com:8080/", Target("http", "example.com", 8080)),
        ("https://bücher.example/", Target("https", "xn--bcher-kva.example", 443)),
        ("http://[2606:4700::1111]:81/", Target("http", "2606:4700::1111", 81)),
        ("http://[2606:4700:0:0:0:0:0:1111]/", Target("http", "2606:4700::1111", 80)),
        ("http://my_host-1.example/", Target("http", "my_host-1.example", 80)),
    ],
)
def test_a_url_leads_to_its_host_and_port(url: str, target: Target) -> None:
    assert check_url(url) == target


@pytest.mark.parametrize(
    "host",
    [
        *("2130706433", "0x7f000001", "0x7F.1", "0177.0.0.1", "017700000001", "127.1", "127.0.1"),
        *("127.0.0.1.", "127。0。0。1", "0x7f.0.0.0x1"),
    ],
)
def test_every_spelling_of_an_ipv4_address_is_that_address(host: str) -> None:
    assert check_url(f"http://{host}/").host == "127.0.0.1"


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://example.com/", "file:///etc/passwd", "javascript:alert(1)", "example.com", "//example.com/"),
        *("http://", "http:///path", "http://user@example.com/", "http://user:secret@example.com/"),
        *("http://example.com:0/", "http://example.com:65536/", "http://example.com:-1/", "http://a:b/"),
        *("http://exa mple.com/", "http://127%2e0.0.1/", "http://a..b/", "http://./", "http://a%00.com/"),
        *(
            "http://256.256.256.256/",
            "http://1.2.3.4.5/",
            "http://4294967296/",
            "http://0x/",
        ),
        *("http://[::1", "http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/", "http://[v1.x]/"),
        *("http://evil.example\\@127.0.0.1/", "http://example.com/\n", "http://example.com/\u202e"),
        *("http://１２７.0.0.1/", "http://" + "a" * 64 + ".com/", "http://example.com/" + "a" * 2100),
    ],
)
def test_what_is_not_a_plain_web_url_is_refused(url: str) -> None:
    with pytest.raises(FetchRefused) as refused:
        check_url(url)
    assert refused.value.reason.isprintable()
    assert "secret" not in refused.value.reason


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "0.1.2.3", "10.1.2.3", "100.64.0.1", "100.127.255.255", "127.0.0.1"),  # noqa: S104
        *("169.254.1.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1"),
        *("192.88.99.1", "192.168.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1"),
        *("239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16", "100.100.100.200"),
        *("::", "::1", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "100::1", "5f00::1"),
        *("2001::1", "2001:db8::1", "2001:10::1", "2001:20::1", "3fff::1", "4000::1"),
        # IPv4-mapped, -compatible and -translated, NAT64 of both kinds, 6to4, Teredo, ISATAP.
        *("::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::127.0.0.1", "::8.8.8.8", "::ffff:0:127.0.0.1"),
        *("64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::8.8.8.8"),
        *("2002:7f00:1::1", "2002:a00:1::", "2001:0:7f00:1::", "2001:0:808:808:0:0:80ff:fffe"),
        *("2606:4700::5efe:192.168.0.1", "2606:4700::200:5efe:127.0.0.1"),
    ],
)
def test_an_address_that_is_not_of_the_internet_is_refused(address: str) -> None:
    assert not is_public(ip_address(address))
    assert not may_connect(ip_address(address), [])


@pytest.mark.parametrize(
    "address",
    [
        *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.32.0.1"),
        *("192.167.255.255", "223.255.255.255", "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8"),
        *("64:ff9b::8.8.8.8", "2606:4700::5efe:8.8.8.8"),
    ],
)
def test_an_address_of_the_internet_may_be_fetched(address: str) -> None:
    assert is_public(ip_address(address))


def test_allowed_networks_open_themselves_and_nothing_else() -> None:
    allowed = [IPv4Network("10.0.0.0/8"), IPv6Network("fd12::/16")]
    assert may_connect(ip_address("10.1.2.3"), allowed)
    assert may_connect(ip_address("::ffff:10.1.2.3"), allowed)
    assert may_connect(ip_address("fd12::1"), allowed)
    assert may_connect(ip_address("8.8.8.8"), allowed)
    assert not may_connect(ip_address("127.0.0.1"), allowed)
    assert not may_connect(ip_address("fd13::1"), allowed)


@pytest.mark.parametrize("address", ["169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254"])
def test_a_metadata_service_is_not_opened_by_any_network(address: str) -> None:
    assert not may_connect(ip_address(address), [ip_network("0.0.0.0/0"), ip_network("::/0")])


# Ways to write an IPv4 address, by what inet_aton reads.
BASES: list[Callable[[int], str]] = [str, lambda part: f"0{part:o}", lambda part: f"0x{part:X}"]


@st.composite
def spellings(draw: st.DrawFn) -> tuple[IPv4Address, str]:
    network = ip_network(draw(st.sampled_from(PRIVATE)))
    number = int(network[0]) + draw(st.integers(0, network.num_addresses - 1))
    count = draw(st.integers(1, 4))
    parts = [number >> 24 - 8 * at & 0xFF for at in range(count - 1)]
    parts.append(number & (1 << 32 - 8 * (count - 1)) - 1)
    text = ".".join(draw(st.sampled_from(BASES))(part) for part in parts)
    return IPv4Address(number), draw(st.sampled_from([text, text.lower(), text.upper(), text + "."]))


@given(spellings(), st.sampled_from(["http", "https", "HTTP"]), st.sampled_from(["", ":8080", ":"]))
def test_no_spelling_of_a_private_ipv4_passes(spelt: tuple[IPv4Address, str], scheme: str, port: str) -> None:
    address, text = spelt
    found = check_url(f"{scheme}://{text}{port}/").address
    assert found == address
    assert not may_connect(found, [])


@given(spellings(), st.sampled_from(["::ffff:0:0", "::", "64:ff9b::", "::ffff:0:0:0", "2606:4700::5efe:0:0"]))
def test_no_private_ipv4_passes_inside_ipv6(spelt: tuple[IPv4Address, str], prefix: str) -> None:
    address = IPv6Address(int(IPv6Address(prefix)) + int(spelt[0]))
    for text in (str(address), address.exploded, f"{address}".upper()):
        found = check_url(f"http://[{text}]/").address
        assert found is not None
        assert not may_connect(found, [])


@given(st.text(alphabet="0123456789abcdefx.", min_size=1, max_size=20))
def test_a_host_that_the_system_reads_as_an_address_is_read_the_same(host: str) -> None:
    try:
        meant = str(IPv4Address(socket.inet_aton(host)))
    except OSError:
        return
    assert check_url(f"http://{host}/").host == meant


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("HTTP://Example.COM:80#top", "http://example.com/"),
        ("https://example.com:443/a/../b?x=1#y", "https://example.com/b?x=1"),
        ("http://127.1:8080/a", "http://127.0.0.1:8080/a"),
        ("http://bücher.example/ü", "http://xn--bcher-kva.example/%C3%BC"),
        ("http://[0:0::1]/", "http://[::1]/"),
        ("http://010.0.0.1/?next=http://010.0.0.1/", "http://8.0.0.1/?next=http://010.0.0.1/"),
    ],
)
def test_spellings_of_one_url_are_one(url: str, same: str) -> None:
    assert canonical(url) == same
    assert canonical(same) == same


def test_a_reference_is_read_from_its_page() -> None:
    page = "https://example.com/a/b?c"
    assert absolute(page, "../d#e") == "https://example.com/d"
    assert absolute(page, "//other.example/x") == "https://other.example/x"
    with pytest.raises(FetchRefused):
        absolute(page, "http://[::1")
    with pytest.raises(FetchRefused):
        absolute(page, "mailto:someone@example.com")
