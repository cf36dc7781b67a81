"""Word files made by python-docx, and hostile archives."""

import zipfile
from io import BytesIO
from itertools import product

import docx
import pytest
from docx.oxml import parse_xml

from penstock.ingestion.adapters.parsing.word import parse_word
from penstock.ingestion.domain.parsed import Kind, Parsed, ParseFailed


def saved(document: docx.document.Document) -> bytes:
    out = BytesIO()
    document.save(out)
    return out.getvalue()


def shown(parsed: Parsed) -> list[tuple[Kind, tuple[str, ...], str]]:
    return [(block.kind, block.headings, parsed.text[block.start : block.end]) for block in parsed.blocks]


def changed(data: bytes, name: str, content: bytes) -> bytes:
    """The archive with one member replaced or added."""
    out = BytesIO()
    with zipfile.ZipFile(BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.namelist():
            if member != name:
                new.writestr(member, old.read(member))
        new.writestr(name, content)
    return out.getvalue()


def body(data: bytes) -> bytes:
    with zipfile.ZipFile(BytesIO(data)) as archive:
        return archive.read("word/document.xml")


def test_headings_lists_and_tables() -> None:
    document = docx.Document()
    document.add_heading("The report", 0)
    document.add_paragraph("Intro with a\ttab.")
    document.add_heading("Figures", 1)
    document.add_paragraph("first", style="List Bullet")
    document.add_paragraph("second", style="List Number")
    document.add_heading("Table", 2)
    table = document.add_table(2, 2)
    for (row, column), text in zip(product(range(2), repeat=2), ["name", "size", "x|y", "2"], strict=True):
        table.cell(row, column).text = text
    document.add_heading("End", 1)
    document.add_paragraph("")
    document.add_paragraph("bye")
    parsed = parse_word(saved(document), "report.docx")
    assert parsed.title == "The report"
    assert shown(parsed) == [
        (Kind.HEADING, (), "The report"),
        (Kind.TEXT, (), "Intro with a\ttab."),
        (Kind.HEADING, ("Figures",), "Figures"),
        (Kind.TEXT, ("Figures",), "- first\n- second"),
        (Kind.HEADING, ("Figures", "Table"), "Table"),
        (Kind.TABLE, ("Figures", "Table"), "| name | size |\n| --- | --- |\n| x\\|y | 2 |"),
        (Kind.HEADING, ("End",), "End"),
        (Kind.TEXT, ("End",), "bye"),
    ]


def test_a_style_based_on_a_heading_is_one() -> None:
    document = docx.Document()
    style = document.styles.add_style("Kapitel", docx.enum.style.WD_STYLE_TYPE.PARAGRAPH)
    style.base_style = document.styles["Heading 2"]
    document.add_paragraph("Eins", style="Kapitel")
    document.add_paragraph("text")
    assert [block.headings for block in parse_word(saved(document), "x.docx").blocks] == [
        ("Eins",),
        ("Eins",),
    ]


def test_text_in_content_controls_and_insertions_is_read_and_deleted_text_is_not() -> None:
    document = docx.Document()
    document.add_paragraph("plain")
    paragraph = document.add_paragraph("kept")
    names = f'xmlns:w="{paragraph._p.nsmap["w"]}"'
    paragraph._p.append(parse_xml(f"<w:ins {names}><w:r><w:t> added</w:t></w:r></w:ins>"))
    paragraph._p.append(parse_xml(f"<w:del {names}><w:r><w:delText>gone</w:delText></w:r></w:del>"))
    control = "<w:sdtContent><w:p><w:r><w:t>inside</w:t></w:r></w:p></w:sdtContent>"
    paragraph._p.addprevious(parse_xml(f"<w:sdt {names}>{control}</w:sdt>"))
    assert parse_word(saved(document), "x.docx").text == "plain\n\ninside\n\nkept added"


def test_the_title_of_the_properties_serves_where_no_heading_is_one() -> None:
    document = docx.Document()
    document.core_properties.title = "Of the properties"
    document.add_paragraph("text")
    assert parse_word(saved(document), "x.docx").title == "Of the properties"
    document.core_properties.title = ""
    assert parse_word(saved(document), "plan.docx").title == "plan"


def test_a_bomb_is_not_opened() -> None:
    bomb = changed(saved(docx.Document()), "word/media/x.xml", b"0" * 20_000_000)
    assert len(bomb) < 100_000
    with pytest.raises(ParseFailed, match="file_too_large"):
        parse_word(bomb, "x.docx")


def test_too_many_members_are_refused() -> None:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(10_001):
            archive.writestr(f"word/{number}", b"")
    with pytest.raises(ParseFailed, match="file_too_large"):
        parse_word(out.getvalue(), "x.docx")


def test_a_size_that_lies_is_found_out() -> None:
    """The directory says 10 bytes where the member has a million: no more than it says is read."""
    data = bytearray(changed(saved(docx.Document()), "word/document.xml", b"<a>" + b"b" * 1_000_000))
    at = data.rindex(b"word/document.xml") - 46
    data[at + 24 : at + 28] = (10).to_bytes(4, "little")
    with pytest.raises(ParseFailed, match="invalid_file"):
        parse_word(bytes(data), "x.docx")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_refused(encoding: str) -> None:
    data = saved(docx.Document())
    lol = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    text = body(data).decode().partition("?>")[2]
    hostile = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE x [<!ENTITY l0 "lol">{lol}]>{text}'
    with pytest.raises(ParseFailed, match=r"invalid_file.*entities"):
        parse_word(changed(data, "word/document.xml", hostile.encode(encoding)), "x.docx")


def test_an_entity_hidden_behind_a_long_comment_expands_to_nothing(tmp_path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("top secret")
    data = saved(docx.Document())
    text = (
        body(data)
        .decode()
        .partition("?>")[2]
        .replace("<w:body>", "<w:body><w:p><w:r><w:t>a&x;b</w:t></w:r></w:p>")
    )
    hostile = f'<!--{"x" * 2000}--><!DOCTYPE w [<!ENTITY x SYSTEM "file://{secret}">]>{text}'
    parsed = parse_word(changed(data, "word/document.xml", hostile.encode()), "x.docx")
    assert "secret" not in parsed.text


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: changed(data, "word/document.xml", b"<a"),
               lambda data: changed(data, "[Content_Types].xml", b"<x/>"), lambda _: b"PK\x03\x04rest"]
)  # fmt: skip
def test_damage_is_named(damage) -> None:
    with pytest.raises(ParseFailed, match=r"invalid_file.*damaged"):
        parse_word(damage(saved(docx.Document())), "x.docx")


def test_xml_nested_too_deep_is_refused() -> None:
    data = saved(docx.Document())
    deep = body(data).replace(b"<w:body>", b"<w:body>" + b"<w:sdt>" * 9_000 + b"</w:sdt>" * 9_000)
    with pytest.raises(ParseFailed, match="invalid_file"):
        parse_word(changed(data, "word/document.xml", deep), "x.docx")
