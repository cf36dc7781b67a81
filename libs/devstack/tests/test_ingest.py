"""Ingesting: what is new is uploaded, what is there is left alone, what has changed is replaced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from io import StringIO
from pathlib import Path

import httpx2
import pytest

from libs.devstack.tests.store_server import StoreServer
from penstock.devstack.errors import DevstackError
from penstock.devstack.ingest import GROUP, Progress, ingest
from penstock.devstack.local_files import Item, Skipped, find, read
from penstock.devstack.stores import Stores


@asynccontextmanager
async def stores(server: StoreServer) -> AsyncIterator[Stores]:
    transport = httpx2.ASGITransport(app=server.app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield Stores(client, "vs_default")


def item(name: str, content: bytes = b"text") -> Item:
    return Item(name, name.rpartition("/")[2], content, sha256(content).hexdigest())


async def run(server: StoreServer, *items: Item | Skipped) -> Progress:
    async def each() -> AsyncGenerator[Item | Skipped, None]:
        for one in items:
            yield one

    progress = Progress()
    async with stores(server) as opened:
        await ingest(opened, each(), progress)
    return progress


async def test_new_documents_are_uploaded_and_waited_for() -> None:
    server = StoreServer(looks=2)
    names = [f"docs/{n}.md" for n in range(2 * GROUP + 3)]
    progress = await run(server, *(item(name, name.encode()) for name in names))
    assert (progress.found, progress.indexed, progress.chunks) == (len(names), len(names), 3 * len(names))
    assert sorted(file["attributes"]["path"] for file in server.files.values()) == sorted(names)
    assert sorted(server.uploads) == sorted(name.rpartition("/")[2] for name in names)


async def test_the_same_again_uploads_nothing() -> None:
    server = StoreServer()
    await run(server, item("a.md"))
    again = await run(server, item("a.md"))
    assert (again.unchanged, again.indexed, len(server.uploads)) == (1, 0, 1)


async def test_a_changed_document_replaces_the_one_before_when_it_is_indexed() -> None:
    server = StoreServer()
    await run(server, item("a.md", b"one"), item("b.md"))
    [old] = [file_id for file_id, file in server.files.items() if file["filename"] == "a.md"]
    progress = await run(server, item("a.md", b"two"), item("b.md"))
    assert (progress.indexed, progress.unchanged) == (1, 1)
    assert server.deleted == [old]


async def test_a_changed_document_that_fails_leaves_the_one_before() -> None:
    server = StoreServer()
    old = server.add("bad.pdf", b"one", "completed")
    progress = await run(server, item("bad.pdf", b"two"))
    assert progress.failures == [("bad.pdf", "It is no PDF.")]
    assert server.deleted == []
    assert server.files[old]["status"] == "completed"


async def test_an_interrupted_run_goes_on_where_it_was() -> None:
    server = StoreServer()
    server.add("done.md", b"text", "completed")
    server.add("half.md", b"text", "in_progress")
    server.add("failed.md", b"text", "failed")
    progress = await run(server, item("done.md"), item("half.md"), item("failed.md"), item("new.md"))
    assert (progress.unchanged, progress.indexed, progress.failures) == (1, 3, [])
    assert sorted(server.uploads) == ["failed.md", "new.md"]


async def test_a_document_that_is_deleted_meanwhile_is_not_waited_for() -> None:
    server = StoreServer(looks=1)

    async def delete(file_id: str) -> None:
        while server.files.get(file_id, {}).get("status") != "in_progress":  # noqa: ASYNC110  # no event
            await asyncio.sleep(0)
        del server.files[file_id]

    deleting = asyncio.create_task(delete("file-0"))
    progress = await asyncio.wait_for(run(server, item("a.md"), item("b.md")), 10)
    await deleting
    assert progress.indexed == 1
    assert [reason for _, reason in progress.failures] == ["it was deleted meanwhile"]


async def test_what_cannot_be_read_is_told_with_the_rest() -> None:
    progress = await run(StoreServer(), Skipped("gone.md", "No such file"), item("a.md"))
    assert progress.failures == [("gone.md", "No such file")]
    assert (progress.indexed, progress.ended) == (1, 2)


async def test_an_error_of_the_gateway_is_one_line() -> None:
    def refuse(_request: httpx2.Request) -> httpx2.Response:
        error = {"message": "The server has no room.", "code": "storage_full", "type": "server_error"}
        return httpx2.Response(503, json={"error": error})

    async with httpx2.AsyncClient(
        transport=httpx2.MockTransport(refuse), base_url="http://gateway"
    ) as client:
        with pytest.raises(DevstackError, match=r"The server has no room. \(storage_full, HTTP 503\)"):
            await ingest(Stores(client, "vs_default"), _none(), Progress())


async def _none() -> AsyncGenerator[Item, None]:
    return
    yield


def test_files_are_found_below_folders_by_patterns_and_by_a_list(tmp_path: Path) -> None:
    for name in ("a/one.md", "a/deep/two.pdf", "a/.hidden/no.md", "b/one.md", "c.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    below = find([str(tmp_path / "a")], StringIO())
    assert [name for name, _ in below] == ["deep/two.pdf", "one.md"]
    pattern = find([str(tmp_path / "**" / "*.md")], StringIO())
    assert {path.relative_to(tmp_path).as_posix() for _, path in pattern} == {"a/one.md", "b/one.md"}
    listed = find(["-"], StringIO(f"{tmp_path / 'c.txt'}\n\n{tmp_path / 'a'}\n"))
    assert [name for name, _ in listed] == ["c.txt", "deep/two.pdf", "one.md"]
    both = find([str(tmp_path / "a"), str(tmp_path / "b")], StringIO())
    assert len(both) == 3  # two of one name in different folders are two
    with pytest.raises(DevstackError, match="no file matches it"):
        find([str(tmp_path / "nothing*")], StringIO())


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    skipped = read("a", tmp_path / "a")
    assert isinstance(skipped, Skipped)
    assert skipped.reason == "No such file or directory"
    assert isinstance(read("x" * 600, tmp_path / "a"), Skipped)
