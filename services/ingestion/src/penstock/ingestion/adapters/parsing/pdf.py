"""PDF by Chromium's library: the text of each page, headings from the outline (bookmarks)."""

import re
from collections import defaultdict
from itertools import islice
from typing import NamedTuple

from pypdfium2 import PdfDocument, PdfiumError  # type: ignore[import-untyped]
from pypdfium2.raw import FPDF_ERR_PASSWORD, FPDF_ERR_SECURITY  # type: ignore[import-untyped]

from penstock.ingestion.adapters.parsing.builder import Builder, base_name
from penstock.ingestion.domain.parsed import Kind, Parsed, ParseFailed

MAX_PAGES = 5_000
MAX_OBJECTS = 500_000
_MAX_BOOKMARKS = 20_000
_ENCRYPTED = (FPDF_ERR_PASSWORD, FPDF_ERR_SECURITY)
# PDFium puts one of these where a word is hyphenated at a line's end.
_HYPHENATION = re.compile("[\ufffe\x02](?:\r?\n)?")
_WORD = re.compile(r"\w+")


class _Heading(NamedTuple):
    level: int
    title: str


def parse_pdf(data: bytes, file_name: str) -> Parsed:
    """Return the pages' text; ParseFailed if it is encrypted, damaged or of too many pages or objects."""
    if data.count(b" obj") > MAX_OBJECTS:
        raise _too_large(f"{MAX_OBJECTS} objects")
    try:
        with PdfDocument(data) as document:
            return _read(document, file_name)
    except PdfiumError as error:
        if error.err_code in _ENCRYPTED:
            raise ParseFailed("invalid_file", "The PDF is encrypted. Save it without a password.") from error
        raise ParseFailed("invalid_file", "The PDF is damaged. Print or save it anew as PDF.") from error


def _read(document: PdfDocument, file_name: str) -> Parsed:
    pages = len(document)
    if pages > MAX_PAGES:
        raise _too_large(f"{MAX_PAGES} pages")
    outline = _outline(document)
    builder = Builder()
    for index in range(pages):
        builder.page = index + 1
        _add_page(builder, _page_text(document, index), outline.get(index, []))
    title = document.get_metadata_value("Title").strip() or base_name(file_name)
    return builder.finish(file_name, title, pages)


def _outline(document: PdfDocument) -> dict[int, list[_Heading]]:
    """The bookmarks of each page (from 0) in order; those that lead nowhere are left out."""
    headings: defaultdict[int, list[_Heading]] = defaultdict(list)
    for bookmark in islice(document.get_toc(), _MAX_BOOKMARKS):
        target = bookmark.get_dest()
        page = target.get_index() if target else None
        if page is not None and (title := bookmark.get_title().strip()):
            headings[page].append(_Heading(bookmark.level + 1, title))
    return headings


def _page_text(document: PdfDocument, index: int) -> str:
    page = document[index]
    try:
        textpage = page.get_textpage()
        text: str = textpage.get_text_bounded()
        textpage.close()
    finally:
        page.close()
    return _HYPHENATION.sub("", text).replace("\r\n", "\n").replace("\r", "\n")


def _add_page(builder: Builder, text: str, headings: list[_Heading]) -> None:
    """Add a page, parted at the lines that its bookmarks name; one that is not found opens where it comes."""
    at = 0
    for heading in headings:
        found = _find(heading.title, text, at)
        if found is not None:
            builder.add(Kind.TEXT, text[at : found[0]])
            builder.open(*heading)
            builder.add(Kind.HEADING, text[found[0] : found[1]])
            at = found[1]
        else:
            builder.open(*heading)
    builder.add(Kind.TEXT, text[at:])


def _find(title: str, text: str, at: int) -> tuple[int, int] | None:
    """Where the lines begin and end that hold a title's words, whatever stands between them."""
    words = _WORD.findall(title)[:40]
    if not words:
        return None
    # A number may stand before it.
    pattern = r"^[\W\d]{0,20}" + r"\W{1,10}".join(map(re.escape, words)) + r"\W{0,10}$"
    found = re.compile(pattern, re.IGNORECASE | re.MULTILINE).search(text, at)
    return found.span() if found else None


def _too_large(bound: str) -> ParseFailed:
    return ParseFailed("file_too_large", f"The PDF has more than {bound}. Split it into smaller files.")
