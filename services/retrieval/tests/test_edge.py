"""What only the persistent index promises: restarts, crashes, one owner."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.retrieval.adapters.edge import IndexUnusable, open_index
from penstock.retrieval.domain.documents import DocumentKey, Head
from penstock.retrieval.handler import Indexer

SIZE = 64
DOC = DocumentKey("acme", "doc")

WRITER = """
import asyncio, sys
from pathlib import Path
from penstock.messages.chat import Passage
from penstock.retrieval.adapters.edge import open_index
from penstock.retrieval.domain.documents import DocumentKey, Head
from penstock.retrieval.domain.passages import Entry

async def write(directory):
    index = open_index(Path(directory), 64)
    for version in range(1, 10_000):
        key = DocumentKey("acme", f"doc{version % 3}")
        await index.supersede(key, Head(version, False))
        entries = [
            Entry(
                f"c{n}",
                Passage(document_id=key.document_id, title="", start=n, end=n, text=f"text {n}", tokens=1),
                [1.0] * 64,
            )
            for n in range(40)
        ]
        await index.add(key, version, entries)
        await index.flush()
        print(version, flush=True)

asyncio.run(write(sys.argv[1]))
"""


async def test_a_restart_finds_chunks_heads_and_tombstones(tmp_path: Path, embedder, make) -> None:
    index = open_index(tmp_path / "index", SIZE)
    indexer = Indexer(embedder, index)
    await indexer.index(
        [make.received(make.chunked("kafka log", "boats")), make.received(make.deleted("gone", 4))]
    )
    before = await index.search("acme", "kafka", make.embedding("kafka"), 5)
    index.close()

    index = open_index(tmp_path / "index", SIZE)
    assert await index.search("acme", "kafka", make.embedding("kafka"), 5) == before
    assert await index.head(DOC) == Head(1, deleted=False)
    assert await index.head(DocumentKey("acme", "gone")) == Head(4, deleted=True)
    index.close()


@pytest.mark.parametrize("acknowledged", [1, 4, 9])
def test_a_kill_in_the_middle_of_writing_loses_nothing_that_was_flushed(
    tmp_path: Path, acknowledged: int
) -> None:
    directory = tmp_path / "index"
    writer = subprocess.Popen(  # noqa: S603  # our own script
        [sys.executable, "-c", WRITER, str(directory)],
        stdout=subprocess.PIPE,
    )
    try:
        assert writer.stdout is not None
        for _ in range(acknowledged):
            last = int(writer.stdout.readline())
    finally:
        os.kill(writer.pid, signal.SIGKILL)  # it is writing the next version by now
        rest = writer.communicate()[0].split()
    last = int(rest[-1]) if rest else last

    async def check() -> None:
        index = open_index(directory, SIZE)
        for version in range(max(1, last - 1), last + 1):  # the one before may be being replaced
            key = DocumentKey("acme", f"doc{version % 3}")
            assert await index.head(key) == Head(version, deleted=False)
            assert await index.has(key, version, [f"c{n}" for n in range(40)])
        await index.supersede(DOC, Head(1, deleted=False))
        await index.flush()
        index.close()

    asyncio.run(check())


def test_a_second_owner_is_refused_with_the_reason(tmp_path: Path) -> None:
    first = open_index(tmp_path / "index", SIZE)
    with pytest.raises(IndexUnusable, match="another process"):
        open_index(tmp_path / "index", SIZE)
    first.close()
    open_index(tmp_path / "index", SIZE).close()


def test_an_index_of_another_vector_size_is_refused_with_both_sizes(tmp_path: Path) -> None:
    open_index(tmp_path / "index", SIZE).close()
    with pytest.raises(IndexUnusable, match=r"expected vector size 32, but got 64"):
        open_index(tmp_path / "index", 32)


def test_a_start_that_was_killed_while_making_the_index_is_made_good(tmp_path: Path) -> None:
    half_made = tmp_path / "index.new" / "segments"
    half_made.mkdir(parents=True)
    (half_made / "broken").write_bytes(b"x")
    open_index(tmp_path / "index", SIZE).close()
    assert not (tmp_path / "index.new").exists()


def test_a_directory_that_is_no_index_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "edge_config.json").write_text("{")
    with pytest.raises(IndexUnusable, match=str(tmp_path)):
        open_index(tmp_path / "index", SIZE)
