"""Markdown: the source is the text; headings, code, tables and front matter are found in it."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.ingestion.adapters.parsing.markdown import parse_markdown
from penstock.ingestion.domain.parsed import Kind, Parsed

GUIDE = """\
# The guide

Some words.

## Install `pip` *now*

1. first
   ```sh
   # not a heading
   ```
2. second

| a | b |
|---|---|
| 1 | 2 |
> # not one either

### On Linux

text

Other
-----

    indented code
"""


def shown(parsed: Parsed) -> list[tuple[Kind, tuple[str, ...], str]]:
    return [(block.kind, block.headings, parsed.text[block.start : block.end]) for block in parsed.blocks]


def test_the_structure_of_a_guide() -> None:
    parsed = parse_markdown(GUIDE.encode(), "guide.md")
    install = ("Install pip now",)
    assert parsed.text == GUIDE
    assert parsed.title == "The guide"
    assert shown(parsed) == [
        (Kind.HEADING, (), "# The guide"),
        (Kind.TEXT, (), "Some words."),
        (Kind.HEADING, install, "## Install `pip` *now*"),
        (Kind.TEXT, install, "1. first"),
        (Kind.CODE, install, "```sh\n   # not a heading\n   ```"),
        (Kind.TEXT, install, "2. second"),
        (Kind.TABLE, install, "| a | b |\n|---|---|\n| 1 | 2 |"),
        (Kind.TEXT, install, "> # not one either"),
        (Kind.HEADING, (*install, "On Linux"), "### On Linux"),
        (Kind.TEXT, (*install, "On Linux"), "text"),
        (Kind.HEADING, ("Other",), "Other\n-----"),
        (Kind.CODE, ("Other",), "indented code"),
    ]


def test_with_two_first_headings_both_stay_in_the_paths() -> None:
    parsed = parse_markdown(b"# A\n\nx\n\n# B\n\ny\n", "notes.md")
    assert parsed.title == "A"
    assert [block.headings for block in parsed.blocks] == [("A",), ("A",), ("B",), ("B",)]


def test_front_matter_gives_the_title() -> None:
    parsed = parse_markdown(b"---\ntitle: 'From above'\ntags: [x]\n---\n## One\n\ntext\n", "x.md")
    assert parsed.title == "From above"
    assert shown(parsed)[0] == (Kind.CODE, (), "---\ntitle: 'From above'\ntags: [x]\n---")
    assert shown(parsed)[1:] == [(Kind.HEADING, ("One",), "## One"), (Kind.TEXT, ("One",), "text")]


def test_without_a_heading_the_name_is_the_title_and_folders_are_no_part_of_it() -> None:
    assert parse_markdown(b"words", "../../etc/passwd.md").title == "passwd"
    assert parse_markdown(b"words", "C:\\docs\\plan.md").title == "plan"


def test_line_ends_of_all_systems() -> None:
    for end in ("\n", "\r\n", "\r"):
        text = end.join(["# T", "", "## A", "", "a\u2028b\x0bc", "", "## B", "", "x"])
        parsed = parse_markdown(text.encode(), "x.md")
        assert [text for _, headings, text in shown(parsed) if headings == ("B",)] == ["## B", "x"]


def test_long_and_many_headings_are_bounded() -> None:
    text = "# T\n\n" + "".join(f"{'#' * level} {'x' * 300}\n\n" for level in range(2, 7))
    parsed = parse_markdown(text.encode(), "x.md")
    assert parsed.blocks[-1].headings == ("x" * 200,) * 5


def test_deep_nesting_is_text() -> None:
    for nested in (">" * 50_000 + " deep", "- " * 5_000 + "deep", "[" * 50_000, "# " + "*a **b" * 5_000):
        parsed = parse_markdown(nested.encode(), "x.md")
        assert parsed.text[parsed.blocks[0].start : parsed.blocks[-1].end] == nested


@given(st.text(st.sampled_from("#`|->=~ \t\r\nab1.[]:"), max_size=200))
def test_blocks_are_in_order_and_leave_out_only_white_space(text: str) -> None:
    parsed = parse_markdown(text.encode(), "x.md")
    assert parsed.text == text
    at = 0
    for block in parsed.blocks:
        assert text[at : block.start].strip() == ""
        assert text[block.start : block.end] == text[block.start : block.end].strip() != ""
        at = block.end
    assert text[at:].strip() == ""
