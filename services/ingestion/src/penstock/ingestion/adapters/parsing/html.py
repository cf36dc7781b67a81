"""HTML as browsers read it: the main content's text with headings, lists, tables and code."""

import re

from selectolax.lexbor import LexborHTMLParser, LexborNode

from penstock.ingestion.adapters.parsing.builder import Builder
from penstock.ingestion.adapters.parsing.encoding import decode
from penstock.ingestion.adapters.parsing.rows import markdown_tables
from penstock.ingestion.domain.parsed import Kind, Parsed

_DECLARED = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([\w-]{1,40})", re.IGNORECASE)
_HEAD_BYTES = 4096

# fmt: off
_NEVER = frozenset({
    "script", "style", "noscript", "template", "nav", "head", "svg", "iframe", "object", "select", "button",
    "textarea",
})
_AROUND = frozenset({"header", "footer", "aside", "form"})
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_LISTS = frozenset({"ul", "ol", "menu", "dir"})
_BLOCKS = _LISTS | {
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog",
    "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "header", "hr", "html", "li",
    "main", "p", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr",
}
# fmt: on
_BREAK = "\x00"  # stands for <br>; the parser lets no such character through
_PERMALINK = "¶"  # what documentation tools put behind a heading to link to it
_MAX_INDENT = 8


def parse_html(data: bytes, file_name: str) -> Parsed:
    """Return the text of `main`, `[role=main]` or the only `article`, else of the body without its frame."""
    declared = _DECLARED.search(data[:_HEAD_BYTES])
    document = LexborHTMLParser(decode(data, declared[1].decode() if declared else ""))
    builder = Builder()
    if main := _main(document):
        _Reader(builder, _NEVER).read(main)
    if builder.empty and document.body:
        _Reader(builder, _NEVER | _AROUND).read(document.body)
    title = document.css_first("title")
    return builder.finish(file_name, title.text() if title else "")


def _main(document: LexborHTMLParser) -> LexborNode | None:
    for selector in ("main", "[role=main]"):
        if found := document.css_first(selector):
            return found
    articles = document.css("article")
    return articles[0] if len(articles) == 1 else None


class _Reader:
    """Walks a tree without recursion (it may be as deep as a hostile file likes) and adds what it reads."""

    def __init__(self, builder: Builder, skipped: frozenset[str]) -> None:
        self._builder = builder
        self._skipped = skipped
        self._inline: list[str] = []
        self._lists: list[int | None] = []  # of each list we are in: items so far if numbered, else None
        self._bullet = ""

    def read(self, root: LexborNode) -> None:
        stack = [(root, False)]
        while stack:
            node, left = stack.pop()
            if left:
                self._leave(node.tag or "")
            elif node.is_text_node:
                self._inline.append(_text(node))
            elif node.is_element_node and self._enter(node, node.tag or ""):
                stack.append((node, True))
                stack += [(child, False) for child in reversed(list(node.iter(include_text=True)))]
        self._flush()

    def _enter(self, node: LexborNode, tag: str) -> bool:
        """Read the start of an element; whether its children are to be read too."""
        if tag in self._skipped:
            return False
        if tag == "br":
            self._inline.append(_BREAK)
        elif tag in _HEADINGS:
            self._flush()
            self._builder.heading(int(tag[1]), _deep_text(node))
        elif tag == "pre":
            self._flush()
            self._builder.add(Kind.CODE, node.text())
        elif tag == "table" and (rows := _rows(node)):
            self._table(node, rows)
        else:
            self._open(tag)
            return True
        return False

    def _open(self, tag: str) -> None:
        if tag in _BLOCKS:
            self._flush()
        if tag in _LISTS:
            self._lists.append(0 if tag == "ol" else None)
        elif tag == "li":
            self._bullet = self._next_bullet()

    def _leave(self, tag: str) -> None:
        if tag in _BLOCKS:
            self._flush()
        if tag in _LISTS:
            self._lists.pop()

    def _next_bullet(self) -> str:
        number = self._lists[-1] if self._lists else None
        if number is None:
            return "- "
        self._lists[-1] = number + 1
        return f"{number + 1}. "

    def _table(self, table: LexborNode, rows: list[list[str]]) -> None:
        self._flush()
        if caption := table.css_first("caption"):
            self._builder.add(Kind.TEXT, _one_line(_deep_text(caption)))
        for piece in markdown_tables(rows[0], rows[1:]):
            self._builder.add(Kind.TABLE, piece)

    def _flush(self) -> None:
        """End a paragraph: white space is one space, as in a browser."""
        lines = map(_one_line, "".join(self._inline).split(_BREAK))
        self._inline.clear()
        text = "\n".join(filter(None, lines))
        if not text:
            return
        if self._lists:
            indent = "  " * min(len(self._lists) - 1, _MAX_INDENT)
            self._builder.line(indent + (self._bullet or "  ") + text)
        else:
            self._builder.add(Kind.TEXT, text)
        self._bullet = ""


def _rows(table: LexborNode) -> list[list[str]] | None:
    """The cells of a table that is one; None if it arranges a page (one row or column, or blocks inside)."""
    if table.css_first("td table, td pre, td h1, td h2, td h3"):
        return None
    rows = [
        [_one_line(_deep_text(cell)) for cell in row.iter() if cell.tag in ("td", "th")]
        for row in table.css("tr")
    ]
    rows = [row for row in rows if any(row)]
    return rows if len(rows) > 1 and max(map(len, rows)) > 1 else None


def _deep_text(node: LexborNode) -> str:
    """The text of all that is in a node; words in different blocks stay apart."""
    parts = [
        _text(inner) if inner.is_text_node else " " if inner.tag == "br" or inner.tag in _BLOCKS else ""
        for inner in node.traverse(include_text=True)
    ]
    return "".join(parts)


def _text(node: LexborNode) -> str:
    text = node.text_content or ""
    return "" if text == _PERMALINK else text


def _one_line(text: str) -> str:
    return " ".join(text.split())
