"""Sitemaps, good and hostile."""

from __future__ import annotations

import gzip
import zlib

import pytest

from penstock.devstack.crawl.sitemap import MAX_ENTRIES, InvalidSitemap, Sitemap, parse_sitemap

NAMESPACE = "http://www.sitemaps.org/schemas/sitemap/0.9"


def urlset(*urls: str) -> bytes:
    entries = "".join(f"<url><loc>{url}</loc><lastmod>2026-01-01</lastmod></url>" for url in urls)
    return f'<?xml version="1.0"?><urlset xmlns="{NAMESPACE}">{entries}</urlset>'.encode()


def test_the_pages_of_a_sitemap() -> None:
    assert parse_sitemap(urlset("http://a/1", "\n http://a/2?x=1&amp;y=2 ")) == Sitemap(
        pages=["http://a/1", "http://a/2?x=1&y=2"]
    )


def test_the_sitemaps_of_an_index() -> None:
    body = f'<s:sitemapindex xmlns:s="{NAMESPACE}"><s:sitemap><s:loc>http://a/s.xml</s:loc></s:sitemap></s:sitemapindex>'
    assert parse_sitemap(body.encode()) == Sitemap(sitemaps=["http://a/s.xml"])


def test_a_packed_sitemap_and_other_encodings() -> None:
    body = urlset("http://a/1")
    assert parse_sitemap(gzip.compress(body)) == Sitemap(pages=["http://a/1"])
    large = urlset(*(f"http://a/{zlib.crc32(str(n).encode())}" for n in range(MAX_ENTRIES)))
    assert parse_sitemap(gzip.compress(large)) == parse_sitemap(large)
    text = body.decode().replace('"1.0"', '"1.0" encoding="utf-16"')
    assert parse_sitemap(text.encode("utf-16")) == Sitemap(pages=["http://a/1"])


def test_locations_of_images_are_no_pages() -> None:
    body = f"""<urlset xmlns="{NAMESPACE}" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">
        <url><loc>http://a/1</loc><image:image><image:loc>http://a/1.png</image:loc></image:image></url></urlset>"""
    assert parse_sitemap(body.encode()) == Sitemap(pages=["http://a/1"])


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"plain text", b"{}", b"\x00\x01", b"<p>a<p>b", b"<!DOCTYPE html><html><p>a</html>"),
        *(b"<?xml version='1.0'?><rss/>", b"<?xml version='1.0' encoding='klingon'?><urlset/>"),
        gzip.compress(b"an archive of something", mtime=0),
    ],
)
def test_anything_else_is_no_sitemap(body: bytes) -> None:
    assert parse_sitemap(body) is None


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            f'<!DOCTYPE urlset [<!ENTITY l0 "ha">{LAUGHS}]><urlset><url><loc>&l9;</loc></url></urlset>',
            "entities",
        ),
        (
            '<!DOCTYPE u [<!ENTITY x SYSTEM "file:///etc/passwd">]><urlset><url><loc>&x;</loc></url></urlset>',
            "entities",
        ),
        ('<!DOCTYPE urlset [<!ENTITY % x SYSTEM "http://127.0.0.1/x.dtd"> %x;]><urlset/>', "entities"),
        ('<!DOCTYPE urlset SYSTEM "http://127.0.0.1/x.dtd"><urlset/>', "document type"),
        ("<urlset><url><loc>http://a/1</loc></url>", "broken XML"),
        ("<urlset><url><loc>&undeclared;</loc></url></urlset>", "broken XML"),
        ("<urlset>" + "<a>" * 1_000_000, "nested deeper"),
        ("<urlset>" + "<url><loc>http://a/</loc></url>" * (MAX_ENTRIES + 1) + "</urlset>", "50,000 entries"),
    ],
)
def test_a_broken_or_hostile_sitemap_says_what_is_wrong(body: str, reason: str) -> None:
    with pytest.raises(InvalidSitemap, match=reason):
        parse_sitemap(body.encode())


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (gzip.compress(b"<urlset>" + b" " * 19_000_000, mtime=0), "100 times"),
        (gzip.compress(urlset("http://a/1"), mtime=0)[:-12], "broken gzip"),
        (b"\x1f\x8bnonsense", "broken gzip"),
    ],
)
def test_a_hostile_archive_says_what_is_wrong(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidSitemap, match=reason):
        parse_sitemap(body)
