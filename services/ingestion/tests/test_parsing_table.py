"""CSV and TSV become Markdown tables; JSON becomes lines that name their place."""

import json

import pytest

from penstock.ingestion.adapters.parsing.json_ import parse_json, parse_json_lines
from penstock.ingestion.adapters.parsing.rows import PIECE_CHARACTERS, markdown_tables
from penstock.ingestion.adapters.parsing.table import parse_table
from penstock.ingestion.domain.parsed import Kind, ParseFailed


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"name,size\nx,1\ny,2\n", "a.csv"),
        (b"name;size\r\nx;1\r\ny;2\r\n", "a.csv"),
        (b"name\tsize\nx\t1\n\ny\t2", "a.tsv"),
        ("name,size\nx,1\ny,2\n".encode("utf-16"), "a.csv"),
    ],
)
def test_a_small_table(data: bytes, name: str) -> None:
    parsed = parse_table(data, name)
    assert parsed.title == "a"
    assert parsed.text == "| name | size |\n| --- | --- |\n| x | 1 |\n| y | 2 |"
    assert [block.kind for block in parsed.blocks] == [Kind.TABLE]


def test_every_block_of_a_long_table_is_understood_alone() -> None:
    rows = [f"{number},row number {number}" for number in range(500)]
    parsed = parse_table("\n".join(["no,text", *rows]).encode(), "long.csv")
    blocks = [parsed.text[block.start : block.end] for block in parsed.blocks]
    assert len(blocks) > 10
    assert all(block.startswith("| no | text |\n| --- | --- |\n| ") for block in blocks)
    assert all(len(block) < PIECE_CHARACTERS + 50 for block in blocks)
    assert sum(block.count("row number") for block in blocks) == 500


def test_quotes_line_ends_and_pipes_in_cells() -> None:
    parsed = parse_table(b'a,b\n"x\ny","1|2"\n', "a.csv")
    assert parsed.text.splitlines()[2:] == ["| x y | 1\\|2 |"]


def test_rows_of_unequal_length() -> None:
    assert list(markdown_tables(["a", "b"], [["1"], ["1", "2", "3"]])) == [
        "| a | b |  |\n| --- | --- | --- |\n| 1 |  |  |\n| 1 | 2 | 3 |"
    ]


def test_a_header_alone_is_a_table() -> None:
    assert parse_table(b"a,b\n", "a.csv").text == "| a | b |\n| --- | --- |"


def test_a_quote_left_open_in_a_large_file_fails_clearly() -> None:
    with pytest.raises(ParseFailed, match=r"invalid_file.*quote"):
        parse_table(b'a,b\n1,"' + b"x,y\n" * 100_000, "a.csv")


def test_json_fields_are_paragraphs_of_paths() -> None:
    data = {"name": "pump", "tags": ["a", "b"], "size": {"w": 1, "h": None}, "on": True, "none": []}
    parsed = parse_json(json.dumps(data).encode(), "pump.json")
    assert parsed.title == "pump"
    assert parsed.text.split("\n\n") == [
        "name: pump",
        "tags[0]: a\ntags[1]: b",
        "size.w: 1\nsize.h: null",
        "on: true",
        "none: []",
    ]


def test_json_records_are_paragraphs_in_a_list_and_in_lines() -> None:
    records = [{"id": 1, "text": "größer"}, {"id": 2, "text": "zwei"}]
    expected = "id: 1\ntext: größer\n\nid: 2\ntext: zwei"
    assert parse_json(json.dumps(records).encode(), "x.json").text == expected
    lines = "\n".join(json.dumps(record) for record in records)
    assert parse_json_lines(f"{lines}\n\n".encode(), "x.jsonl").text == expected


def test_lines_of_comment_are_no_error() -> None:
    text = '// Of the configuration.\n{\n  // why\n  "url": "http://a//b"\n}\n'
    assert parse_json(text.encode(), "x.json").text == "url: http://a//b"


def test_a_lone_value_is_text() -> None:
    assert parse_json(b'"just text"', "x.json").text == "just text"


@pytest.mark.parametrize("depth", [101, 900, 100_000])
@pytest.mark.parametrize("kind", ["[]", "{}"])
def test_deep_json_is_refused(depth: int, kind: str) -> None:
    text = "[" * depth + "1" + "]" * depth if kind == "[]" else '{"a":' * depth + "1" + "}" * depth
    with pytest.raises(ParseFailed, match=r"invalid_file.*deep"):
        parse_json(text.encode(), "x.json")
    with pytest.raises(ParseFailed, match=r"invalid_file.*deep"):
        parse_json_lines(text.encode(), "x.jsonl")


def test_invalid_json_names_the_line_and_nothing_of_the_content() -> None:
    with pytest.raises(ParseFailed) as failed:
        parse_json(b'{\n"secret": oops}', "x.json")
    assert failed.value.code == "invalid_file"
    assert "line 2" in failed.value.message
    assert "secret" not in str(failed.value)
    with pytest.raises(ParseFailed, match="line 2"):
        parse_json_lines(b'{"a": 1}\n{oops}\n', "x.jsonl")
    with pytest.raises(ParseFailed, match="invalid_file"):
        parse_json(b"1" * 10_000, "x.json")  # more digits than Python converts


def test_half_a_surrogate_can_be_stored() -> None:
    parsed = parse_json(b'{"a": "\\ud83d", "b": "\\u0000"}', "x.json")
    assert parsed.text == "a: \ufffd\n\nb: \ufffd"
