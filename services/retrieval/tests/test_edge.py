"""What only the index in this process promises: restarts, crashes, one owner, a new one beside the old."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.retrieval.adapters.edge_home import EdgeHome
from penstock.retrieval.domain.documents import DocumentKey, Head
from penstock.retrieval.domain.scope import Scope
from penstock.retrieval.ports import IndexUnusable

SIZE = 64
ACME = Scope("acme")
DOC = DocumentKey("acme", "doc")

WRITER = """
import asyncio, sys
from pathlib import Path
from penstock.messages.chat import Passage
from penstock.retrieval.adapters.edge_home import EdgeHome
from penstock.retrieval.domain.documents import DocumentKey, Head
from penstock.retrieval.domain.passages import Entry

async def write(directory):
    index = (await EdgeHome(Path(directory), 64).open()).index
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
    home = EdgeHome(tmp_path / "index", SIZE)
    opened = await home.open()
    await make.indexer(embedder, opened.index).index(
        [make.received(make.chunked("kafka log", "boats")), make.received(make.deleted("gone", 4))]
    )
    before = await opened.index.search(ACME, "kafka", make.embedding("kafka"), 5)
    await home.close()

    home = EdgeHome(tmp_path / "index", SIZE)
    again = await home.open()
    assert again.id == opened.id
    assert await again.index.search(ACME, "kafka", make.embedding("kafka"), 5) == before
    assert await again.index.head(DOC) == Head(1, deleted=False)
    assert await again.index.head(DocumentKey("acme", "gone")) == Head(4, deleted=True)
    await home.close()


@pytest.mark.parametrize("acknowledged", [1, 4, 9])
async def test_a_kill_in_the_middle_of_writing_loses_nothing_that_was_flushed(
    tmp_path: Path, acknowledged: int
) -> None:
    directory = tmp_path / "index"
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(directory), stdout=subprocess.PIPE
    )
    try:
        assert writer.stdout is not None
        for _ in range(acknowledged):
            last = int(await writer.stdout.readline())
    finally:
        os.kill(writer.pid, signal.SIGKILL)  # it is writing the next version by now
        rest = (await writer.communicate())[0].split()
    last = int(rest[-1]) if rest else last

    home = EdgeHome(directory, SIZE)
    index = (await home.open()).index
    for version in range(max(1, last - 1), last + 1):  # the one before may be being replaced
        key = DocumentKey("acme", f"doc{version % 3}")
        assert await index.head(key) == Head(version, deleted=False)
        assert await index.has(key, version, [f"c{n}" for n in range(40)])
    await index.supersede(DOC, Head(1, deleted=False))
    await index.flush()
    await home.close()


async def test_a_second_owner_is_refused_with_the_reason_until_the_first_has_gone(tmp_path: Path) -> None:
    first, second = EdgeHome(tmp_path / "index", SIZE), EdgeHome(tmp_path / "index", SIZE)
    opened = await first.open()
    with pytest.raises(IndexUnusable, match="another process"):
        await second.open()
    await first.close()
    assert (await second.open()).id == opened.id
    await second.close()


async def test_an_index_of_another_vector_size_is_refused_with_both_sizes(tmp_path: Path) -> None:
    home = EdgeHome(tmp_path / "index", SIZE)
    await home.open()
    await home.close()
    home = EdgeHome(tmp_path / "index", 32)
    with pytest.raises(IndexUnusable, match="expected vector size 32, but got 64"):
        await home.open()
    await home.close()


async def test_a_directory_that_is_no_index_is_refused(tmp_path: Path) -> None:
    home = EdgeHome(tmp_path / "index", SIZE)
    opened = await home.open()
    await home.close()
    (tmp_path / "index" / opened.id / "edge_config.json").write_text("{")
    home = EdgeHome(tmp_path / "index", SIZE)
    with pytest.raises(IndexUnusable, match=opened.id):
        await home.open()
    await home.close()


async def test_an_index_that_has_gone_or_is_of_an_earlier_layout_is_made_anew(tmp_path: Path) -> None:
    """A new id, and with it a consumer group that reads the log from the beginning."""
    (tmp_path / "index" / "segments").mkdir(parents=True)
    (tmp_path / "index" / "edge_config.json").write_text("{}")
    (tmp_path / "index.id").write_text("5f3a0c11")
    ids = set()
    for spoil in ("nothing", "directory", "all", "layout"):
        home = EdgeHome(tmp_path / "index", SIZE)
        opened = await home.open()
        ids.add(opened.id)
        await home.close()
        assert {path.name for path in (tmp_path / "index").iterdir()} == {"lock", "current", opened.id}
        if spoil == "directory":
            (tmp_path / "index" / opened.id).rename(tmp_path / "away")
        elif spoil == "all":
            (tmp_path / "index").rename(tmp_path / "away too")
        elif spoil == "layout":
            (tmp_path / "index" / "current").write_text("1-5f3a0c11")
    assert not (tmp_path / "index.id").exists()
    assert len(ids) == 3  # spoiling nothing, it stays


async def test_a_new_index_takes_the_place_of_the_old_one_which_goes(tmp_path: Path, make) -> None:
    home = EdgeHome(tmp_path / "index", SIZE)
    old = await home.open()
    new = await home.begin()
    await new.index.add(DOC, 1, [make.entry("only in the new one")])
    assert await old.index.is_empty(ACME)
    await home.adopt(new)
    await home.discard(old)
    await home.close()

    home = EdgeHome(tmp_path / "index", SIZE)
    opened = await home.open()
    assert opened.id == new.id
    assert await opened.index.count(ACME) == 1
    abandoned = await home.begin()
    await home.close()

    home = EdgeHome(tmp_path / "index", SIZE)
    assert (await home.open()).id == new.id
    assert not (tmp_path / "index" / abandoned.id).exists()
    await home.close()


async def test_the_room_of_what_was_removed_is_taken_back_at_a_start(tmp_path: Path, make) -> None:
    home = EdgeHome(tmp_path / "index", SIZE)
    index = (await home.open()).index
    for n in range(4):
        key = DocumentKey("acme", f"doc{n}")
        await index.supersede(key, Head(1, deleted=False))
        entries = [make.entry(f"text {i}", f"c{i}", key.document_id, start=i) for i in range(500)]
        await index.add(key, 1, entries)
    for n in range(3):
        await index.supersede(DocumentKey("acme", f"doc{n}"), Head(1, deleted=True))
    before = await index.search(ACME, "text 7", make.embedding("text 7"), 5)
    await home.close()
    home = EdgeHome(tmp_path / "index", SIZE)
    index = (await home.open()).index
    assert await index.count(ACME) == 500
    found = await index.search(ACME, "text 7", make.embedding("text 7"), 5)
    assert found[0].passage == before[0].passage
    assert await index.head(DocumentKey("acme", "doc0")) == Head(1, deleted=True)
    await index.add(DocumentKey("acme", "doc3"), 1, [make.entry("text new", "new", "doc3", start=900)])
    assert await index.count(ACME) == 501
    await home.close()
