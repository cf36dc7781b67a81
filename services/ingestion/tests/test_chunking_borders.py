"""Where the cuts fall."""

import re
import time

import pytest

from penstock.ingestion.adapters.parsing.code import parse_code
from penstock.ingestion.adapters.parsing.markdown import parse_markdown
from penstock.ingestion.adapters.parsing.table import parse_table
from penstock.ingestion.domain.chunking import Piece, chunk
from penstock.ingestion.domain.parsed import Block, Kind, Parsed


def words(text: str) -> list[tuple[int, int]]:
    return [(m.start(), m.end()) for m in re.finditer(r" ?\w+|\s|[^\w\s]", text)]


def plain(text: str) -> Parsed:
    stripped = text.strip()
    start = text.index(stripped)
    return Parsed("", text, (Block(Kind.TEXT, start, start + len(stripped)),) if stripped else ())


def pieces(parsed: Parsed, size: int, overlap: int = 0) -> list[tuple[tuple[str, ...], str]]:
    return [
        (piece.headings, parsed.text[piece.start : piece.end])
        for piece in chunk(parsed, words(parsed.text), size, overlap)
    ]


def cut(text: str, size: int, overlap: int) -> list[str]:
    return [piece for _, piece in pieces(plain(text), size, overlap)]


def test_a_short_text_is_one_chunk() -> None:
    assert chunk(plain("  one two\n"), words("  one two\n"), 10, 2) == [Piece(2, 9, 2)]
    assert chunk(plain(" \n "), words(" \n "), 10, 2) == []
    assert chunk(plain(""), [], 10, 2) == []


def test_it_prefers_paragraphs_then_sentences() -> None:
    paragraph = "One two three. Four five six. Seven eight."
    assert cut(f"{paragraph}\n\nNine ten eleven twelve.", 15, 0)[0] == paragraph
    assert cut("One two three. Four five six. Seven eight nine ten eleven.", 10, 0)[0] == (
        "One two three. Four five six."
    )


def test_the_overlap_starts_with_a_sentence() -> None:
    text = "Alpha one two. Beta one two three four five. Gamma one. Delta one two three four five six."
    first, second, *_ = cut(text, 16, 5)
    assert first.endswith("Gamma one.")
    assert second.startswith("Gamma one. Delta")


def test_a_text_without_any_border_is_cut_at_the_limit() -> None:
    spans = chunk(plain("x" * 25), [(at, at + 1) for at in range(25)], 10, 2)
    assert [(span.start, span.end) for span in spans] == [(0, 10), (8, 18), (16, 25)]


def test_an_overlap_as_long_as_a_chunk_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap"):
        chunk(plain("a"), [(0, 1)], 10, 10)


def test_large_sections_stand_alone_and_small_siblings_share_a_chunk() -> None:
    long = "word " * 30
    text = f"# T\n\nintro\n\n## A\n\n{long}\n\n## B\n\n### One\n\nx\n\n### Two\n\ny\n\n## C\n\n{long}\n"
    assert [(path, piece.split()[0:2]) for path, piece in pieces(parse_markdown(text.encode(), "x"), 50)] == [
        ((), ["#", "T"]),
        (("A",), ["##", "A"]),
        (("B",), ["##", "B"]),  # the heading without text, and both below it
        (("C",), ["##", "C"]),
    ]


def test_headings_without_text_stand_at_the_beginning_of_what_is_below() -> None:
    text = f"## A\n\n### B\n\n#### C\n\n{'Some words here. ' * 20}"
    found = pieces(parse_markdown(text.encode(), "x"), 40)
    assert {path for path, _ in found} == {("A", "B", "C")}
    assert found[0][1].startswith("## A\n\n### B\n\n#### C\n\nSome")
    assert all(piece.startswith("Some words") for _, piece in found[1:])


def test_no_chunk_ends_with_a_heading() -> None:
    heading = f"## {'Long heading ' * 8}"
    text = f"# T\n\n{'A sentence here. ' * 8}\n\n{heading}\n\n{'w' * 10}\n\n{'Words follow it. ' * 30}"
    for _, piece in pieces(parse_markdown(text.encode(), "x"), 40, 10):
        assert not piece.splitlines()[-1].startswith("#")


def test_tables_are_cut_at_rows_and_the_overlap_begins_with_one() -> None:
    rows = "\n".join(f"| row {number} | {'cell ' * 3}|" for number in range(30))
    text = f"# T\n\n| a | b |\n|---|---|\n{rows}\n"
    found = [piece for _, piece in pieces(parse_markdown(text.encode(), "x"), 60, 15)]
    assert len(found) > 4
    for piece in found[1:]:
        assert piece.startswith("| row")
    for piece in found:
        assert piece.endswith("|")


def test_a_table_that_fits_is_kept_whole() -> None:
    table = "| a | b |\n|---|---|\n" + "\n".join(f"| {number} | x |" for number in range(4))
    text = f"{'Some words. ' * 6}\n\n{table}\n\n{'More words. ' * 12}"
    assert any(table in piece for _, piece in pieces(parse_markdown(text.encode(), "x"), 60, 10))


def test_csv_chunks_have_their_header() -> None:
    rows = "\n".join(f"{number},word word,other word" for number in range(300))
    parsed = parse_table(f"no,first,second\n{rows}\n".encode(), "x.csv")
    assert all(piece.startswith("| no | first | second |") for _, piece in pieces(parsed, 260, 40))


def test_code_is_cut_at_lines_and_small_functions_share_a_chunk() -> None:
    small = "def one():\n    return 1\n\n\ndef two():\n    return 2\n\n\n"
    large = "class Big:\n    def run(self):\n" + "".join(f"        call({n}, 'a b c')\n" for n in range(40))
    found = pieces(parse_code((small + large).encode(), "x.py"), 80, 10)
    assert found[0] == ((), small.strip())
    assert {path for path, _ in found[1:]} == {("Big", "run")}
    assert found[1][1].startswith("class Big:")
    for _, piece in found[2:]:
        assert piece.startswith("call(")
        assert piece.endswith("')")


def test_a_chunk_keeps_to_its_page() -> None:
    text = "one two three\n\nfour five six"
    parsed = Parsed("", text, (Block(Kind.TEXT, 0, 13, (), 1), Block(Kind.TEXT, 15, 28, (), 2)), pages=2)
    assert [piece.page for piece in chunk(parsed, words(text), 5, 0)] == [1, 2]
    # However short the pages are: what is cited must be on the page that is named.
    assert [piece.page for piece in chunk(parsed, words(text), 50, 0)] == [1, 2]


def test_hostile_white_space_and_long_lines_take_linear_time() -> None:
    for text in ("\n" * 100_000 + "x", " x" + " " * 100_000 + "y", "z" * 100_000):
        begun = time.process_time()
        chunk(plain(text), [(at, at + 1) for at in range(len(text))])
        assert time.process_time() - begun < 20
