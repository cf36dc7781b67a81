"""What every index must do: in memory, over the engine in this process, and over Qdrant's client."""

from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.messages.chat import Passage
from penstock.messages.search import DEFAULT_STORE, MAX_FILTER_DEPTH, Filter, Scalar
from penstock.retrieval.domain.documents import DocumentKey, Head
from penstock.retrieval.domain.filters import passes
from penstock.retrieval.domain.scope import Scope
from penstock.retrieval.ports import Index

ACME = Scope("acme")
DOC = DocumentKey("acme", "doc")
LIVE = Head(1, deleted=False)


async def put(index: Index, make, key: DocumentKey, *texts: str, version: int = 1) -> None:
    await index.supersede(key, Head(version, deleted=False))
    entries = [make.entry(t, f"c{n}", key.document_id, start=n) for n, t in enumerate(texts)]
    await index.add(key, version, entries)


async def search(index: Index, make, text: str, tenant: str = "acme", limit: int = 10) -> list[str]:
    found = await index.search(Scope(tenant), text, make.embedding(text), limit)
    return [item.passage.text for item in found]


async def test_an_empty_index_finds_nothing(index: Index, make) -> None:
    assert await index.is_empty(ACME)
    assert await index.count(ACME) == 0
    assert await index.head(DOC) is None
    assert await search(index, make, "anything") == []


async def test_the_passage_with_the_words_and_the_meaning_comes_first(index: Index, make) -> None:
    await put(index, make, DOC, "cats sleep all day", "kafka keeps a log", "boats float on water")
    found = await index.search(ACME, "kafka log", make.embedding("kafka log"), 10)
    assert found[0].passage == Passage(
        document_id="doc",
        title="Title",
        start=1,
        end=18,
        text="kafka keeps a log",
        tokens=4,
        file_id="file-1",
        file_name="notes.md",
        headings=("Chapter",),
        page=3,
    )
    assert found[0].store_id == DEFAULT_STORE
    assert [item.score for item in found] == sorted((item.score for item in found), reverse=True)


async def test_the_first_in_both_rankings_scores_as_in_the_paper(index: Index, make) -> None:
    await put(index, make, DOC, "kafka keeps a log")
    [found] = await index.search(ACME, "kafka", make.embedding("kafka keeps a log"), 10)
    assert abs(found.score - 2 / 61) < 1e-6


async def test_words_alone_and_meaning_alone_are_enough(index: Index, make) -> None:
    await put(index, make, DOC, "alpha beta", "gamma delta")
    by_words = await index.search(ACME, "gamma", make.embedding("alpha beta"), 10)
    assert {item.passage.text for item in by_words} == {"alpha beta", "gamma delta"}
    by_meaning = await index.search(ACME, "unknown", make.embedding("gamma delta"), 10)
    assert by_meaning[0].passage.text == "gamma delta"


async def test_without_a_vector_passages_are_found_by_their_words(index: Index, make) -> None:
    await put(index, make, DOC, "alpha beta", "gamma delta", "alpha omega")
    found = await index.search(ACME, "alpha", None, 10)
    assert {item.passage.text for item in found} == {"alpha beta", "alpha omega"}
    assert all(item.by_words and item.similarity == 0 for item in found)
    assert await index.search(ACME, "epsilon", None, 10) == []


async def test_a_query_of_no_searchable_words_still_finds_by_meaning(index: Index, make) -> None:
    await put(index, make, DOC, "alpha beta")
    found = await index.search(ACME, "?!", make.embedding("alpha"), 10)
    assert [item.passage.text for item in found] == ["alpha beta"]


async def test_no_more_than_the_limit_is_found(index: Index, make) -> None:
    await put(index, make, DOC, *(f"word number{n}" for n in range(30)))
    assert len(await search(index, make, "word", limit=7)) == 7
    assert await index.count(ACME) == 30


async def test_its_size_is_that_of_all_tenants_chunks(index: Index, make) -> None:
    assert await index.size() == 0
    await put(index, make, DOC, "one", "two")
    await put(index, make, DocumentKey("other", "doc"), "three")
    await index.flush()
    assert await index.size() == 3


async def test_adding_the_same_chunks_twice_changes_nothing(index: Index, make) -> None:
    for _ in range(2):
        await put(index, make, DOC, "one", "two")
    assert await index.count(ACME) == 2


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
    assert await index.is_empty(ACME)
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
    assert [await index.count(Scope(tenant)) for tenant in ("a", "a/b", 'a"')] == [2, 1, 1]


async def test_text_of_every_kind_comes_back_unchanged(index: Index, make) -> None:
    texts = ["naïve Übergröße", "数据库 日志", "emoji 🚰 tap", 'quotes " and \\ and \x00 nul', "the of and"]
    await put(index, make, DOC, *texts)
    assert sorted(await search(index, make, "naïve 数据库 emoji quotes")) == sorted(texts)


async def test_what_is_found_says_how_alike_it_is_and_whether_by_its_words(index: Index, make) -> None:
    await put(index, make, DOC, "alpha beta", "gamma delta")
    found = await index.search(ACME, "alpha", make.embedding("alpha beta"), 10)
    by_text = {item.passage.text: item for item in found}
    assert abs(by_text["alpha beta"].similarity - 1) < 0.01
    assert by_text["gamma delta"].similarity < 0.1
    assert (by_text["alpha beta"].by_words, by_text["gamma delta"].by_words) == (True, False)


async def test_headings_are_searched_too(index: Index, make) -> None:
    await put(index, make, DOC, "alpha beta")
    [found] = await index.search(ACME, "chapter", make.embedding("unlike"), 10)
    assert found.by_words


async def test_a_search_looks_in_the_stores_it_names_and_all_if_it_names_none(index: Index, make) -> None:
    for store in ("vs_1", "vs_2", "vs_3"):
        key = DocumentKey("acme", f"doc-{store}")
        await index.supersede(key, LIVE)
        await index.add(key, 1, [make.entry(f"text in {store}", document_id=key.document_id, store_id=store)])

    async def stores_found(*stores: str, tenant: str = "acme") -> list[str]:
        found = await index.search(Scope(tenant, stores), "text", make.embedding("text"), 10)
        return sorted(item.store_id for item in found)

    assert await stores_found("vs_1") == ["vs_1"]
    assert await stores_found("vs_1", "vs_3") == ["vs_1", "vs_3"]
    assert await stores_found() == ["vs_1", "vs_2", "vs_3"]
    assert await stores_found("vs_4") == []
    assert await stores_found("vs_1", tenant="globex") == []
    assert await index.count(Scope("acme", ("vs_1", "vs_2"))) == 2
    assert await index.is_empty(Scope("acme", ("vs_4",)))


async def test_a_filter_leaves_more_than_the_best_of_all_to_choose_from(index: Index, make) -> None:
    """It stands inside both searches: 60 better passages do not push out the one that passes."""
    entries = [
        make.entry(f"kafka log {n}", f"c{n}", start=n, attributes={"year": n // 60}) for n in range(61)
    ]
    entries[60] = make.entry("nothing alike", "c60", start=60, attributes={"year": 1})
    await index.supersede(DOC, LIVE)
    await index.add(DOC, 1, entries)
    scope = Scope("acme", filters=Filter(type="eq", key="year", value=1))
    found = await index.search(scope, "kafka log", make.embedding("kafka log"), 5)
    assert [(item.passage.text, item.attributes) for item in found] == [("nothing alike", {"year": 1})]


KEYS = ("year", "a.b", 'quo"te', "sp ace", "[]", "", "naïve\x00")
VALUES: tuple[Scalar, ...] = (
    0,
    -0.0,
    1,
    1.0,
    -2.5,
    2**53 + 1,
    10**400,
    True,
    False,
    "",
    "1",
    "true",
    "x",
    '"x"',
    "ü",
)
keys = st.sampled_from([key for key in KEYS if key])
values = st.sampled_from(VALUES)
comparisons = st.one_of(
    st.builds(Filter, type=st.sampled_from(["eq", "ne"]), key=keys, value=values),
    st.builds(
        Filter,
        type=st.sampled_from(["gt", "gte", "lt", "lte"]),
        key=keys,
        value=st.sampled_from([0, 1, 1.0, -2.5, 10**400]),
    ),
    st.builds(
        Filter,
        type=st.sampled_from(["in", "nin"]),
        key=keys,
        value=st.lists(values, max_size=4).map(tuple),
    ),
)
conditions = st.recursive(
    comparisons,
    lambda inner: st.builds(
        Filter,
        type=st.sampled_from(["and", "or"]),
        filters=st.lists(inner, min_size=1, max_size=3).map(tuple),
    ),
    max_leaves=5,
).filter(lambda condition: depth(condition) <= MAX_FILTER_DEPTH)


def depth(condition: Filter) -> int:
    return 1 + max((depth(each) for each in condition.filters), default=0)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.lists(st.dictionaries(keys, values, max_size=4), min_size=1, max_size=6),
    wanted=st.lists(conditions, min_size=1, max_size=4),
)
async def test_all_indexes_give_the_same_for_the_same_filter(
    one_of_each: dict[str, Index],
    make,
    files: list[dict[str, Scalar]],
    wanted: list[Filter],
) -> None:
    """Examples share the indexes: each has a tenant of its own."""
    tenant = str(uuid4())
    entries = [make.entry(f"text {n}", f"c{n}", start=n, attributes=file) for n, file in enumerate(files)]
    key = DocumentKey(tenant, "doc")
    for index in one_of_each.values():
        await index.supersede(key, LIVE)
        await index.add(key, 1, entries)
    for condition in wanted:
        expected = {n: file for n, file in enumerate(files) if passes(file, condition)}
        scope = Scope(tenant, filters=condition)
        for name, index in one_of_each.items():
            found = await index.search(scope, "text", make.embedding("text"), 10)
            assert {item.passage.start: item.attributes for item in found} == expected, name
            assert await index.count(scope) == len(expected), name


def test_a_filter_means_what_openai_says() -> None:
    file: dict[str, Scalar] = {"year": 2024, "draft": False, "team": "red"}

    def passing(kind: str, key: str, value: object) -> bool:
        return passes(file, Filter(type=kind, key=key, value=value))

    assert passing("eq", "year", 2024.0)
    assert not passing("eq", "draft", 0)
    assert not passing("eq", "year", "2024")
    assert passing("gte", "year", 2024)
    assert not passing("gt", "team", 0)
    assert not passing("lt", "missing", 0)
    assert passing("ne", "missing", 1)
    assert passing("nin", "missing", ("x",))
    assert passing("in", "team", ("blue", "red"))
    assert not passing("in", "team", ())
    red = Filter(type="eq", key="team", value="red")
    old = Filter(type="lt", key="year", value=2000)
    assert passes(file, Filter(type="or", filters=(red, old)))
    assert not passes(file, Filter(type="and", filters=(red, old)))
