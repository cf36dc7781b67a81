"""HTML: the main content is read as a browser shows it."""

import pytest

from penstock.ingestion.adapters.parsing.html import parse_html
from penstock.ingestion.domain.parsed import Kind, Parsed

PAGE = """<!doctype html><html><head><title>Site - Page</title><style>p{}</style></head><body>
<nav>Menu</nav><header>Banner</header>
<main><h1>Page<a class="headerlink" href="#p">¶</a></h1>
<p>One  <b>bold</b>
word.<br>Next&nbsp;line &amp; more.</p>
<script>alert("no")</script>
<h2>Lists</h2><ul><li>a<ul><li>inner</li></ul></li><li><p>b</p></li></ul><ol><li>x</li><li>y</li></ol>
<h3>Code</h3><pre>def f():
    return 1
</pre>
<h2>Table</h2><table><caption>Sizes</caption><tr><th>name</th><th>a|b</th></tr><tr><td>x<br>y</td><td>2</td></tr></table>
</main><footer>Foot</footer></body></html>"""


def shown(parsed: Parsed) -> list[tuple[Kind, tuple[str, ...], str]]:
    return [(block.kind, block.headings, parsed.text[block.start : block.end]) for block in parsed.blocks]


def test_the_main_content_of_a_page() -> None:
    parsed = parse_html(PAGE.encode(), "page.html")
    assert parsed.title == "Page"
    assert shown(parsed) == [
        (Kind.HEADING, (), "Page"),
        (Kind.TEXT, (), "One bold word.\nNext line & more."),
        (Kind.HEADING, ("Lists",), "Lists"),
        (Kind.TEXT, ("Lists",), "- a\n  - inner\n- b\n1. x\n2. y"),
        (Kind.HEADING, ("Lists", "Code"), "Code"),
        (Kind.CODE, ("Lists", "Code"), "def f():\n    return 1"),
        (Kind.HEADING, ("Table",), "Table"),
        (Kind.TEXT, ("Table",), "Sizes"),
        (Kind.TABLE, ("Table",), "| name | a\\|b |\n| --- | --- |\n| x y | 2 |"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        "<div role=main>core</div><p>around</p>",
        "<article>core</article><p>around</p>",
        "<main><script>x</script></main><nav>n</nav><div>core</div><footer>f</footer><aside>a</aside>",
        "<header>h</header>core<noscript>n</noscript>",
    ],
)
def test_what_surrounds_the_content_is_left_out(body: str) -> None:
    assert parse_html(f"<title>T</title><body>{body}</body>".encode(), "x.html").text == "core"


def test_several_articles_are_all_read() -> None:
    parsed = parse_html(b"<article>one</article><article>two</article>", "x.html")
    assert parsed.text == "one\n\ntwo"


def test_a_table_that_arranges_the_page_is_read_as_text() -> None:
    parsed = parse_html(
        b"<table><tr><td>left <table><tr><td>in</td></tr></table></td></tr></table>", "x.html"
    )
    assert {block.kind for block in parsed.blocks} == {Kind.TEXT}
    assert parsed.text == "left\n\nin"


def test_the_title_is_the_only_first_heading_then_the_head_then_the_name() -> None:
    assert parse_html(b"<title>Head</title><h1>A</h1><h1>B</h1>", "x.html").title == "Head"
    assert parse_html(b"<title>Head</title><h2>A</h2>", "x.html").title == "Head"
    assert parse_html(b"<p>text", "x.html").title == "x"


def test_the_encoding_that_the_page_names() -> None:
    page = '<meta http-equiv=content-type content="text/html; charset=iso-8859-2"><p>żółć</p>'
    assert parse_html(page.encode("iso-8859-2"), "x.html").text == "żółć"


def test_deep_nesting_is_read() -> None:
    for tag in ("div", "ul><li", "b", "h1", "td", "table><tr><td"):
        parsed = parse_html((f"<{tag}>" * 3_000 + "deep").encode(), "x.html")
        assert "deep" in parsed.text


def test_a_long_table_repeats_its_header() -> None:
    rows = "".join(f"<tr><td>{n}</td><td>{'word ' * 20}</td></tr>" for n in range(30))
    parsed = parse_html(f"<table><tr><th>no</th><th>text</th></tr>{rows}</table>".encode(), "x.html")
    assert len(parsed.blocks) > 3
    assert all(text.startswith("| no | text |\n| --- | --- |\n| ") for _, _, text in shown(parsed))
