"""Markdown becomes HTML that does no harm, whatever it says: nothing runs, nothing is fetched."""

import asyncio
import json
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock.gateway.adapters.http.markdown import MAX_TEXT
from penstock.gateway.adapters.markdown import AT_ONCE, ATTRIBUTES, TAGS, Markdown

MARKDOWN = Markdown()
CARELESS = Markdown()
CARELESS._markdown.options["html"] = True
"""Lets raw HTML through to the sanitizer, which has to be enough by itself."""
MADE = {"a": {"href", "title", "rel", "target"}}


class Harmless(HTMLParser):
    """Fails at the first thing in a document that a browser could act upon by itself, or lead astray with."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        assert {name for name, _ in attrs} <= MADE.get(tag, ATTRIBUTES.get(tag, set()))
        assert len(dict(attrs)) == len(attrs)
        told = dict(attrs)
        if tag == "a":
            assert told["rel"] == "noopener noreferrer nofollow"
            assert told["target"] == "_blank"
            href = told.get("href")
            assert href is None or href.lower().startswith(("http:", "https:", "mailto:"))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert tag in TAGS

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)

    def handle_pi(self, data: str) -> None:
        raise AssertionError(data)

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(data)


def shown(text: str, markdown: Markdown = MARKDOWN) -> str:
    """Return the HTML of a text, having looked for harm in it."""
    html = markdown.render(text)
    parser = Harmless()
    parser.feed(html)
    parser.close()
    return html


TABLE = """<table>
<thead>
<tr>
<th align="left">a</th>
<th align="right">b</th>
</tr>
</thead>
<tbody>
<tr>
<td align="left">1</td>
<td align="right">2</td>
</tr>
</tbody>
</table>
"""
LINK = '<a href="{}" target="_blank" rel="noopener noreferrer nofollow">{}</a>'


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("A *log*, **not** `one`.", "<p>A <em>log</em>, <strong>not</strong> <code>one</code>.</p>\n"),
        ("# One\n\n1. a\n2. b", "<h1>One</h1>\n<ol>\n<li>a</li>\n<li>b</li>\n</ol>\n"),
        ("3. a", '<ol start="3">\n<li>a</li>\n</ol>\n'),
        ("> a\n\n---", "<blockquote>\n<p>a</p>\n</blockquote>\n<hr>\n"),
        ("```python\nx < 1 & y\n```", "<pre><code>x &lt; 1 &amp; y\n</code></pre>\n"),
        ("|a|b|\n|:-|-:|\n|1|2|", TABLE),
        ("[a](https://x.example/?a=b&c)", f"<p>{LINK.format('https://x.example/?a=b&amp;c', 'a')}</p>\n"),
        ("<a@x.example>", f"<p>{LINK.format('mailto:a@x.example', 'a@x.example')}</p>\n"),
        ("", ""),
    ],
)
def test_what_is_written_is_shown(text: str, html: str) -> None:
    assert shown(text) == html


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<scr<script>ipt>alert(1)</script>",
        "<SCRIPT SRC=//x.example></SCRIPT>",
        '<img src=x onerror="alert(1)">',
        "<svg/onload=alert(1)>",
        "<details open ontoggle=alert(1)>",
        '<iframe srcdoc="<script>alert(1)</script>">',
        '<a href="javascript:alert(1)">a</a>',
        '<form action="//x.example"><input name=key><button>Sign in</button></form>',
        '<base href="//x.example/">',
        '<meta http-equiv="refresh" content="0;url=//x.example">',
        '<link rel=stylesheet href="//x.example">',
        "<style>@import '//x.example'</style>",
        '<p style="position:fixed;inset:0">a</p>',
        '<p id="app" class="dialog">a</p>',
        "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
        "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
        "<!-- a --><![CDATA[a]]><?a?><!DOCTYPE a>",
        "<template><script>alert(1)</script></template>",
        "[a](javascript:alert(1))",
        "[a](JaVaScRiPt:alert(1))",
        "[a](java&#10;script:alert(1))",
        "[a](&#106;avascript:alert(1))",
        "[a](\\u006aavascript:alert(1))",
        "[a](  javascript:alert(1))",
        "[a](<java\tscript:alert(1)>)",
        "[a](vbscript:a)",
        "[a](data:text/html;base64,PHNjcmlwdD4=)",
        "[a](file:///etc/passwd)",
        "[a](blob:http://x/1)",
        '[a](https://x.example "onmouseover=alert(1)")',
        '[a](https://x.example"onmouseover=alert(1))',
        "[a](https://x.example'onmouseover='alert(1))",
        "<javascript:alert(1)>",
        "![a](https://x.example/pixel.png)",
        "![a](data:image/svg+xml;base64,PHN2Zz4=)",
        '![a"onerror="alert(1)](x)',
        "![<script>](x)",
        "[![a](https://x.example/p.png)](javascript:alert(1))",
        "[<img src=x onerror=alert(1)>](https://x.example)",
        "[a]\n\n[a]: javascript:alert(1)",
        "`<script>`\n\n```<script>alert(1)\n<script>\n```",
        "```html onload=alert(1)\na\n```",
        '|<script>|\n|:-" onclick=alert(1)|\n|a|',
        "|a|\n|:-|\n|<img src=x onerror=alert(1)>|",
        "\x00<script>\x00",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "&#60;script&#62;",
        "\u2028<script>\u2029",
        "> " * 5000 + "<script>",
        "[" * 5000 + "](javascript:a)",
        "- " * 5000 + "<img src=x>",
        "*a **a " * 3000,
    ],
)
def test_injections_do_nothing(text: str) -> None:
    for html in (shown(text), shown(text, CARELESS)):
        assert "<script" not in html.lower()
        assert "<img" not in html.lower()


def test_raw_html_is_shown_as_it_is_written() -> None:
    assert shown("<b>a</b>") == "<p>&lt;b&gt;a&lt;/b&gt;</p>\n"


def test_images_are_words() -> None:
    assert shown("Look: ![a *dam* < b](https://x.example/p.png)") == "<p>Look: a dam &lt; b</p>\n"


@pytest.mark.parametrize(
    "place", ["/console/session", "#/dead-letters", "//x.example", "?a", "requests", "\\\\x"]
)
def test_links_lead_to_no_place_of_the_console(place: str) -> None:
    assert "href" not in shown(f"[a]({place})")


def test_citations_are_no_links() -> None:
    html = shown("So it says [1].\n\n[1]: https://x.example")
    assert "<a" not in html
    assert "So it says [1]." in html


_NASTY = (
    *"<>\"'&;:/()[]!`*_|\\\n\t\x00#-+={}% 1ab",
    *("```", "~~~", "**", "\n\n", "[a](", "![a](", "]: ", "|-|-|", "1. ", "> "),
    *("<script>", "</script>", "<img ", "onerror=", "<svg onload=", "<a href=", "<style>", "<!--", "-->"),
    *("<![CDATA[", "]]>", "javascript:", "data:", "https://x.example", "//x", "<table><td>", "<math><mtext>"),
    *("&lt;", "&#106;", "&colon;", "&NewLine;", "\u2028", "\ufeff", "\u202e", "\u00e9", "\u6f22"),
)
_TEXTS = st.one_of(st.lists(st.sampled_from(_NASTY), max_size=60).map("".join), st.text(max_size=200))


@settings(max_examples=500, deadline=None)
@given(_TEXTS)
@example("[a](https://x.example/<script>)")
def test_nothing_harmful_ever_comes_out(text: str) -> None:
    shown(text)
    shown(text, CARELESS)


@settings(max_examples=200, deadline=None)
@given(_TEXTS)
def test_what_comes_out_is_safe_even_as_markdown(text: str) -> None:
    # Whatever its caller takes it for, and however often it is rendered.
    shown(MARKDOWN.render(text))


async def post(stand: Any, text: str) -> Any:
    return await stand.client.post(
        f"{stand.url}/console/api/markdown", json={"text": text}, headers=stand.auth, timeout=60
    )


async def test_texts_are_rendered_for_the_console(stand: Any) -> None:
    for text in ("*a* <b>", "*a* " * AT_ONCE):
        response = await post(stand, text)
        assert (response.status_code, response.json()) == (200, {"html": shown(text)})
    response = await stand.client.post(f"{stand.url}/console/api/markdown", json={"text": "a"})
    assert response.status_code == 401


async def test_texts_are_bounded(stand: Any) -> None:
    at_the_limit = "ä" * (MAX_TEXT // 2)
    assert (await post(stand, at_the_limit)).status_code == 200
    refused = await post(stand, at_the_limit + "a")
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "request_too_large")
    refused = await post(stand, "a" * (1 << 20))
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "request_too_large")


async def test_bodies_that_are_no_text(stand: Any) -> None:
    for content, code in (
        (b"", "invalid_json"),
        (b"{}", "missing_required_parameter"),
        (b'{"text": null}', "invalid_value"),
        (b'{"text": "a", "html": true}', "unknown_parameter"),
        (b'{"text": "\\ud800"}', "invalid_json"),
        (json.dumps({"text": "\x00"}).encode(), ""),
    ):
        headers = {**stand.auth, "content-type": "application/json"}
        response = await stand.client.post(
            f"{stand.url}/console/api/markdown", content=content, headers=headers
        )
        if code:
            assert (response.status_code, response.json()["error"]["code"]) == (400, code)
        else:
            assert response.json() == {"html": "<p>\ufffd</p>\n"}


async def test_others_go_on_while_a_long_text_is_rendered(stand: Any) -> None:
    long = asyncio.create_task(post(stand, "*a **b* c " * (MAX_TEXT // 10)))
    await stand.until(lambda: stand.gateway.service.console_calls.used == 1)
    answered = 0
    while not long.done():
        assert (await stand.client.get(f"{stand.url}/livez")).status_code == 200
        answered += 1
    assert (await long).status_code == 200
    assert answered > 1
