"""Where a Qdrant server keeps the index: one writer, an alias that moves. Over the client's local mode."""

import warnings
from collections.abc import AsyncIterator

import pytest
from qdrant_client import AsyncQdrantClient

from penstock.retrieval.adapters.server_home import ALIAS, ServerHome
from penstock.retrieval.domain.documents import DocumentKey
from penstock.retrieval.domain.scope import Scope
from penstock.retrieval.ports import IndexUnusable
from penstock.streaming.errors import TransientError

SIZE = 64
ACME = Scope("acme")
DOC = DocumentKey("acme", "doc")


@pytest.fixture
async def client() -> AsyncIterator[AsyncQdrantClient]:
    client = AsyncQdrantClient(":memory:")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # local mode needs no payload indexes, and says so
        yield client
    await client.close()


async def test_readers_wait_for_the_writer_and_follow_it_to_a_new_index(
    client: AsyncQdrantClient, make
) -> None:
    writer, reader = ServerHome(client, SIZE, writes=True), ServerHome(client, SIZE, writes=False)
    with pytest.raises(TransientError, match="index_missing"):
        await reader.open()
    old = await writer.open()
    followed = (await reader.open()).index
    await old.index.add(DOC, 1, [make.entry("old text")])
    assert await followed.count(ACME) == 1

    new = await writer.begin()
    await new.index.add(DOC, 1, [make.entry("new text", f"c{n}") for n in range(2)])
    assert await followed.count(ACME) == 1
    await writer.adopt(new)
    assert await followed.count(ACME) == 2
    await writer.discard(old)
    assert (await writer.open()).id == new.id
    assert [c.name for c in (await client.get_collections()).collections] == [new.id]


async def test_a_new_index_that_was_not_finished_goes_at_the_next_start_of_the_writer(
    client: AsyncQdrantClient,
) -> None:
    await client.create_collection("of-somebody-else", vectors_config={})
    writer = ServerHome(client, SIZE, writes=True)
    opened = await writer.open()
    abandoned = await writer.begin()
    await ServerHome(client, SIZE, writes=False).open()
    assert await client.collection_exists(abandoned.id)
    assert (await ServerHome(client, SIZE, writes=True).open()).id == opened.id
    names = {c.name for c in (await client.get_collections()).collections}
    assert names == {"of-somebody-else", opened.id}
    assert opened.id.startswith(ALIAS)


async def test_an_index_of_another_vector_size_is_refused_with_both_sizes(client: AsyncQdrantClient) -> None:
    await ServerHome(client, SIZE, writes=True).open()
    with pytest.raises(IndexUnusable, match="vectors of 64 numbers, expected 32"):
        await ServerHome(client, 32, writes=True).open()


async def test_a_server_that_is_away_is_waited_for() -> None:
    home = ServerHome(
        AsyncQdrantClient(url="http://127.0.0.1:1", check_compatibility=False), SIZE, writes=True
    )
    with pytest.raises(TransientError, match="index_failed"):
        await home.open()
    await home.close()
