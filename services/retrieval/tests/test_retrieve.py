"""A question goes on with the passages that help."""

import msgspec
import pytest

from penstock.clients.models import NO_MODELS, Models
from penstock.messages.chat import ChatRetrieved, ChatTokenized, Sampling
from penstock.messages.search import Filter, Search
from penstock.messages.topics import CHAT_RETRIEVED
from penstock.retrieval.domain.packing import PASSAGE_OVERHEAD_TOKENS
from penstock.retrieval.handler import Retriever
from penstock.retrieval.ports import Index
from penstock.retrieval.query_vectors import QueryVectors
from penstock.retrieval.relevance_floor import RelevanceFloor
from penstock.retrieval.searching import CurrentIndex, Searcher
from penstock.streaming.errors import PermanentError, TransientError

SAMPLING = Sampling(max_tokens=7, temperature=0.5)


def question(
    query: str = "kafka log",
    passage_tokens: int = 500,
    search: Search = Search(),  # noqa: B008
) -> ChatTokenized:
    return ChatTokenized(
        model="m",
        query=query,
        prompt_before="before",
        prompt_after="after",
        prompt_tokens=12,
        passage_tokens=passage_tokens,
        sampling=SAMPLING,
        search=search,
    )


def retriever(embedder, index: Index, models: Models = NO_MODELS) -> Retriever:
    async def model_id() -> str:
        return "embedder"

    return Retriever(Searcher(QueryVectors(embedder), index), RelevanceFloor(model_id, models))


async def ask(embedder, index: Index, make, asked: ChatTokenized, tenant: str = "acme") -> ChatRetrieved:
    [outgoing] = [o async for o in retriever(embedder, index).retrieve(make.received(asked, tenant))]
    assert outgoing.topic is CHAT_RETRIEVED
    assert isinstance(outgoing.event, ChatRetrieved)
    return outgoing.event


@pytest.fixture
async def filled(embedder, index: Index, make) -> Index:
    part = make.chunked("kafka keeps a log", "cats sleep", "boats float")
    await make.indexer(embedder, index).index([make.received(part)])
    embedder.calls.clear()
    return index


async def test_the_question_goes_on_unchanged_with_the_best_passage_first(
    embedder, filled: Index, make
) -> None:
    retrieved = await ask(embedder, filled, make, question())
    assert retrieved.passages[0].text == "kafka keeps a log"
    assert retrieved.passages[0].document_id == "doc"
    assert embedder.calls == [["kafka log"]]
    assert retrieved == ChatRetrieved(
        model="m",
        prompt_before="before",
        prompt_after="after",
        prompt_tokens=12,
        passages=retrieved.passages,
        sampling=SAMPLING,
        query="kafka log",
    )


async def test_passages_keep_to_the_token_budget(embedder, filled: Index, make) -> None:
    one = 4 + PASSAGE_OVERHEAD_TOKENS
    retrieved = await ask(embedder, filled, make, question(passage_tokens=one))
    assert [p.text for p in retrieved.passages] == ["kafka keeps a log"]


@pytest.mark.parametrize("asked", [question(passage_tokens=0), question(passage_tokens=16), question(" \n")])
async def test_without_room_or_words_nothing_is_embedded(embedder, filled: Index, make, asked) -> None:
    assert (await ask(embedder, filled, make, asked)).passages == ()
    assert embedder.calls == []


async def test_a_tenant_without_documents_gets_no_passages_at_no_cost(embedder, filled: Index, make) -> None:
    assert (await ask(embedder, filled, make, question(), tenant="globex")).passages == ()
    assert embedder.calls == []


async def test_what_is_to_be_quoted_is_found_by_words_while_nothing_can_be_embedded(
    embedder, filled: Index, make
) -> None:
    embedder.failures.append(TransientError("a", "b"))
    retrieved = await ask(embedder, filled, make, msgspec.structs.replace(question(), answers="quote"))
    assert [passage.text for passage in retrieved.passages] == ["kafka keeps a log"]


async def test_an_embedder_that_fails_fails_the_question_in_its_own_way(
    embedder, filled: Index, make
) -> None:
    for failure in (TransientError("a", "b"), PermanentError("c", "d")):
        embedder.failures.append(failure)
        with pytest.raises(type(failure)):
            await ask(embedder, filled, make, question())


async def test_an_event_of_another_kind_is_refused(embedder, index: Index, make) -> None:
    with pytest.raises(PermanentError, match="unexpected_event"):
        await anext(retriever(embedder, index).retrieve(make.received(make.deleted())))
    with pytest.raises(PermanentError, match="unexpected_event"):
        await make.indexer(embedder, index).index([make.received(question())])


async def test_what_has_nothing_to_do_with_the_question_is_left_out(embedder, filled: Index, make) -> None:
    assert [p.text for p in (await ask(embedder, filled, make, question())).passages] == ["kafka keeps a log"]
    assert (await ask(embedder, filled, make, question("bread recipe"))).passages == ()


async def test_a_request_sets_how_alike_and_how_many_passages_must_be(embedder, filled: Index, make) -> None:
    async def texts(**search: object) -> list[str]:
        asked = question("kafka keeps a log", search=Search(**search))
        return [p.text for p in (await ask(embedder, filled, make, asked)).passages]

    assert len(await texts(min_score=0.0)) == 3
    assert await texts(min_score=0.0, max_results=1) == ["kafka keeps a log"]
    assert await texts(min_score=0.8) == ["kafka keeps a log"]
    assert await texts(min_score=0.8, stores=("vs_other",)) == []


async def test_a_question_looks_where_it_is_told_to(embedder, index: Index, make) -> None:
    parts = [
        make.chunked("kafka in the default store", document_id="d0"),
        make.chunked("kafka in store one", document_id="d1", store_id="vs_1", attributes={"year": 1}),
        make.chunked("kafka in store two", document_id="d2", store_id="vs_2", attributes={"year": 2}),
    ]
    await make.indexer(embedder, index).index([make.received(part) for part in parts])

    async def texts(**search: object) -> set[str]:
        asked = question("kafka in store", search=Search(**search))
        return {p.text for p in (await ask(embedder, index, make, asked)).passages}

    assert await texts() == {"kafka in the default store"}
    assert await texts(stores=("vs_1", "vs_2")) == {"kafka in store one", "kafka in store two"}
    recent = Filter(type="gt", key="year", value=1)
    assert await texts(stores=("vs_1", "vs_2"), filters=recent) == {"kafka in store two"}


async def test_before_the_index_is_open_a_question_is_tried_again_later(embedder, make) -> None:
    with pytest.raises(TransientError, match="index_unavailable"):
        await ask(embedder, CurrentIndex(), make, question())
