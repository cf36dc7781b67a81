"""Chunks with their vectors, as they are kept between the steps of a job and published in parts."""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from sys import byteorder

import msgspec

from penstock.ingestion.domain.model import Document
from penstock.messages.documents import Chunk, DocumentChunked, searchable_text

CHUNKS_PER_PART = 64
PART_BYTES = 512 << 10
"""A part is one record: far below the broker's limit, however long its chunks are."""
_OVERHEAD = 200
"""Bytes of JSON around a chunk's text and vector, roughly."""


class Chunks(msgspec.Struct, frozen=True):
    """A parsed and embedded document, without anything of the store that it is in."""

    title: str
    language: str
    pages: int
    chunks: tuple[Chunk, ...]


def chunk_id(digest: str, headings: Sequence[str], text: str, seen: dict[str, int]) -> str:
    """Return an id that follows from the content: of the file, and of the chunk.

    The same text under the same headings may stand in a file several times: `seen` counts them.
    """
    body = "\n".join((digest, *headings, text))
    seen[body] = seen.get(body, -1) + 1
    return blake2b(f"{body}\n{seen[body]}".encode(), digest_size=16).hexdigest()


def packed(vector: Sequence[float]) -> bytes:
    """Return a vector as little-endian 32-bit floats."""
    numbers = array("f", vector)
    if byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def embedded_before(title: str, chunks: Iterable[Chunk]) -> Mapping[str, bytes]:
    """Return the vectors of chunks by the text that was embedded."""
    return {searchable_text(title, chunk.headings, chunk.text): chunk.vector for chunk in chunks}


def parts(chunks: Sequence[Chunk]) -> Iterator[tuple[Chunk, ...]]:
    """Yield the chunks in parts of bounded number and size."""
    part: list[Chunk] = []
    size = 0
    for chunk in chunks:
        cost = len(chunk.text.encode()) * 2 + len(chunk.vector) * 4 // 3 + _OVERHEAD
        if part and (len(part) == CHUNKS_PER_PART or size + cost > PART_BYTES):
            yield tuple(part)
            part, size = [], 0
        part.append(chunk)
        size += cost
    if part:
        yield tuple(part)


def events(content: Chunks, document: Document) -> Iterator[DocumentChunked]:
    """Yield the events of a document, one a part."""
    found = list(parts(content.chunks))
    for number, part in enumerate(found):
        yield DocumentChunked(
            document_id=document.id,
            version=document.version,
            title=content.title,
            part=number,
            parts=len(found),
            chunks=part,
            store_id=document.store_id,
            file_id=document.file_id,
            file_name=document.file_name,
            attributes=dict(document.attributes),
            language=content.language,
        )
