"""Documents are indexed, replaced and forgotten by version, in any order and however often they come."""

import struct
from itertools import permutations

import pytest
from msgspec import structs

from penstock.messages.documents import DocumentIndexed
from penstock.messages.event import Event
from penstock.messages.topics import DOCUMENTS_INDEXED
from penstock.retrieval.adapters.memory import MemoryIndex
from penstock.retrieval.domain.documents import DocumentKey, Head
from penstock.retrieval.domain.scope import Scope
from penstock.retrieval.ports import Index
from penstock.streaming.errors import PermanentError, TransientError

ACME = Scope("acme")


async def take(embedder, index: Index, make, *events: Event) -> list[tuple[int, int, int]]:
    """Index a batch; return (version, part, chunks) of each answer."""
    batch = [make.received(event) for event in events]
    caused = await make.indexer(embedder, index).index(batch)
    assert [item.cause for item in caused] == batch
    answers = []
    for item in caused:
        assert item.outgoing.topic is DOCUMENTS_INDEXED
        assert isinstance(item.outgoing.event, DocumentIndexed)
        answers.append((item.outgoing.event.version, item.outgoing.event.part, item.outgoing.event.chunks))
    return answers


async def texts(index: Index, make) -> list[str]:
    found = await index.search(ACME, "text", make.embedding("text"), 50)
    return sorted(item.passage.text for item in found)


async def test_a_part_is_searchable_and_answered_with_its_number_of_chunks(
    embedder, index: Index, make
) -> None:
    assert await take(embedder, index, make, make.chunked("text a", "text b")) == [(1, 0, 2)]
    assert await texts(index, make) == ["text a", "text b"]
    assert embedder.calls == [["Title\ntext a", "Title\ntext b"]]


async def test_parts_of_one_version_add_up_in_one_batch_or_several(embedder, index: Index, make) -> None:
    parts = [make.chunked(f"text {n}", part=n, parts=3) for n in range(3)]
    assert await take(embedder, index, make, parts[2], parts[0]) == [(1, 2, 1), (1, 0, 1)]
    assert await take(embedder, index, make, parts[1]) == [(1, 1, 1)]
    assert await texts(index, make) == ["text 0", "text 1", "text 2"]


async def test_the_same_part_twice_does_nothing_but_is_answered(embedder, index: Index, make) -> None:
    part = make.chunked("text")
    await take(embedder, index, make, part)
    embedder.calls.clear()
    assert await take(embedder, index, make, part) == [(1, 0, 1)]
    assert await texts(index, make) == ["text"]
    assert embedder.calls == []


async def test_a_newer_version_replaces_all_of_the_older_one(embedder, index: Index, make) -> None:
    await take(embedder, index, make, make.chunked("text old a", "text old b"))
    await take(embedder, index, make, make.chunked("text new", version=2))
    assert await texts(index, make) == ["text new"]


async def test_an_older_version_is_ignored_but_answered(embedder, index: Index, make) -> None:
    await take(embedder, index, make, make.chunked("text new", version=2))
    assert await take(embedder, index, make, make.chunked("text old", version=1)) == [(1, 0, 0)]
    assert await texts(index, make) == ["text new"]


async def test_what_is_replaced_within_the_batch_is_not_embedded(embedder, index: Index, make) -> None:
    answers = await take(
        embedder, index, make, make.chunked("text old", version=1), make.chunked("text new", version=2)
    )
    assert answers == [(1, 0, 0), (2, 0, 1)]
    assert embedder.calls == [["Title\ntext new"]]


async def test_a_deleted_document_is_gone_and_a_late_chunk_does_not_bring_it_back(
    embedder, index: Index, make
) -> None:
    await take(embedder, index, make, make.chunked("text"))
    assert await take(embedder, index, make, make.deleted(version=1)) == [(1, 0, 0)]
    assert await take(embedder, index, make, make.chunked("text late", part=1, parts=2)) == [(1, 1, 0)]
    assert await texts(index, make) == []
    assert await take(embedder, index, make, make.chunked("text again", version=2)) == [(2, 0, 1)]
    assert await texts(index, make) == ["text again"]


async def test_the_answer_tells_a_deletion_from_a_part_that_came_too_late(
    embedder, index: Index, make
) -> None:
    batch = [make.received(event) for event in (make.deleted(version=1), make.chunked("text"))]
    caused = await make.indexer(embedder, index).index(batch)
    forgotten = {"document_id": "doc", "version": 1, "part": 0, "chunks": 0}
    assert [item.outgoing.event for item in caused] == [
        DocumentIndexed(**forgotten, deleted=True),
        DocumentIndexed(**forgotten),
    ]


async def test_deleting_an_old_version_leaves_the_newer_one(embedder, index: Index, make) -> None:
    await take(embedder, index, make, make.chunked("text", version=5))
    assert await take(embedder, index, make, make.deleted(version=4)) == [(4, 0, 0)]
    assert await texts(index, make) == ["text"]


async def test_deleting_what_never_came_is_remembered(embedder, index: Index, make) -> None:
    await take(embedder, index, make, make.deleted(version=3))
    assert await take(embedder, index, make, make.chunked("text", version=3)) == [(3, 0, 0)]
    assert await index.is_empty(ACME)


async def test_the_outcome_does_not_depend_on_order_or_batches(embedder, index: Index, make) -> None:
    for number, order in enumerate(list(permutations(range(4)))[::3]):
        name = f"doc{number}"
        events = [
            make.chunked("text 1", document_id=name, version=1),
            make.chunked("text 2a", document_id=name, version=2, part=0, parts=2),
            make.chunked("text 2b", document_id=name, version=2, part=1, parts=2),
            make.deleted(name, version=1),
        ]
        shuffled = [events[n] for n in order]
        await take(embedder, index, make, *shuffled[: number % 5])
        await take(embedder, index, make, *shuffled[number % 5 :])
        found = await index.search(ACME, "text", make.embedding("text"), 50)
        mine = sorted(f.passage.text for f in found if f.passage.document_id == name)
        assert mine == ["text 2a", "text 2b"]


async def test_the_version_before_stays_while_embedding_fails(embedder, index: Index, make) -> None:
    await take(embedder, index, make, make.chunked("text old"))
    embedder.failures.append(TransientError("embeddings_unavailable", "down"))
    with pytest.raises(TransientError):
        await take(embedder, index, make, make.chunked("text new", version=2))
    assert await texts(index, make) == ["text old"]
    assert await take(embedder, index, make, make.chunked("text new", version=2)) == [(2, 0, 1)]
    assert await texts(index, make) == ["text new"]


async def test_nothing_is_answered_before_it_is_durable(embedder, make) -> None:
    index = MemoryIndex()
    await take(embedder, index, make, *(make.chunked(f"text {n}", part=n, parts=5) for n in range(5)))
    assert index.flushes == 1


async def test_a_version_beyond_what_can_be_compared_is_refused(embedder, index: Index, make) -> None:
    with pytest.raises(PermanentError, match="invalid_version"):
        await take(embedder, index, make, make.chunked("text", version=2**53))
    assert await index.head(DocumentKey("acme", "doc")) is None
    await take(embedder, index, make, make.chunked("text", version=2**53 - 1))
    assert await index.head(DocumentKey("acme", "doc")) == Head(2**53 - 1, deleted=False)


async def test_a_replica_that_does_not_announce_indexes_in_silence(index, embedder, make) -> None:
    silent = make.indexer(embedder, index, announces=False)
    assert await silent.index([make.received(make.chunked("kafka keeps a log"))]) == []
    assert await index.count(ACME) == 1


async def test_a_chunk_that_brings_its_vector_is_not_embedded(embedder, index: Index, make) -> None:
    part = make.chunked("text a", "text b", with_vectors=True)
    mixed = structs.replace(part, chunks=(part.chunks[0], structs.replace(part.chunks[1], vector=b"")))
    assert await take(embedder, index, make, mixed) == [(1, 0, 2)]
    assert embedder.calls == [["Title\ntext b"]]
    [best, *_] = await index.search(ACME, "text a", make.embedding("text a"), 5)
    assert best.passage.text == "text a"
    assert best.similarity > 0.99


@pytest.mark.parametrize("vector", [b"\x00" * 12, b"\x00", struct.pack("<64f", *[float("nan")] * 64)])
async def test_a_vector_of_no_use_is_refused_and_says_why(
    embedder, index: Index, make, vector: bytes
) -> None:
    part = make.chunked("text")
    part = structs.replace(part, chunks=(structs.replace(part.chunks[0], vector=vector),))
    with pytest.raises(PermanentError, match=r"invalid_vector.*chunk p0c0 has a vector"):
        await take(embedder, index, make, part)
    assert await index.is_empty(ACME)


async def test_what_is_known_of_a_file_comes_back_with_its_passages(embedder, index: Index, make) -> None:
    known = {"year": 2024, "share": 0.5, "draft": True, "team": "red"}
    part = make.chunked("text", store_id="vs_1", attributes=known)
    headed = structs.replace(part.chunks[0], headings=("Part", "Chapter"), page=7)
    await take(embedder, index, make, structs.replace(part, chunks=(headed,)))
    assert embedder.calls == [["Title > Part > Chapter\ntext"]]
    [found] = await index.search(ACME, "text", make.embedding("text"), 5)
    assert (found.store_id, dict(found.attributes)) == ("vs_1", known)
    assert (found.passage.file_id, found.passage.file_name) == ("file-of-doc", "notes.md")
    assert (found.passage.headings, found.passage.page) == (("Part", "Chapter"), 7)
