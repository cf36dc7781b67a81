"""Which parser reads a file: by what its first bytes say, then by its name."""

import re
import zipfile
from collections.abc import Callable
from io import BytesIO

from penstock.ingestion.adapters.parsing.code import SUFFIXES as CODE_SUFFIXES
from penstock.ingestion.adapters.parsing.code import parse_code
from penstock.ingestion.adapters.parsing.html import parse_html
from penstock.ingestion.adapters.parsing.json_ import parse_json, parse_json_lines
from penstock.ingestion.adapters.parsing.markdown import parse_markdown
from penstock.ingestion.adapters.parsing.pdf import parse_pdf
from penstock.ingestion.adapters.parsing.plain_text import parse_plain, parse_rst
from penstock.ingestion.adapters.parsing.table import parse_table
from penstock.ingestion.adapters.parsing.word import parse_word
from penstock.ingestion.domain.parsed import Parsed, ParseFailed

Parse = Callable[[bytes, str], Parsed]
"""Reads the bytes of a file with this name; ParseFailed if it cannot."""

READABLE = "PDF, Word (.docx), HTML, Markdown, text, CSV, JSON and source code"

_BY_SUFFIX: dict[str, Parse] = {
    **dict.fromkeys(CODE_SUFFIXES, parse_code),
    **dict.fromkeys((".md", ".markdown", ".mdx", ".mkd"), parse_markdown),
    **dict.fromkeys((".html", ".htm", ".xhtml"), parse_html),
    **dict.fromkeys((".csv", ".tsv", ".tab"), parse_table),
    **dict.fromkeys((".json", ".geojson", ".ipynb"), parse_json),
    **dict.fromkeys((".jsonl", ".ndjson"), parse_json_lines),
    **dict.fromkeys((".txt", ".text", ".log"), parse_plain),
    ".rst": parse_rst,
}
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF8", "an image"),
    (b"II*\x00", "an image"),
    (b"MM\x00*", "an image"),
    (b"\x00\x00\x01\x00", "an image"),
    (b"RIFF", "an image, sound or film"),
    (b"ID3", "sound"),
    (b"OggS", "sound or film"),
    (b"fLaC", "sound"),
    (b"\x1aE\xdf\xa3", "a film"),
    (b"\x1f\x8b", "an archive"),
    (b"BZh", "an archive"),
    (b"\xfd7zXZ", "an archive"),
    (b"7z\xbc\xaf", "an archive"),
    (b"Rar!", "an archive"),
    (b"\x28\xb5\x2f\xfd", "an archive"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90\x00", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"\xcf\xfa\xed\xfe", "a program"),
    (b"\x00asm", "a program"),
    (b"SQLite format 3\x00", "a database"),
    (b"PAR1", "a Parquet table"),
    (b"{\\rtf", "an RTF text"),
    (b"%!PS", "PostScript"),
)
_OLE = b"\xd0\xcf\x11\xe0"  # Office files before 2007, and encrypted ones since
_ZIP = b"PK\x03\x04"
_ZIP_KINDS = (
    ("word/document", "word"),
    ("xl/", "an Excel workbook (save it as CSV)"),
    ("ppt/", "a PowerPoint presentation (save it as PDF)"),
    ("content.xml", "an OpenDocument file (save it as .docx or PDF)"),
    ("META-INF/container.xml", "an EPUB book"),
)
_PICTURES = (".svg",)  # text, but none to read
_PDF_WITHIN = 1024  # bytes before which %PDF must come (ISO 32000, annex H)
_HTML = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.{0,500}?-->\s*)*<(?:!doctype\s+html|html)\b", re.I | re.S
)


def parser_of(data: bytes, file_name: str) -> Parse:
    """Return the parser for a file; ParseFailed("unsupported_file") for what none reads."""
    suffix = suffix_of(file_name)
    head = data[:_PDF_WITHIN]
    if b"%PDF-" in head and (suffix == ".pdf" or head.lstrip().startswith(b"%PDF-")):
        return parse_pdf
    if head.startswith(_ZIP):
        return _in_zip(data, suffix)
    _refuse(head, data, suffix)
    if suffix in (".pdf", ".docx"):
        raise ParseFailed("invalid_file", f"The file is damaged: it does not begin as {suffix} files do.")
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    return parse_html if _HTML.match(head) else _parse_unknown


def suffix_of(file_name: str) -> str:
    """Return the end of a name from its last point, in small letters; "" if it has none."""
    name = file_name.replace("\\", "/").rpartition("/")[2]
    _, point, end = name.rpartition(".")
    return f".{end.lower()}" if point else ""


def _in_zip(data: bytes, suffix: str) -> Parse:
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        if suffix == ".docx":
            raise ParseFailed(
                "invalid_file", "The Word file is damaged: its archive cannot be read."
            ) from error
        raise _unsupported("a damaged archive") from error
    for prefix, kind in _ZIP_KINDS:
        if any(name.startswith(prefix) for name in names):
            if kind == "word":
                return parse_word
            raise _unsupported(kind)
    raise _unsupported("an archive (unpack it)")


def _refuse(head: bytes, data: bytes, suffix: str) -> None:
    if head.startswith(_OLE):
        if suffix == ".docx":
            raise ParseFailed("invalid_file", "The Word file is encrypted. Save it without a password.")
        raise _unsupported("an old Office file (save it as .docx or PDF)")
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            raise _unsupported(kind)
    if head[4:8] == b"ftyp":
        raise _unsupported("an image, sound or film")
    if data[257:262] == b"ustar":
        raise _unsupported("an archive")
    if suffix in _PICTURES:
        raise _unsupported("an image")


def _parse_unknown(data: bytes, file_name: str) -> Parsed:
    """A file of unknown kind is text, if it can be read as such."""
    try:
        return parse_plain(data, file_name)
    except ParseFailed as error:
        if error.code != "invalid_file":
            raise
        raise _unsupported(f"of an unknown kind ({suffix_of(file_name)[:20] or 'no suffix'})") from error


def _unsupported(kind: str) -> ParseFailed:
    return ParseFailed("unsupported_file", f"The file is {kind}. These can be read: {READABLE}.")
