"""Markdown as HTML that does no harm, even from a model that a document has talked into something.

CommonMark and GitHub's tables, by markdown-it-py. What comes out has gone through nh3 (ammonia), which lets
pass only what is listed here; nothing else of this module is needed for its safety.
"""

import asyncio
import re
from collections.abc import Sequence

import nh3
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

_BLOCKS = {"blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "ul"}
_TABLES = {"table", "tbody", "td", "th", "thead", "tr"}
TAGS = {"a", "br", "code", "em", "strong"} | _BLOCKS | _TABLES
ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}, "td": {"align"}, "th": {"align"}}
SCHEMES = {"http", "https", "mailto"}
AT_ONCE = 2 << 10
"""Characters that are rendered in some 3 ms: a thread would cost them more than it gives."""
_ABSOLUTE = re.compile(rf"(?:{'|'.join(sorted(SCHEMES))}):", re.IGNORECASE)
_ALIGNED = "text-align:"


class Markdown:
    """Renders texts, long ones in a thread and one at a time, since a thread takes turns with the streams."""

    def __init__(self) -> None:
        self._markdown = MarkdownIt("commonmark", {"html": False})
        # No link has its address elsewhere: "[1]: http://…" in an answer would make links of its citations.
        self._markdown.enable("table").disable("reference")
        self._markdown.core.ruler.push("alignment", _align)
        self._markdown.add_render_rule("image", _name_image)
        self._turn = asyncio.Lock()

    async def html(self, text: str) -> str:
        """Return a text as HTML; its links open pages of their own."""
        if len(text) <= AT_ONCE:
            return self.render(text)
        async with self._turn:
            return await asyncio.to_thread(self.render, text)

    def render(self, text: str) -> str:
        """Do so here and now: some 2 s for 256 KiB of the worst."""
        return nh3.clean(
            self._markdown.render(text),
            tags=TAGS,
            clean_content_tags={"script", "style"},
            attributes=ATTRIBUTES,
            attribute_filter=_only_absolute,
            url_schemes=SCHEMES,
            link_rel="noopener noreferrer nofollow",
            set_tag_attribute_values={"a": {"target": "_blank"}},
        )


def _only_absolute(tag: str, attribute: str, value: str) -> str | None:
    """Drop addresses that would lead to a place of the console itself."""
    if (tag, attribute) == ("a", "href") and not _ABSOLUTE.match(value):
        return None
    return value


def _align(state: StateCore) -> None:
    """Say a table's alignment by attributes: the console's policy lets no style stand in a document."""
    for token in state.tokens:
        style = token.attrs.pop("style", None) if token.type in ("th_open", "td_open") else None
        if isinstance(style, str) and style.startswith(_ALIGNED):
            token.attrs["align"] = style.removeprefix(_ALIGNED)


def _name_image(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    """Show the words that stand for an image; the image itself would tell its server who reads."""
    return escapeHtml(renderer.renderInlineAsText(tokens[index].children or [], options, env))
