"""Plain text in every encoding that is met, and reStructuredText."""

import pytest

from penstock.ingestion.adapters.parsing.encoding import decode
from penstock.ingestion.adapters.parsing.plain_text import parse_plain, parse_rst
from penstock.ingestion.domain.parsed import Kind, ParseFailed

GERMAN = "Grüße aus Köln: die Straße ist überall gesperrt, außer für Fußgänger.\n" * 5
RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю.\n" * 10


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_unicode_with_and_without_a_mark(encoding: str) -> None:
    assert decode(GERMAN.encode(encoding)) == GERMAN


def test_big_endian_with_a_mark() -> None:
    assert decode(b"\xfe\xff" + "häuser".encode("utf-16-be")) == "häuser"


@pytest.mark.parametrize(
    ("text", "encoding"), [(GERMAN, "cp1252"), (RUSSIAN, "cp1251"), (RUSSIAN, "koi8-r"), (GERMAN, "latin-1")]
)
def test_legacy_encodings_are_detected(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_a_declared_encoding_is_believed_where_it_is_no_utf8() -> None:
    assert decode("żółć".encode("iso-8859-2"), "iso-8859-2") == "żółć"
    assert decode("żółć".encode(), "iso-8859-2") == "żółć"
    assert decode(GERMAN.encode("cp1252"), "no-such-encoding") == GERMAN
    assert decode(GERMAN.encode("cp1252"), "base64") == GERMAN  # not an encoding of text


def test_of_mixed_encodings_each_line_is_read_as_what_it_is() -> None:
    mixed = "Köln\nMüller\nStraße\n".encode() + "Größe\n".encode("cp1252")
    assert decode(mixed) == "Köln\nMüller\nStraße\nGröße\n"


@pytest.mark.parametrize(
    "data", [b"\x00\xff\xfe", b"text\x00with zeros, one of them here", bytes(range(256)) * 20, b"\x00" * 99]
)
def test_binary_data_fails_clearly(data: bytes) -> None:
    with pytest.raises(ParseFailed, match=r"invalid_file.*binary"):
        decode(data)


def test_a_zero_far_behind_is_found_too() -> None:
    with pytest.raises(ParseFailed, match="binary"):
        decode(b"a" * 200_000 + b"\x00")


def test_text_is_one_block_under_the_files_name() -> None:
    parsed = parse_plain(b"\n one\n\ntwo \n", "../../etc/passwd")
    assert (parsed.title, parsed.text) == ("passwd", "\n one\n\ntwo \n")
    (block,) = parsed.blocks
    assert (block.kind, block.headings, block.start, block.end) == (Kind.TEXT, (), 2, 10)


def test_sections_of_restructuredtext() -> None:
    text = (
        "=====\nTitle\n=====\n\nIntro.\n\nOne\n===\n\nbody\n\nInner\n-----\n\nmore\n\nTwo\n===\n\nend\n"
        "\n======  ======\nname    number\n======  ======\nx       1\n======  ======\n"
    )
    parsed = parse_rst(text.encode(), "x.rst")
    assert parsed.title == "Title"
    headings = [(block.headings, text[block.start : block.end]) for block in parsed.blocks]
    assert headings[:6] == [
        ((), "=====\nTitle\n====="),
        ((), "Intro."),
        (("One",), "One\n==="),
        (("One",), "body"),
        (("One", "Inner"), "Inner\n-----"),
        (("One", "Inner"), "more"),
    ]
    assert {path for path, _ in headings[6:]} == {("Two",)}
