"""PDF files written by hand, byte by byte, and hostile ones."""

import pytest

from penstock.ingestion.adapters.parsing.pdf import parse_pdf
from penstock.ingestion.domain.parsed import Kind, Parsed, ParseFailed


def written(objects: dict[int, str], trailer: str = "") -> bytes:
    """A PDF file of these objects; 1 is the catalog."""
    out = bytearray(b"%PDF-1.7\n")
    places = {}
    for number, content in objects.items():
        places[number] = len(out)
        out += f"{number} 0 obj\n{content}\nendobj\n".encode("latin-1")
    start = len(out)
    out += f"xref\n0 {max(objects) + 1}\n0000000000 65535 f \n".encode()
    for number in range(1, max(objects) + 1):
        out += f"{places.get(number, 0):010} 00000 {'n' if number in places else 'f'} \n".encode()
    size = f"<< /Size {max(objects) + 1} /Root 1 0 R {trailer} >>"
    return bytes(out) + f"trailer\n{size}\nstartxref\n{start}\n%%EOF\n".encode()


def pages(texts: list[list[str]], outline: str = "", **more: str) -> dict[int, str]:
    """Objects of a document whose pages have these lines; page n is object 10 + 2n."""
    kids = " ".join(f"{10 + 2 * number} 0 R" for number in range(len(texts)))
    objects = {
        1: f"<< /Type /Catalog /Pages 2 0 R {outline} >>",
        2: f"<< /Type /Pages /Kids [{kids}] /Count {len(texts)} >>",
        3: "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    }
    for number, lines in enumerate(texts):
        drawn = "BT /F1 12 Tf 14 TL 50 750 Td " + " ".join(f"({line}) Tj T*" for line in lines) + " ET"
        objects[10 + 2 * number] = (
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Resources << /Font << /F1 3 0 R >> >>"
            f" /Contents {11 + 2 * number} 0 R >>"
        )
        objects[11 + 2 * number] = f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream"
    return objects | {int(number): content for number, content in more.items()}


def shown(parsed: Parsed) -> list[tuple[Kind, tuple[str, ...], int | None, str]]:
    return [
        (block.kind, block.headings, block.page, parsed.text[block.start : block.end])
        for block in parsed.blocks
    ]


BOOK = [
    ["The pump book", "Some words."],
    ["1. Parts", "A valve.", "1.1 Seals", "Rubber."],
    ["More rubber.", "End"],
]
OUTLINE = {
    "4": "<< /Type /Outlines /First 5 0 R /Last 5 0 R >>",
    "5": "<< /Title (The pump book) /Parent 4 0 R /Dest [10 0 R /Fit] /First 6 0 R /Last 8 0 R >>",
    "6": "<< /Title (Parts) /Parent 5 0 R /Dest [12 0 R /Fit] /Next 8 0 R /First 7 0 R /Last 7 0 R >>",
    "7": "<< /Title (Seals) /Parent 6 0 R /Dest [12 0 R /Fit] >>",
    "8": "<< /Title (Not on the page) /Parent 5 0 R /Dest [14 0 R /Fit] /Prev 6 0 R >>",
}


def test_pages_and_headings_of_the_outline() -> None:
    parsed = parse_pdf(written(pages(BOOK, "/Outlines 4 0 R", **OUTLINE)), "book.pdf")
    assert (parsed.title, parsed.pages) == ("The pump book", 3)
    seals = ("Parts", "Seals")
    assert shown(parsed) == [
        (Kind.HEADING, (), 1, "The pump book"),
        (Kind.TEXT, (), 1, "Some words."),
        (Kind.HEADING, ("Parts",), 2, "1. Parts"),
        (Kind.TEXT, ("Parts",), 2, "A valve."),
        (Kind.HEADING, seals, 2, "1.1 Seals"),
        (Kind.TEXT, seals, 2, "Rubber."),
        (Kind.TEXT, ("Not on the page",), 3, "More rubber.\nEnd"),
    ]


def test_without_an_outline_the_title_is_of_the_metadata() -> None:
    objects = pages([["Hello"], ["World"]]) | {9: "<< /Title (Of the file) >>"}
    parsed = parse_pdf(written(objects, "/Info 9 0 R"), "book.pdf")
    assert parsed.title == "Of the file"
    assert [(block.page, block.headings) for block in parsed.blocks] == [(1, ()), (2, ())]
    assert parse_pdf(written(pages([["Hello"]])), "book.pdf").title == "book"


def test_an_outline_that_goes_in_a_ring_ends() -> None:
    ring = OUTLINE | {"7": "<< /Title (Seals) /Parent 6 0 R /Dest [12 0 R /Fit] /Next 6 0 R /First 5 0 R >>"}
    parsed = parse_pdf(written(pages(BOOK, "/Outlines 4 0 R", **ring)), "book.pdf")
    assert parsed.pages == 3


def test_an_encrypted_file_says_so() -> None:
    key = "<" + "ab" * 32 + ">"
    crypt = f"/Encrypt << /Filter /Standard /V 1 /R 2 /O {key} /U {key} /P -4 >> /ID [{key} {key}]"
    with pytest.raises(ParseFailed, match=r"invalid_file.*encrypted"):
        parse_pdf(written(pages([["secret"]]), crypt), "x.pdf")


@pytest.mark.parametrize("damage", [lambda pdf: pdf[:40], lambda pdf: pdf[:9] + bytes(5000)])
def test_damage_is_named(damage) -> None:
    with pytest.raises(ParseFailed, match=r"invalid_file.*damaged"):
        parse_pdf(damage(written(pages([["text"]]))), "x.pdf")


def test_a_million_objects_are_refused() -> None:
    filler = b"".join(b"%d 0 obj null endobj\n" % number for number in range(20, 1_000_020))
    with pytest.raises(ParseFailed, match=r"file_too_large.*objects"):
        parse_pdf(written(pages([["text"]])) + filler, "x.pdf")


def test_too_many_pages_are_refused() -> None:
    objects = pages([["text"]])
    objects[2] = f"<< /Type /Pages /Kids [{'10 0 R ' * 5_001}] /Count 5001 >>"
    with pytest.raises(ParseFailed, match=r"file_too_large.*pages"):
        parse_pdf(written(objects), "x.pdf")


def test_pages_nested_in_themselves_end() -> None:
    objects = pages([["text"]])
    objects[2] = "<< /Type /Pages /Kids [2 0 R 10 0 R] /Count 2 >>"
    with pytest.raises(ParseFailed, match=r"invalid_file.*damaged"):
        parse_pdf(written(objects), "x.pdf")
