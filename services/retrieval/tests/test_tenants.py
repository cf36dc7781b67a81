"""No sequence of calls by one tenant returns, counts or removes anything of another."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.messages.documents import DocumentChunked
from penstock.retrieval.domain.scope import Scope
from penstock.retrieval.ports import Index

Step = tuple[str, str, str, int]
TENANTS = ("acme", "globex")
steps = st.lists(
    st.tuples(
        st.sampled_from(["chunked", "deleted"]),
        st.sampled_from(TENANTS),
        st.sampled_from(["doc1", "doc2"]),
        st.integers(1, 3),
    ),
    max_size=10,
)


async def apply(index: Index, embedder, make, sequence: list[Step], suffix: str) -> None:
    batch = []
    for kind, name, document, version in sequence:
        tenant = name + suffix
        if kind == "chunked":
            event = make.chunked(f"shared words {tenant} {version}", document_id=document, version=version)
        else:
            event = make.deleted(document, version)
        batch.append(make.received(event, tenant))
    half = len(batch) // 2
    for events in (batch[:half], batch[half:]):
        await make.indexer(embedder, index).index(events)


async def seen(index: Index, make, tenant: str) -> tuple[int, bool, list[tuple[str, str, float]]]:
    found = await index.search(Scope(tenant), "shared words", make.embedding("shared words"), 50)
    passages = sorted((f.passage.document_id, f.passage.text, round(f.similarity, 6)) for f in found)
    return await index.count(Scope(tenant)), await index.is_empty(Scope(tenant)), passages


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=steps, suffix=st.uuids().map(str))
async def test_a_tenant_sees_what_it_would_see_alone(
    three_indexes: list[Index], embedder, make, sequence: list[Step], suffix: str
) -> None:
    """Examples share the indexes, which are slow to make: each has tenants of its own."""
    shared, *own = three_indexes
    await apply(shared, embedder, make, sequence, suffix)
    for name, alone in zip(TENANTS, own, strict=True):
        await apply(alone, embedder, make, [step for step in sequence if step[1] == name], suffix)
        view = await seen(shared, make, name + suffix)
        assert view == await seen(alone, make, name + suffix)
        assert all(name + suffix in text for _, text, _ in view[2])


async def test_another_tenants_documents_do_not_change_the_scores_of_words(
    index: Index, embedder, make
) -> None:
    """`rare` is rarer than `common` for acme, whatever globex keeps: BM25 counts within the tenant."""
    indexer = make.indexer(embedder, index)
    mine: DocumentChunked = make.chunked(
        "rare thing", "common thing", "common common item", "common common common piece"
    )
    await indexer.index([make.received(mine)])
    query, vector = "rare common", make.embedding("rare rare rare item thing thing")
    before = await index.search(Scope("acme"), query, vector, 10)
    theirs = make.chunked(*(f"rare matter {n}" for n in range(40)))
    await indexer.index([make.received(theirs, "globex")])
    assert await index.search(Scope("acme"), query, vector, 10) == before
