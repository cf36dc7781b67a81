"""Versions of documents."""

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from penstock.messages.documents import Chunk, DocumentChunked, DocumentDeleted
from penstock.retrieval.domain.documents import Head, after


def chunked(version: int) -> DocumentChunked:
    chunk = Chunk(chunk_id="c", start=0, end=1, text="x", tokens=1)
    return DocumentChunked(document_id="d", version=version, title="", part=0, parts=1, chunks=(chunk,))


def deleted(version: int) -> DocumentDeleted:
    return DocumentDeleted(document_id="d", version=version)


def test_a_higher_version_replaces_a_lower_one_and_not_the_reverse() -> None:
    assert after(after(None, chunked(1)), chunked(2)) == Head(2, deleted=False)
    assert after(after(None, chunked(2)), chunked(1)) == Head(2, deleted=False)


def test_a_deletion_covers_its_own_version_but_no_later_one() -> None:
    assert after(Head(2, deleted=False), deleted(2)) == Head(2, deleted=True)
    assert after(Head(2, deleted=True), chunked(2)) == Head(2, deleted=True)
    assert after(Head(3, deleted=False), deleted(2)) == Head(3, deleted=False)
    assert after(Head(2, deleted=True), chunked(3)) == Head(3, deleted=False)


@given(
    st.lists(
        st.builds(lambda make, v: make(v), st.sampled_from([chunked, deleted]), st.integers(0, 4)), max_size=4
    )
)
def test_the_head_is_the_same_whatever_the_order_of_events(
    events: list[DocumentChunked | DocumentDeleted],
) -> None:
    heads = set()
    for order in permutations(events):
        head = None
        for event in [*order, *order]:
            head = after(head, event)
        heads.add(head)
    assert len(heads) == 1
