"""The pages of a site, by its sitemap or by its links."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import Mapping

from libs.devstack.tests.crawl_server import LOOPBACK, Reply, Site, redirect, serving
from penstock.devstack.crawl.fetch import Fetched, Fetcher
from penstock.devstack.crawl.frontier import Skipped
from penstock.devstack.crawl.site import AT_ONCE, pages


def html(*links: str, head: str = "") -> Reply:
    return Reply((head + "".join(f'<a href="{link}">link</a>' for link in links)).encode())


def listing(kind: str, entry: str, *urls: str) -> Reply:
    entries = "".join(f"<{entry}><loc>{url}</loc></{entry}>" for url in urls)
    return Reply(f"<{kind}>{entries}</{kind}>".encode(), content_type="application/xml")


def urlset(*urls: str) -> Reply:
    return listing("urlset", "url", *urls)


def index(*urls: str) -> Reply:
    return listing("sitemapindex", "sitemap", *urls)


async def crawl(
    site: Site, path: str = "/", limit: int = 1000, depth: int = 0
) -> tuple[list[str], Mapping[str, str]]:
    """Paths of the pages in their order, and the reasons of what was skipped, by path or whole URL."""
    found: list[str] = []
    skipped: dict[str, str] = {}
    async with Fetcher(LOOPBACK) as fetcher:
        async for item in pages(fetcher, site.url(path), limit, depth=depth):
            path = item.url.removeprefix(site.url(""))
            if isinstance(item, Fetched):
                found.append(path)
            else:
                skipped[path] = item.reason
    return found, skipped


async def test_a_page_is_that_page_only() -> None:
    async with serving({"/": html("/a"), "/a": html()}) as site:
        assert await crawl(site) == (["/"], {})


async def test_links_are_followed_breadth_first_each_page_once() -> None:
    replies = {
        "/": html(
            "a#x", "/b", "a#y", "b", "mailto:me@a", "javascript:x()", "http://other.example/", "//[", "/"
        ),
        "/a": html("/deep", "/b"),
        "/b": html("/deep", "/"),
        "/deep": html("/deeper"),
        "/deeper": html(),
    }
    async with serving(replies) as site:
        assert await crawl(site, depth=1) == (["/", "/a", "/b"], {})
        found, skipped = await crawl(site, depth=2)
        assert found[0] == "/"
        assert sorted(found[1:3]) == ["/a", "/b"]
        assert found[3:] == ["/deep"]
        assert not skipped
        assert all(site.asked.count(path) <= 2 for path in replies)


async def test_links_are_read_from_the_base_of_the_page() -> None:
    replies = {"/x/": html("a", head='<base href="/y/">'), "/y/a": html()}
    async with serving(replies) as site:
        assert (await crawl(site, "/x/", depth=1))[0] == ["/x/", "/y/a"]


async def test_links_are_found_in_any_html() -> None:
    body = b"""<A HREF=/a>x</A><map><area class='y' href='/b'></map><a title="1 > 0" href="/c&amp;d">
        <!-- <a href="/comment"> --><script>'<a href="/script">'</script><a href="http://[">
        <a name="x"><svg><a href="/svg"></svg><a href=" /space ">"""
    paths = ["/a", "/b", "/c&d", "/svg", "/space"]
    async with serving({"/": Reply(body)} | {path: html() for path in paths}) as site:
        found, skipped = await crawl(site, depth=1)
    assert found[0] == "/"
    assert sorted(found[1:]) == sorted(paths)
    assert not skipped


async def test_a_page_that_is_made_to_be_slow_is_not() -> None:
    """Each takes a tree's builder minutes, or all memory."""
    bodies = [b"<div>" * 2_000_000, b"".join(b"<b id=%d>" % n for n in range(100_000)) + b"<p>x" * 100_000]
    bodies += [b"<a " * 3_000_000, b"<!--" * 2_000_000, b"<a" + b" x" * 4_000_000, b"<a href='" * 1_000_000]
    bodies += [b"<a x='" * 1_000_000 + b"x" * 5_000_000]
    replies = {f"/{n}": Reply(b'<a href="/end"></a>' + body) for n, body in enumerate(bodies)}
    async with serving(replies | {"/end": html()}) as site:
        for path in replies:
            assert "/end" in (await crawl(site, path, depth=1))[0]


async def test_only_html_is_searched_for_links() -> None:
    replies = {"/": Reply(b'<a href="/a">', content_type="text/plain"), "/a": html()}
    async with serving(replies) as site:
        assert (await crawl(site, depth=3))[0] == ["/"]


async def test_what_gives_no_page_is_skipped_with_a_reason() -> None:
    replies = {
        "/": html("/gone", "/robots", "/logo", "/away", "/same", "/good"),
        "/robots.txt": Reply(b"User-agent: *\nDisallow: /robots"),
        "/logo": Reply(b"x", content_type="image/png"),
        "/same": redirect("/"),
        "/good": html(),
    }
    async with serving(replies) as site, serving({"/": html()}) as other:
        replies_of_away = redirect(other.url())
        site.replies["/away"] = replies_of_away
        found, skipped = await crawl(site, depth=1)
    assert found == ["/", "/good"]
    assert skipped["/gone"] == "HTTP 404"
    assert "robots.txt" in skipped["/robots"]
    assert "no text" in skipped["/logo"]
    assert "another site" in skipped["/away"]
    assert "here already" in skipped["/same"]


async def test_a_start_that_cannot_be_fetched_is_skipped() -> None:
    async with serving() as site:
        assert await crawl(site) == ([], {"/": "HTTP 404"})
    async with Fetcher() as fetcher:
        items = [item async for item in pages(fetcher, "http://127.1/\x1b[31m")]
    assert [type(item) for item in items] == [Skipped]
    assert items[0].url.isprintable()


async def test_a_start_that_redirects_moves_the_crawl_to_where_it_ends() -> None:
    async with serving({"/": html("/a"), "/a": html()}, host="127.0.0.2") as site, serving() as old:
        old.replies["/"] = redirect(site.url())
        async with Fetcher(LOOPBACK) as fetcher:
            items = [item async for item in pages(fetcher, old.url(), depth=1)]
    assert [item.url for item in items] == [site.url(), site.url("/a")]


async def test_the_pages_of_a_sitemap_and_what_it_may_not_list() -> None:
    async with serving({f"/{n}": html("/unlisted") for n in range(6)}) as site:
        own = [site.url(f"/{n}") for n in range(6)]
        foreign = ["https://other.example/", "http://169.254.169.254/", "file:///etc/passwd"]
        site.replies["/sitemap.xml"] = urlset(*own, own[0], own[1] + "#x", *foreign)
        found, skipped = await crawl(site, "/sitemap.xml", depth=1)
    assert sorted(found) == [f"/{n}" for n in range(6)]
    assert "not below" in skipped["https://other.example/"]
    assert "not below" in skipped["http://169.254.169.254/"]
    assert "only http and https" in skipped["file:///etc/passwd"]
    assert len(skipped) == 3


async def test_nested_sitemaps_are_read_two_deep() -> None:
    async with serving({f"/{n}": html() for n in range(3)}) as site:
        site.replies |= {
            "/s": index(site.url("/s1"), site.url("/s"), site.url("/broken"), site.url("/0")),
            "/s1": index(site.url("/s2.gz"), site.url("/s1")),
            "/s2.gz": Reply(gzip.compress(urlset(site.url("/1"), site.url("/2")).body)),
            "/broken": Reply(b"<urlset><url>"),
        }
        found, skipped = await crawl(site, "/s")
        assert sorted(found) == ["/1", "/2"]
        assert "broken XML" in skipped["/broken"]
        assert skipped["/0"] == "not a sitemap"
        site.replies["/s2.gz"] = index(site.url("/s3"))
        found, skipped = await crawl(site, "/s")
        assert not found
        assert "nested deeper than 2" in skipped["/s3"]
        assert "/s3" not in site.asked


async def test_a_hostile_sitemap_is_skipped_with_a_reason() -> None:
    bomb = (
        b'<!DOCTYPE urlset [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><urlset><url><loc>&b;</loc></url></urlset>'
    )
    async with serving({"/sitemap.xml": Reply(bomb, content_type="text/xml")}) as site:
        found, skipped = await crawl(site, "/sitemap.xml")
    assert not found
    assert "entities" in skipped["/sitemap.xml"]


async def test_the_crawl_ends_at_its_limit_and_says_so() -> None:
    async with serving({f"/{n}": html(f"/{n + 1}", f"/{n + 2}") for n in range(50)}) as site:
        found, skipped = await crawl(site, "/0", limit=10, depth=100)
        assert len(found) == 10
        assert "limit of 10 pages" in skipped["/0"]
        assert len(site.asked) == 11
        site.replies["/sitemap.xml"] = urlset(*(site.url(f"/{n}") for n in range(50)))
        found, skipped = await crawl(site, "/sitemap.xml", limit=10)
        assert len(found) == 10
        assert "limit of 10 pages" in skipped["/sitemap.xml"]
        assert not (await crawl(site, "/sitemap.xml", limit=50))[1]


async def test_no_more_than_four_requests_run_at_once() -> None:
    replies = {f"/{n}": Reply(b"x", after_s=0.02) for n in range(30)}
    async with serving(replies) as site:
        site.replies["/sitemap.xml"] = urlset(*(site.url(f"/{n}") for n in range(30)))
        assert len((await crawl(site, "/sitemap.xml"))[0]) == 30
        assert site.most_at_once == AT_ONCE == 4


async def test_leaving_early_leaves_nothing_running() -> None:
    replies = {f"/{n}": Reply(b"x", after_s=0.01 if n == 0 else 60) for n in range(30)}
    before = asyncio.all_tasks()
    async with serving(replies) as site, Fetcher(LOOPBACK) as fetcher:
        site.replies["/sitemap.xml"] = urlset(*(site.url(f"/{n}") for n in range(30)))
        async with contextlib.aclosing(pages(fetcher, site.url("/sitemap.xml"))) as items:
            async for _ in items:
                break
        ours = [task for task in asyncio.all_tasks() - before if "_attempt" in repr(task)]
        assert not ours
        assert len(site.asked) < 10
