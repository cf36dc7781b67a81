"""A question goes on with the passages that help."""

import pytest

from penstock.messages.chat import ChatRetrieved, ChatTokenized, Sampling
from penstock.messages.topics import CHAT_RETRIEVED
from penstock.retrieval.domain.passages import PASSAGE_OVERHEAD_TOKENS
from penstock.retrieval.handler import Indexer, Retriever
from penstock.retrieval.ports import Index
from penstock.streaming.errors import PermanentError, TransientError

SAMPLING = Sampling(max_tokens=7, temperature=0.5)


def question(query: str = "kafka log", passage_tokens: int = 500) -> ChatTokenized:
    return ChatTokenized(
        model="m",
        query=query,
        prompt_before="before",
        prompt_after="after",
        prompt_tokens=12,
        passage_tokens=passage_tokens,
        sampling=SAMPLING,
    )


async def ask(embedder, index: Index, make, asked: ChatTokenized, tenant: str = "acme") -> ChatRetrieved:
    [outgoing] = [o async for o in Retriever(embedder, index).retrieve(make.received(asked, tenant))]
    assert outgoing.topic is CHAT_RETRIEVED
    assert isinstance(outgoing.event, ChatRetrieved)
    return outgoing.event


@pytest.fixture
async def filled(embedder, index: Index, make) -> Index:
    part = make.chunked("kafka keeps a log", "cats sleep", "boats float")
    await Indexer(embedder, index).index([make.received(part)])
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


async def test_an_embedder_that_fails_fails_the_question_in_its_own_way(
    embedder, filled: Index, make
) -> None:
    for failure in (TransientError("a", "b"), PermanentError("c", "d")):
        embedder.failures.append(failure)
        with pytest.raises(type(failure)):
            await ask(embedder, filled, make, question())


async def test_an_event_of_another_kind_is_refused(embedder, index: Index, make) -> None:
    with pytest.raises(PermanentError, match="unexpected_event"):
        await anext(Retriever(embedder, index).retrieve(make.received(make.deleted())))
    with pytest.raises(PermanentError, match="unexpected_event"):
        await Indexer(embedder, index).index([make.received(question())])
