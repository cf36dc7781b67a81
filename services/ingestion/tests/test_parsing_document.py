"""Which parser a file gets, what is refused and why, and its language."""

from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import docx
import pytest

from penstock.ingestion.adapters.parsing.document import MAX_BYTES, parse_document
from penstock.ingestion.domain.parsed import Kind, Parsed, ParseFailed


@pytest.fixture
def parse(tmp_path: Path):
    def parse(data: bytes, name: str) -> Parsed:
        path = tmp_path / "blob"
        path.write_bytes(data)
        return parse_document(path, name)

    return parse


def zipped(*names: str) -> bytes:
    out = BytesIO()
    with ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return out.getvalue()


def word() -> bytes:
    out = BytesIO()
    document = docx.Document()
    document.add_paragraph("Text of Word.")
    document.save(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.md", b"# T\n\nx", Kind.HEADING),
        ("A.MARKDOWN", b"# T\n\nx", Kind.HEADING),
        ("a.html", b"<p>x", Kind.TEXT),
        ("page", b"\n<!-- c --><!DOCTYPE html><h1>T</h1>", Kind.HEADING),
        ("a.csv", b"a,b\n1,2\n", Kind.TABLE),
        ("a.json", b'{"a": 1}', Kind.TEXT),
        ("a.py", b"x = 1\n", Kind.CODE),
        ("a.rst", b"T\n===\n\nx", Kind.HEADING),
        ("README", b"plain words", Kind.TEXT),
        ("Makefile.weird", b"plain words", Kind.TEXT),
        ("../../etc/passwd", b"root:x:0:0", Kind.TEXT),
        ("no-suffix-needed", word(), Kind.TEXT),
    ],
)
def test_the_parser_follows_from_content_and_name(parse, name: str, data: bytes, kind: Kind) -> None:
    assert parse(data, name).blocks[0].kind is kind


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.txt", b"\x89PNG\r\n\x1a\n", "an image"),
        ("a.jpg", b"\xff\xd8\xff\xe0", "an image"),
        ("a.svg", b"<svg/>", "an image"),
        ("a.mp3", b"ID3\x04", "sound"),
        ("a.mp4", b"\x00\x00\x00\x20ftypisom", "film"),
        ("a.zip", zipped("a.txt"), "an archive"),
        ("a.xlsx", zipped("[Content_Types].xml", "xl/workbook.xml"), "Excel.*CSV"),
        ("a.pptx", zipped("ppt/slides.xml"), "PowerPoint.*PDF"),
        ("a.gz", b"\x1f\x8b\x08", "an archive"),
        ("a.tar", b"a".ljust(257, b"\x00") + b"ustar", "an archive"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Office"),
        ("a.exe", b"MZ\x90\x00", "a program"),
        ("run", b"\x7fELF\x02", "a program"),
        ("a.dat", bytes(range(256)) * 10, "unknown kind"),
    ],
)
def test_what_cannot_be_read_names_what_can(parse, name: str, data: bytes, said: str) -> None:
    with pytest.raises(ParseFailed, match=rf"unsupported_file.*{said}.*PDF, Word"):
        parse(data, name)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.pdf", b"words", "does not begin"),
        ("a.docx", b"words", "does not begin"),
        ("a.docx", b"PK\x03\x04words", "damaged"),
        ("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "encrypted"),
        ("a.md", b"words\x00\x01\x02", "binary"),
    ],
)
def test_a_file_that_is_not_what_it_is_called(parse, name: str, data: bytes, said: str) -> None:
    with pytest.raises(ParseFailed, match=f"invalid_file.*{said}"):
        parse(data, name)


@pytest.mark.parametrize(("name", "data"), [("a.md", b""), ("a.txt", b" \n\t "), ("a.html", b"<nav>x</nav>"),
                                            ("a.csv", b"\n\n"), ("a.txt", b"\xef\xbb\xbf \n")])  # fmt: skip
def test_a_file_without_text_is_empty(parse, name: str, data: bytes) -> None:
    with pytest.raises(ParseFailed, match="empty_file"):
        parse(data, name)


def test_too_large_a_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ParseFailed, match=r"file_too_large.*50 MB"):
        parse_document(path, "a.txt")


def test_too_much_text_is_refused(parse) -> None:
    with pytest.raises(ParseFailed, match=r"file_too_large.*20 MB"):
        parse(b"words " * 4_000_000, "a.txt")
    with pytest.raises(ParseFailed, match=r"file_too_large.*20 MB"):
        parse(b"a,b\n" + b"1," * 12 + b"2\n" * 10_000_000, "a.csv")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The valve must be closed before the pump is opened for maintenance.", "en"),
        ("Das Ventil muss geschlossen sein,\nbevor die Pumpe geöffnet wird.", "de"),
        ("La vanne doit être fermée avant que la pompe ne soit ouverte.", "fr"),
        ("Перед обслуживанием насоса необходимо закрыть клапан.", "ru"),
        ("在打开泵进行维护之前，必须先关闭阀门，然后检查所有密封件和管道连接是否完好。", "zh"),
        ("OK", ""),
        ("123 456 789 " * 10, ""),
    ],
)
def test_the_language_is_named_where_it_is_certain(parse, text: str, language: str) -> None:
    assert parse(text.encode(), "a.txt").language == language


def test_code_has_no_language(parse) -> None:
    assert parse(b"for word in words:\n    print(word)\n" * 10, "a.py").language == ""
