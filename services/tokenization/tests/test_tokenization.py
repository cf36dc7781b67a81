"""Tokenization with a model whose tokens are words: exact counts without a server."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.clients.models import ModelProfile, Models, SamplingDefaults
from penstock.messages.chat import AnswersFrom, ChatRequested, ChatTokenized, Message, RequestFailed, Sampling
from penstock.messages.envelope import Envelope
from penstock.messages.event import Event
from penstock.messages.search import Filter, Search
from penstock.messages.topics import CHAT_TOKENIZED
from penstock.streaming.errors import PermanentError, TransientError
from penstock.streaming.ports import Partition
from penstock.streaming.stage import Outgoing, Received
from penstock.tokenization.domain import INTRODUCTION_TOKENS, Limits, Templated, passage_tokens
from penstock.tokenization.handler import Policy, Tokenization

ROOMY = Limits(1000, 1200)
POLICY = Policy(100, 300)
REQUEST_ID = "0190a5d0-0000-7000-8000-000000000001"


class WordModel:
    """A token is a word; the template writes `role: content` lines."""

    def __init__(self, limits: Limits, drops_users: bool = False) -> None:
        self._limits = limits
        self._drops_users = drops_users

    async def limits(self) -> Limits:
        return self._limits

    async def chat(self, messages: Sequence[Message], gap: str) -> Templated:
        text = "".join(f"{m.role}: {m.content}\n" for m in messages if not self._drops_users) + "assistant:"
        return Templated(text, len(text.replace(gap, "").split()))


def user(text: str) -> Message:
    return Message(role="user", content=text)


async def ask(
    *messages: Message,
    limits: Limits = ROOMY,
    drops_users: bool = False,
    max_tokens: int | None = None,
    search: Search | None = None,
    policy: Policy = POLICY,
) -> Outgoing:
    request = ChatRequested(
        model="m",
        messages=messages,
        sampling=Sampling(max_tokens=max_tokens, seed=7),
        search=search or Search(),
    )
    envelope = Envelope(id="i", type=request.TYPE, source="/s", time_ms=1, subject=REQUEST_ID, tenant="t")
    received: Received[Event] = Received(request, envelope, Partition("chat.requests", 0), 0)
    handler = Tokenization(WordModel(limits, drops_users), policy)
    [outgoing] = [item async for item in handler.handle(received)]
    return outgoing


async def tokenized(
    *messages: Message,
    limits: Limits = ROOMY,
    max_tokens: int | None = None,
    policy: Policy = POLICY,
) -> ChatTokenized:
    outgoing = await ask(*messages, limits=limits, max_tokens=max_tokens, policy=policy)
    assert outgoing.topic is CHAT_TOKENIZED
    assert isinstance(outgoing.event, ChatTokenized)
    return outgoing.event


async def refused(*messages: Message, limits: Limits, max_tokens: int | None = None) -> RequestFailed:
    outgoing = await ask(*messages, limits=limits, max_tokens=max_tokens)
    assert outgoing.topic is CHAT_TOKENIZED
    assert isinstance(outgoing.event, RequestFailed)
    assert outgoing.event.status == 400
    return outgoing.event


async def test_the_prompt_has_a_gap_before_the_last_question() -> None:
    event = await tokenized(
        Message(role="system", content="Be brief."),
        user("Hi"),
        Message(role="assistant", content="Yes?"),
        user("Why?"),
    )
    assert event.prompt_before == "system: Be brief.\nuser: Hi\nassistant: Yes?\nuser: "
    assert event.prompt_after == "Why?\nassistant:"
    assert event.query == "Why?"
    assert event.prompt_tokens == 10
    assert (event.passage_tokens, event.sampling.max_tokens, event.sampling.seed) == (300, 100, 7)


async def test_where_to_search_is_passed_on_unchanged() -> None:
    search = Search(stores=("vs_1",), filters=Filter(type="eq", key="year", value=2024), max_results=3)
    event = (await ask(user("Why?"), search=search)).event
    assert isinstance(event, ChatTokenized)
    assert event.search == search


async def test_history_is_dropped_from_its_oldest_turn_and_instructions_stay() -> None:
    event = await tokenized(
        Message(role="system", content="rules"),
        user("old " * 60),
        Message(role="assistant", content="older answer"),
        user("new question"),
        limits=Limits(40, 60),
        max_tokens=20,
    )
    assert "old " not in event.prompt_before
    assert "rules" in event.prompt_before
    assert "older answer" in event.prompt_before
    assert event.prompt_after == "new question\nassistant:"


async def test_a_question_too_long_by_itself_is_refused_with_the_numbers() -> None:
    failed = await refused(user("word " * 50), limits=Limits(40, 60), max_tokens=5)
    assert failed.code == "context_length_exceeded"
    assert "52 tokens" in failed.message
    assert "at most 40" in failed.message


async def test_an_answer_longer_than_the_context_is_refused() -> None:
    failed = await refused(user("Hi"), limits=Limits(40, 60), max_tokens=1_000_000)
    assert failed.code == "context_length_exceeded"
    assert "1000000" in failed.message
    assert "60" in failed.message


@pytest.mark.parametrize("messages", [[Message(role="system", content="x")], [user("  ")]])
async def test_without_a_question_there_is_a_clear_refusal(messages: list[Message]) -> None:
    failed = await refused(*messages, limits=Limits(40, 60))
    assert failed.code == "no_user_message"


async def test_a_template_that_loses_the_question_is_an_error() -> None:
    with pytest.raises(PermanentError, match="template"):
        await ask(user("Hi"), drops_users=True)


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(0, 6000), st.integers(0, 2000))
def test_prompt_passages_and_answer_never_exceed_the_model(
    max_input: int, answer: int, prompt: int, wanted: int
) -> None:
    limits = Limits(max_input, max_input + 100)
    passages = passage_tokens(limits, prompt, answer, wanted)
    assert 0 <= passages <= wanted
    if passages:
        assert prompt + passages + INTRODUCTION_TOKENS <= limits.max_input
        assert prompt + passages + INTRODUCTION_TOKENS + answer <= limits.max_total


SHORT = ModelProfile(names=("small-*",), sampling=SamplingDefaults(max_tokens=60, stop=("\n\n",), seed=3))
SMALL = Limits(1000, 1200, "small-1")


async def test_a_models_own_defaults_count_where_the_request_says_nothing() -> None:
    sampling = (
        await tokenized(user("Why?"), limits=SMALL, policy=Policy(None, 300, Models([SHORT])))
    ).sampling
    assert sampling == Sampling(max_tokens=60, stop=("\n\n",), seed=7)


async def test_a_request_and_the_operator_come_before_a_models_defaults() -> None:
    models = Models([SHORT])
    asked = await tokenized(user("Why?"), limits=SMALL, max_tokens=9, policy=Policy(None, 300, models))
    assert asked.sampling.max_tokens == 9
    operated = await tokenized(user("Why?"), limits=SMALL, policy=Policy(80, 300, models))
    assert operated.sampling.max_tokens == 80
    other = await tokenized(user("Why?"), policy=Policy(None, 300, models))
    assert other.sampling.max_tokens == 512


class AwayModel(WordModel):
    """A model whose server cannot be reached."""

    async def limits(self) -> Limits:
        raise TransientError("backend_unavailable", "No model server is available.")


@pytest.mark.parametrize(("answers", "may_quote"), [("quote", False), ("model", True), ("documents", True)])
async def test_a_question_that_is_answered_by_quotes_needs_no_model(
    answers: AnswersFrom, may_quote: bool
) -> None:
    tokenized = await _without_a_server(answers, may_quote=may_quote)
    assert (tokenized.query, tokenized.answers, tokenized.passage_tokens) == ("Why?", "quote", 300)


async def test_a_question_for_a_model_waits_for_one() -> None:
    with pytest.raises(TransientError):
        await _without_a_server("documents", may_quote=False)


async def _without_a_server(answers: AnswersFrom, *, may_quote: bool) -> ChatTokenized:
    request = ChatRequested(
        model="m", messages=(user("Why?"),), sampling=Sampling(), answers=answers, may_quote=may_quote
    )
    envelope = Envelope(id="i", type=request.TYPE, source="/s", time_ms=1, subject=REQUEST_ID, tenant="t")
    received: Received[Event] = Received(request, envelope, Partition("chat.requests", 0), 0)
    handled = Tokenization(AwayModel(ROOMY), POLICY).handle(received)
    [outgoing] = [item async for item in handled]
    assert isinstance(outgoing.event, ChatTokenized)
    return outgoing.event


async def test_a_models_own_instructions_stand_where_the_conversation_has_none() -> None:
    profile = ModelProfile(names=("small-*",), system="Read.", passage_tokens=40)
    policy = Policy(None, None, Models([profile]))
    plain = await tokenized(user("Why?"), limits=SMALL, policy=policy)
    assert (plain.prompt_before, plain.passage_tokens) == ("system: Read.\nuser: ", 40)
    own = Message(role="system", content="Be brief.")
    told = await tokenized(own, user("Why?"), limits=SMALL, policy=policy)
    assert told.prompt_before == "system: Be brief.\nuser: "
    other = await tokenized(user("Why?"), policy=policy)
    assert (other.prompt_before, other.passage_tokens) == ("user: ", 512)
