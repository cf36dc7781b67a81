"""Word files (.docx): headings by style, lists, tables; what an archive may expand to is checked before."""

import zipfile
from collections.abc import Iterator
from functools import cached_property
from io import BytesIO

import docx
from docx.document import Document
from docx.opc.exceptions import PackageNotFoundError
from docx.oxml.ns import qn
from docx.styles.style import BaseStyle
from lxml.etree import XMLSyntaxError, _Element  # type: ignore[import-untyped]

from penstock.ingestion.adapters.parsing.builder import Builder
from penstock.ingestion.adapters.parsing.rows import markdown_tables
from penstock.ingestion.domain.parsed import Kind, Parsed, ParseFailed

MAX_EXPANDED = 500_000_000
MAX_RATIO = 100
MAX_MEMBERS = 10_000
_HEAD_BYTES = 1024

_PARAGRAPH, _TABLE, _ROW, _CELL = qn("w:p"), qn("w:tbl"), qn("w:tr"), qn("w:tc")
_TEXT, _TAB, _BREAKS = qn("w:t"), qn("w:tab"), (qn("w:br"), qn("w:cr"))
# Deleted text, the second copy of a drawing for old versions, and what holds no text.
_SKIPPED = frozenset(
    {qn("w:del"), qn("w:moveFrom"), "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"}
    | {qn(tag) for tag in ("w:pPr", "w:rPr", "w:tblPr", "w:sectPr", "w:sdtPr", "w:instrText")}
)
_MAX_INDENT = 8
# python-docx takes for granted that what it opens is sound.
_DAMAGE = (
    AttributeError,
    KeyError,
    ValueError,
    PackageNotFoundError,
    XMLSyntaxError,
    zipfile.BadZipFile,
)


def parse_word(data: bytes, file_name: str) -> Parsed:
    """Return the body's text; ParseFailed for an archive that expands too far, is damaged or holds a DTD."""
    _check_archive(data)
    try:
        document = docx.Document(BytesIO(data))
    except _DAMAGE as error:
        raise _damaged() from error
    builder = Builder()
    reader = _Reader(document, builder)
    reader.read(document.element.body)
    return builder.finish(file_name, document.core_properties.title)


def _check_archive(data: bytes) -> None:
    """Refuse bombs by what the archive says of itself: zipfile reads no member further than that."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            members = archive.infolist()
            expanded = sum(member.file_size for member in members)
            if len(members) > MAX_MEMBERS or expanded > min(MAX_EXPANDED, MAX_RATIO * len(data)):
                raise ParseFailed(
                    "file_too_large",
                    f"The file expands to more than {MAX_EXPANDED // 1_000_000} MB, {MAX_RATIO} times its"
                    f" size or {MAX_MEMBERS} parts. Save it anew, or split it.",
                )
            for member in members:
                _refuse_dtd(archive, member)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise _damaged() from error


def _refuse_dtd(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Office files hold no DTD (ECMA-376 part 2, 6.2.5), hostile ones do: entities that expand or read files.

    python-docx's parser resolves none either.
    """
    if not member.filename.endswith((".xml", ".rels")):
        return
    with archive.open(member) as part:
        head = part.read(_HEAD_BYTES).replace(b"\x00", b"")  # UTF-16 too
    if b"<!DOCTYPE" in head or b"<!ENTITY" in head:
        raise ParseFailed(
            "invalid_file", "The file holds XML entities, which Word never writes. Save it anew."
        )


def _damaged() -> ParseFailed:
    return ParseFailed("invalid_file", "The Word file is damaged. Open it in Word and save it anew.")


class _Reader:
    def __init__(self, document: Document, builder: Builder) -> None:
        self._document = document
        self._builder = builder

    def read(self, body: _Element) -> None:
        for element in _content(body):
            if element.tag == _TABLE:
                self._table(element)
            else:
                self._paragraph(element)

    def _table(self, table: _Element) -> None:
        rows = [[" ".join(_texts(cell)) for cell in _children(row, _CELL)] for row in _children(table, _ROW)]
        rows = [row for row in rows if any(row)]
        if rows and max(map(len, rows)) == 1:  # a frame around text
            for (text,) in rows:
                self._builder.add(Kind.TEXT, text)
        elif rows:
            for piece in markdown_tables(rows[0], rows[1:]):
                self._builder.add(Kind.TABLE, piece)

    def _paragraph(self, paragraph: _Element) -> None:
        text = _text(paragraph).strip()
        style = self._styles.get(_value(paragraph, "w:pPr/w:pStyle"), "")
        level = _level(style)
        indent = _list_indent(paragraph, style)
        if level is not None:
            self._builder.heading(level, text)
        elif indent is not None and text:
            self._builder.line(f"{'  ' * min(indent, _MAX_INDENT)}- {text}")
        else:
            self._builder.add(Kind.TEXT, text)

    @cached_property
    def _styles(self) -> dict[str | None, str]:
        """Style ids with the name of the nearest built-in style they are based on (names are English)."""
        return {style.style_id: _known_name(style) for style in self._document.styles}


def _known_name(style: BaseStyle) -> str:
    current: BaseStyle | None = style
    for _ in range(10):  # a hostile file may base styles on one another in a ring
        if current is None:
            break
        name = (current.name or "").lower()
        if _level(name) is not None or name.startswith("list "):
            return name
        current = getattr(current, "base_style", None)
    return ""


def _level(style: str) -> int | None:
    if style == "title":
        return 0
    word, _, number = style.partition(" ")
    return int(number) if word == "heading" and number.isdecimal() else None


def _list_indent(paragraph: _Element, style: str) -> int | None:
    if _value(paragraph, "w:pPr/w:numPr/w:numId") not in (None, "0"):
        return int(_value(paragraph, "w:pPr/w:numPr/w:ilvl") or 0)
    return 0 if style.startswith("list ") else None


def _value(element: _Element, path: str) -> str | None:
    found = element.find("/".join(map(qn, path.split("/"))))
    return None if found is None else found.get(qn("w:val"))


def _content(parent: _Element) -> Iterator[_Element]:
    """Paragraphs and tables in order, those in content controls and tracked insertions too."""
    for child in parent:
        if child.tag in (_PARAGRAPH, _TABLE):
            yield child
        elif isinstance(child.tag, str) and child.tag not in _SKIPPED:
            yield from _content(child)  # XML is at most 256 deep: libxml2's own limit


def _children(parent: _Element, tag: str) -> Iterator[_Element]:
    for child in parent:
        if child.tag == tag:
            yield child
        elif child.tag in (qn("w:sdt"), qn("w:sdtContent"), qn("w:customXml"), qn("w:ins")):
            yield from _children(child, tag)


def _texts(cell: _Element) -> Iterator[str]:
    """The paragraphs of a cell, those of tables in it too."""
    for element in _content(cell):
        if element.tag == _PARAGRAPH:
            yield _text(element)
        else:
            yield from _texts(element)


def _text(element: _Element) -> str:
    parts: list[str] = []
    for child in element:
        if child.tag == _TEXT:
            parts.append(child.text or "")
        elif child.tag == _TAB:
            parts.append("\t")
        elif child.tag in _BREAKS:
            parts.append("\n")
        elif isinstance(child.tag, str) and child.tag not in _SKIPPED:
            parts.append(_text(child))
    return "".join(parts)
