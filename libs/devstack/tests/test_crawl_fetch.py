"""Pages fetched from real servers on loopback, friendly and not."""

from __future__ import annotations

import asyncio
import gzip
import shutil
import ssl
import subprocess
import time
from ipaddress import IPv4Address, IPv4Network, ip_address
from pathlib import Path

import pytest

from libs.devstack.tests.crawl_server import LOOPBACK, Reply, Site, redirect, serving
from penstock.devstack.crawl.errors import FetchFailed, FetchRefused, NotFetched
from penstock.devstack.crawl.fetch import Fetcher
from penstock.devstack.crawl.guard import Address


class Names:
    """A resolver with an answer for every time that it is asked; the last one stays."""

    def __init__(self, *answers: str) -> None:
        self._answers = [[ip_address(text) for text in answer.split()] for answer in answers]
        self.asked: list[str] = []

    async def __call__(self, host: str, _: int) -> list[Address]:
        self.asked.append(host)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


async def refusal(url: str, fetcher: Fetcher) -> str:
    with pytest.raises(FetchRefused) as refused:
        await fetcher.fetch(url)
    return refused.value.reason


async def failure(url: str, fetcher: Fetcher) -> str:
    with pytest.raises(FetchFailed) as failed:
        await fetcher.fetch(url)
    return failed.value.reason


async def test_a_page_comes_with_its_type_and_a_name() -> None:
    page = Reply(b"<p>hello", content_type="text/html; charset=utf-8")
    async with serving({"/docs/intro": page}) as site, Fetcher(LOOPBACK) as fetcher:
        fetched = await fetcher.fetch(site.url("/docs/intro#part"))
    assert fetched.url == site.url("/docs/intro")
    assert fetched.content_type == "text/html; charset=utf-8"
    assert fetched.body == b"<p>hello"
    assert fetched.file_name == f"127.0.0.1-{site.port}/docs/intro.html"
    assert "\r\nuser-agent: penstock\r\n" in site.heads[-1].lower()
    assert f"\r\nhost: 127.0.0.1:{site.port}\r\n" in site.heads[-1].lower()


async def test_nothing_on_loopback_is_asked_unless_it_is_allowed() -> None:
    async with serving({"/": Reply(b"secret")}) as site, Fetcher() as fetcher:
        hosts = ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "0"]
        hosts += ["[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[::127.0.0.1]"]
        for host in hosts:
            assert "not a public address" in await refusal(f"http://{host}:{site.port}/", fetcher)
        assert site.connections == 0


@pytest.mark.parametrize(
    "place",
    [
        *("http://127.0.0.1:{port}/", "//127.0.0.1:{port}/", "http://2130706433:{port}/"),
        *("http://0x7f000001:{port}/", "http://0177.0.0.1:{port}/", "http://127.1:{port}/"),
        *("http://[::ffff:127.0.0.1]:{port}/", "http://[0:0:0:0:0:ffff:7f00:1]:{port}/", "http://0:{port}/"),
        *("http://trap.example:{port}/", "http://user@127.0.0.1:{port}/", "http://127.0.0.1.:{port}/"),
        *("http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "http://[::1]:{port}/"),
        *("file:///etc/passwd", "ftp://127.0.0.1:{port}/", "gopher://127.0.0.1:{port}/", "http://[::1"),
        *("http:\\\\127.0.0.1:{port}/", "http://127。0。0。1:{port}/", "https://127.0.0.1:{port}/"),
        *("http://127.0.0.1:{port}x/", "http://localhost:{port}/", "/" + "a" * 3000),
    ],
)
async def test_a_redirect_is_checked_like_the_first_url(place: str) -> None:
    """The page is on 127.0.0.2, which is allowed; the trap on 127.0.0.1 is not."""
    async with serving() as trap, serving(host="127.0.0.2") as site:
        site.replies["/"] = redirect(place.format(port=trap.port))
        resolver = Names("127.0.0.1")
        async with Fetcher([IPv4Network("127.0.0.2/32")], resolve=resolver) as fetcher:
            with pytest.raises(NotFetched) as stopped:
                await fetcher.fetch(site.url())
        assert stopped.value.reason.isprintable()
        assert trap.connections == 0
        assert site.asked == ["/robots.txt", "/"]


async def test_a_name_is_resolved_once_and_a_second_answer_is_never_used() -> None:
    """DNS rebinding: the name leads to the public server first, and to loopback's 127.0.0.1 from then on."""
    replies = {"/": Reply(b"good"), "/more": redirect("/")}
    async with serving() as trap, serving(replies, host="127.0.0.2", port=trap.port) as site:
        resolver = Names("127.0.0.2", "127.0.0.1")
        async with Fetcher([IPv4Network("127.0.0.2/32")], resolve=resolver) as fetcher:
            url = f"http://rebind.example:{site.port}"
            for path in ("/", "/more", "/"):
                assert (await fetcher.fetch(url + path)).body == b"good"
        assert resolver.asked == ["rebind.example"]
        assert trap.connections == 0
        assert f"host: rebind.example:{site.port}\r\n" in site.heads[-1].lower()
        async with Fetcher([IPv4Network("127.0.0.2/32")], resolve=resolver) as later:
            assert "not a public address" in await refusal(url, later)
        assert trap.connections == 0


async def test_a_name_with_one_forbidden_address_is_refused_whole() -> None:
    async with serving({"/": Reply(b"x")}) as site:
        for answer in ("127.0.0.1 10.0.0.1", "10.0.0.1 127.0.0.1", "127.0.0.1 ::1"):
            async with Fetcher(LOOPBACK, resolve=Names(answer)) as fetcher:
                reason = await refusal(f"http://mixed.example:{site.port}/", fetcher)
                assert "mixed.example" in reason
                assert "not a public address" in reason
        assert site.connections == 0


async def test_what_is_public_never_leads_into_an_allowed_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.2 plays a server on the internet, and 127.0.0.1 is the user's own network."""
    public = IPv4Address("127.0.0.2")
    monkeypatch.setattr("penstock.devstack.crawl.fetch.is_public", lambda address: address == public)
    async with serving({"/": Reply(b"inside")}) as inside, serving(host="127.0.0.2") as outside:
        outside.replies["/"] = redirect(inside.url())
        inside.replies["/out"] = redirect(outside.url("/page"))
        outside.replies["/page"] = Reply(b"page")
        async with Fetcher(LOOPBACK) as fetcher:
            assert (await fetcher.fetch(inside.url())).body == b"inside"
            assert (await fetcher.fetch(inside.url("/out"))).body == b"page"
            assert "private network" in await refusal(outside.url(), fetcher)


async def test_the_next_address_is_tried_when_one_is_dead() -> None:
    resolver = Names("127.0.0.9 127.0.0.1")
    async with serving({"/": Reply(b"x")}) as site, Fetcher(LOOPBACK, resolve=resolver) as fetcher:
        assert (await fetcher.fetch(f"http://two.example:{site.port}/")).body == b"x"


async def test_three_redirects_are_followed_and_no_fourth() -> None:
    replies = {f"/{n}": redirect(f"/{n + 1}") for n in range(4)} | {"/4": Reply(b"end")}
    async with serving(replies) as site, Fetcher(LOOPBACK) as fetcher:
        assert (await fetcher.fetch(site.url("/1"))).url == site.url("/4")
        assert "more than 3 redirects" in await refusal(site.url("/0"), fetcher)


async def test_a_circle_of_redirects_is_noticed() -> None:
    replies = {"/a": redirect("/b"), "/b": redirect("/a#again"), "/self": redirect("/self")}
    async with serving(replies) as site, Fetcher(LOOPBACK) as fetcher:
        assert "in a circle" in await refusal(site.url("/a"), fetcher)
        assert "in a circle" in await refusal(site.url("/self"), fetcher)


async def test_a_slow_server_costs_no_more_than_the_time_for_a_page() -> None:
    replies = {"/": Reply(b"x", after_s=60), "/robots.txt": MISSING_ROBOTS}
    async with serving(replies) as site, Fetcher(LOOPBACK, whole_s=4) as fetcher:
        began = time.monotonic()
        assert "no complete answer within 4 s" in await failure(site.url(), fetcher)
        assert time.monotonic() - began < 30


MISSING_ROBOTS = Reply(status="404 Not Found")
ZEROS = gzip.compress(bytes(30_000_000))


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(headers=("content-length: 20000001",)), "larger than 20 MB"),
        (Reply(bytes(20_000_001)), "larger than 20 MB"),
        (Reply(ZEROS, headers=("content-encoding: gzip",)), "expands to more than 100 times"),
        (Reply(b"x", content_type="image/png"), "holds no text"),
    ],
)
async def test_a_page_that_is_too_much_is_refused(reply: Reply, reason: str) -> None:
    async with serving({"/": reply}) as site, Fetcher(LOOPBACK) as fetcher:
        assert reason in await refusal(site.url(), fetcher)


async def test_a_body_without_a_length_is_cut_off_at_the_bound() -> None:
    """The server would send for ever; it is left when the bound is passed."""
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        head = await reader.readuntil(b"\r\n\r\n")
        status = b"404 Not Found" if b"robots" in head else b"200 OK"
        writer.write(b"HTTP/1.1 " + status + b"\r\nconnection: close\r\n\r\n")
        try:
            while b"robots" not in head:
                writer.write(bytes(100_000))
                sent += 100_000
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    async with server, Fetcher(LOOPBACK) as fetcher:
        port = server.sockets[0].getsockname()[1]
        assert "larger than 20 MB" in await refusal(f"http://127.0.0.1:{port}/", fetcher)
    assert sent < 40_000_000


async def test_a_packed_page_is_unpacked() -> None:
    body = b"<p>" + b"some words " * 100_000
    packed = Reply(gzip.compress(body, 0), headers=("content-encoding: gzip",))
    async with serving({"/": packed}) as site, Fetcher(LOOPBACK) as fetcher:
        assert (await fetcher.fetch(site.url())).body == body


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(status="404 Not Found"), "HTTP 404"),
        (Reply(status="500 Oops"), "HTTP 500"),
        (Reply(status="304 Not Modified", headers=("content-length: 0",)), "without a location"),
        (Reply(b"x", headers=("content-encoding: br",)), "encoded as br"),
        (Reply(b"x", headers=("content-encoding: gzip, gzip",)), "encoded as gzip, gzip"),
        (Reply(b"no gzip", headers=("content-encoding: gzip",)), "a broken answer"),
    ],
)
async def test_a_server_that_fails_is_named_in_one_line(reply: Reply, reason: str) -> None:
    async with serving({"/": reply}) as site, Fetcher(LOOPBACK) as fetcher:
        assert reason in await failure(site.url(), fetcher)


async def test_a_name_and_a_port_that_nobody_has() -> None:
    async def unknown(_host: str, _port: int) -> list[Address]:
        raise OSError("no such name")

    async with Fetcher(LOOPBACK, resolve=unknown) as fetcher:
        assert "nobody.example cannot be resolved" in await failure("http://nobody.example/", fetcher)
    async with serving() as site:
        gone = site.url()
    async with Fetcher(LOOPBACK) as fetcher:
        assert "cannot connect" in await failure(gone, fetcher)


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as proxy, serving({"/": Reply(b"x")}) as site:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        async with Fetcher(LOOPBACK) as fetcher:
            assert (await fetcher.fetch(site.url())).body == b"x"
        assert proxy.connections == 0


class TestRobots:
    async def test_what_robots_txt_disallows_is_not_asked_for(self) -> None:
        rules = b"User-agent: *\nDisallow: /private/\n\nUser-agent: Other\nDisallow: /\n"
        replies = {"/robots.txt": Reply(rules, content_type="text/plain"), "/open": Reply(b"x")}
        replies["/door"] = redirect("/private/a")
        async with serving(replies) as site, Fetcher(LOOPBACK) as fetcher:
            assert (await fetcher.fetch(site.url("/open"))).body == b"x"
            assert "robots.txt" in await refusal(site.url("/private/a"), fetcher)
            assert "robots.txt" in await refusal(site.url("/door"), fetcher)
            assert site.asked == ["/robots.txt", "/open", "/door"]

    async def test_rules_for_penstock_count(self) -> None:
        rules = b"User-agent: *\nDisallow:\n\nUser-agent: penstock\nDisallow: /\n"
        async with serving({"/robots.txt": Reply(rules)}) as site, Fetcher(LOOPBACK) as fetcher:
            assert "robots.txt" in await refusal(site.url("/open"), fetcher)

    async def test_a_site_whose_rules_cannot_be_read_is_left_alone(self) -> None:
        replies = {"/robots.txt": Reply(status="503 Busy"), "/": Reply(b"x")}
        async with serving(replies) as site, Fetcher(LOOPBACK) as fetcher:
            for _ in range(2):
                assert "robots.txt" in await failure(site.url(), fetcher)
            assert site.asked == ["/robots.txt"]

    async def test_robots_txt_may_not_lead_to_a_forbidden_place(self) -> None:
        async with serving() as trap, serving({"/": Reply(b"x")}, host="127.0.0.2") as site:
            site.replies["/robots.txt"] = redirect(trap.url())
            async with Fetcher([IPv4Network("127.0.0.2/32")]) as fetcher:
                assert "not a public address" in await failure(site.url(), fetcher)
            assert trap.connections == 0


class TestTls:
    """A certificate for site.example, which no system trusts, made by openssl."""

    @pytest.fixture
    def certificate(self, tmp_path: Path) -> tuple[Path, Path]:
        key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
        command = f"{shutil.which('openssl')} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
        command += " -subj /CN=site.example -addext subjectAltName=DNS:site.example -days 2"
        arguments = [*command.split(), "-keyout", str(key), "-out", str(certificate)]
        subprocess.run(arguments, check=True, capture_output=True)  # noqa: S603 our own command
        return certificate, key

    @pytest.fixture
    def server_tls(self, certificate: tuple[Path, Path]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        return context

    async def test_the_name_is_sent_and_checked_at_the_pinned_address(
        self, certificate: tuple[Path, Path], server_tls: ssl.SSLContext
    ) -> None:
        names: list[str | None] = []
        server_tls.sni_callback = lambda _socket, name, _context: names.append(name)
        trusting = ssl.create_default_context(cafile=str(certificate[0]))
        async with serving({"/": Reply(b"x")}, tls=server_tls) as site:
            async with Fetcher(LOOPBACK, resolve=Names("127.0.0.1"), tls=trusting) as fetcher:
                url = f"https://site.example:{site.port}/"
                assert (await fetcher.fetch(url)).url == url
                assert names[0] == "site.example"
                # The same address by another name: a connection of its own, and the wrong certificate.
                reason = await failure(f"https://other.example:{site.port}/", fetcher)
                assert "certificate" in reason
                assert "certificate" in await failure(site.url(), fetcher)
            assert site.asked == ["/robots.txt", "/"]

    async def test_a_certificate_that_nobody_vouches_for_is_refused(self, server_tls: ssl.SSLContext) -> None:
        async with serving({"/": Reply(b"x")}, tls=server_tls) as site:
            async with Fetcher(LOOPBACK, resolve=Names("127.0.0.1")) as fetcher:
                assert "certificate" in await failure(f"https://site.example:{site.port}/", fetcher)
            assert site.asked == []


async def names_of(site: Site, *paths: str) -> list[str]:
    async with Fetcher(LOOPBACK, resolve=Names("127.0.0.1")) as fetcher:
        found = [(await fetcher.fetch(f"http://a.example:{site.port}{path}")).file_name for path in paths]
    return [name.removeprefix(f"a.example-{site.port}/") for name in found]


async def test_file_names_are_readable_and_different() -> None:
    html = ["/", "/docs/", "/docs/a.html", "/docs/b.php", "/list?page=1", "/list?page=2", "/" + "a" * 300]
    html += ["/%2e%2e%2f%2e%2e%2fetc/passwd", "/c%0d%0a.html", "/v3.11"]
    replies = {path: Reply(b"x") for path in html}
    replies |= {
        "/code.py": Reply(b"x", content_type="text/plain"),
        "/LICENSE": Reply(b"x", content_type="text/plain"),
    }
    replies |= {"/x.pdf": Reply(b"x", content_type="application/pdf")}
    async with serving(replies) as site:
        names = await names_of(site, *replies)
    assert names[:4] == ["index.html", "docs/index.html", "docs/a.html", "docs/b.php.html"]
    assert names[-4:] == ["v3.11.html", "code.py", "LICENSE.txt", "x.pdf"]
    assert len(set(names)) == len(names)
    assert all(len(name) < 230 and ".." not in name and name.isprintable() for name in names)
