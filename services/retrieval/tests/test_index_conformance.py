"""What every index must do, in memory and over the real engine."""

from penstock.messages.chat import Passage
from penstock.retrieval.domain.documents import DocumentKey, Head
from penstock.retrieval.ports import Index

DOC = DocumentKey("acme", "doc")
LIVE = Head(1, deleted=False)


async def put(index: Index, make, key: DocumentKey, *texts: str, version: int = 1) -> None:
    await index.supersede(key, Head(version, deleted=False))
    entries = [make.entry(t, f"c{n}", key.document_id, start=n) for n, t in enumerate(texts)]
    await index.add(key, version, entries)


async def search(index: Index, make, text: str, tenant: str = "acme", limit: int = 10) -> list[str]:
    found = await index.search(tenant, text, make.embedding(text), limit)
    return [item.passage.text for item in found]


async def test_an_empty_index_finds_nothing(index: Index, make) -> None:
    assert await index.is_empty("acme")
    assert await index.count("acme") == 0
    assert await index.head(DOC) is None
    assert await search(index, make, "anything") == []


async def test_the_passage_with_the_words_and_the_meaning_comes_first(index: Index, make) -> None:
    await put(index, make, DOC, "cats sleep all day", "kafka keeps a log", "boats float on water")
    found = await index.search("acme", "kafka log", make.embedding("kafka log"), 10)
    assert found[0].passage == Passage(
        document_id="doc", title="Title", start=1, end=18, text="kafka keeps a log", tokens=4
    )
    assert [item.score for item in found] == sorted((item.score for item in found), reverse=True)


async def test_the_first_in_both_rankings_scores_as_in_the_paper(index: Index, make) -> None:
    await put(index, make, DOC, "kafka keeps a log")
    [found] = await index.search("acme", "kafka", make.embedding("kafka keeps a log"), 10)
    assert abs(found.score - 2 / 61) < 1e-6


async def test_words_alone_and_meaning_alone_are_enough(index: Index, make) -> None:
    await put(index, make, DOC, "alpha beta", "gamma delta")
    by_words = await index.search("acme", "gamma", make.embedding("alpha beta"), 10)
    assert {item.passage.text for item in by_words} == {"alpha beta", "gamma delta"}
    by_meaning = await index.search("acme", "unknown", make.embedding("gamma delta"), 10)
    assert by_meaning[0].passage.text == "gamma delta"


async def test_a_query_of_no_searchable_words_still_finds_by_meaning(index: Index, make) -> None:
    await put(index, make, DOC, "alpha beta")
    found = await index.search("acme", "?!", make.embedding("alpha"), 10)
    assert [item.passage.text for item in found] == ["alpha beta"]


async def test_no_more_than_the_limit_is_found(index: Index, make) -> None:
    await put(index, make, DOC, *(f"word number{n}" for n in range(30)))
    assert len(await search(index, make, "word", limit=7)) == 7
    assert await index.count("acme") == 30


async def test_adding_the_same_chunks_twice_changes_nothing(index: Index, make) -> None:
    for _ in range(2):
        await put(index, make, DOC, "one", "two")
    assert await index.count("acme") == 2


async def test_it_knows_which_chunks_of_which_version_it_has(index: Index, make) -> None:
    await put(index, make, DOC, "one", "two")
    assert await index.has(DOC, 1, ["c0", "c1"])
    assert not await index.has(DOC, 1, ["c0", "c2"])
    assert not await index.has(DOC, 2, ["c0"])
    assert not await index.has(DocumentKey("other", "doc"), 1, ["c0"])
    assert not await index.has(DocumentKey("acme", "other"), 1, ["c0"])


async def test_a_new_head_removes_lower_versions_of_that_document_only(index: Index, make) -> None:
    other_document, other_tenant = DocumentKey("acme", "other"), DocumentKey("globex", "doc")
    for key in (DOC, other_document, other_tenant):
        await put(index, make, key, "old text")
    await put(index, make, DOC, "new text", version=2)
    assert await index.head(DOC) == Head(2, deleted=False)
    assert sorted(await search(index, make, "text")) == ["new text", "old text"]
    assert await search(index, make, "text", tenant="globex") == ["old text"]


async def test_a_tombstone_removes_its_own_version_too_and_stays(index: Index, make) -> None:
    await put(index, make, DOC, "text")
    await index.supersede(DOC, Head(1, deleted=True))
    assert await index.is_empty("acme")
    assert await index.head(DOC) == Head(1, deleted=True)
    assert await search(index, make, "text") == []


async def test_versions_in_milliseconds_are_told_apart(index: Index, make) -> None:
    now = 1_790_000_000_000
    await put(index, make, DOC, "old", version=now)
    await put(index, make, DOC, "new", version=now + 1)
    assert await search(index, make, "new") == ["new"]


async def test_names_that_run_into_each_other_are_different_documents(index: Index, make) -> None:
    keys = [DocumentKey("a", "b/c"), DocumentKey("a/b", "c"), DocumentKey('a"', "b"), DocumentKey("a", '"b')]
    for key in keys:
        await put(index, make, key, f"text of {key}")
    for key in keys:
        assert await index.head(key) == LIVE
        assert await index.has(key, 1, ["c0"])
    assert [await index.count(tenant) for tenant in ("a", "a/b", 'a"')] == [2, 1, 1]


async def test_text_of_every_kind_comes_back_unchanged(index: Index, make) -> None:
    texts = ["naïve Übergröße", "数据库 日志", "emoji 🚰 tap", 'quotes " and \\ and \x00 nul', "the of and"]
    await put(index, make, DOC, *texts)
    assert sorted(await search(index, make, "naïve 数据库 emoji quotes")) == sorted(texts)
