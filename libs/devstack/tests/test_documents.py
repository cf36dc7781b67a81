"""Which files are taken, which are left out and why, and what they are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.devstack.documents import (
    MAX_BYTES,
    Document,
    Skipped,
    chunk_id,
    document_id,
    find_documents,
    title_of,
)
from penstock.devstack.errors import DevstackError
from penstock.devstack.tokens import pieces, tgi_url


def test_every_file_is_taken_or_named_with_a_reason(tmp_path: Path) -> None:
    files: dict[str, bytes] = {
        "a.md": b"# Title A\ntext",
        "deep/er/b.TXT": "caf\u00e9".encode(),
        "c.rst": b"\xef\xbb\xbfwith a byte order mark",
        "empty.md": b" \n\t",
        "latin.txt": b"caf\xe9",
        "zeros.txt": b"a\x00b",
        "picture.png": b"\x89PNG",
        "big.txt": b"x" * (MAX_BYTES + 1),
        ".hidden.md": b"no",
        ".git/note.md": b"no",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    found = list(find_documents(tmp_path))
    assert [item for item in found if isinstance(item, Document)] == [
        Document("a.md", "Title A", "# Title A\ntext"),
        Document("c.rst", "c.rst", "with a byte order mark"),
        Document("deep/er/b.TXT", "b.TXT", "café"),
    ]
    assert {item.name: item.reason for item in found if isinstance(item, Skipped)} == {
        "empty.md": "it has no text",
        "latin.txt": "not UTF-8 text",
        "zeros.txt": "not text (it holds NUL characters)",
        "picture.png": "not one of .md .markdown .txt .rst",
        "big.txt": "larger than 5 MB",
    }


def test_one_file_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "one.md").write_text("hello")
    assert list(find_documents(tmp_path / "one.md")) == [Document("one.md", "one.md", "hello")]
    with pytest.raises(DevstackError, match="does not exist"):
        list(find_documents(tmp_path / "two.md"))


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# One #\n## Two", "One"),
        ("intro\n\n## Later  \ntext", "Later"),
        ("```\n# a comment\n```\n# Real", "Real"),
        ("#hashtag\ntext", "file.md"),
        ("text", "file.md"),
        ("# " + "x" * 500, "x" * 200),
    ],
)
def test_title(text: str, title: str) -> None:
    assert title_of(text, "file.md") == title


def test_ids_are_the_same_for_the_same_and_differ_otherwise() -> None:
    assert document_id("t", "a.md") == document_id("t", "a.md")
    assert len({document_id("t", "a.md"), document_id("u", "a.md"), document_id("t", "b.md")}) == 3
    assert chunk_id("d", 0, "x") == chunk_id("d", 0, "x")
    assert len({chunk_id("d", 0, "x"), chunk_id("d", 1, "x"), chunk_id("d", 0, "y")}) == 3


@pytest.mark.parametrize("text", ["", "abc", "word " * 50, "x" * 95, "para one.\n\npara two. " * 9])
def test_pieces_cover_the_text_within_the_limit(text: str) -> None:
    found = pieces(text, 20)
    assert "".join(text[start:end] for start, end in found) == text
    assert all(0 < end - start <= 20 for start, end in found)


def test_the_tokenizer_is_the_first_tgi_backend() -> None:
    assert tgi_url("openai+http://x, tgi+http://127.0.0.1:1/ ,tgi+http://y") == "http://127.0.0.1:1"
    with pytest.raises(DevstackError, match="none in 'openai"):
        tgi_url("openai+http://x")
