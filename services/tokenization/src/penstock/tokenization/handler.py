"""Tokenization: a question becomes a prompt with a gap for passages, or a clear refusal."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

import msgspec

from penstock.clients.models import NO_MODELS, UNKNOWN, ModelProfile, Models
from penstock.messages.chat import ChatRequested, ChatTokenized, Message, RequestFailed
from penstock.messages.event import Event
from penstock.messages.topics import CHAT_TOKENIZED
from penstock.streaming.errors import PermanentError, TransientError
from penstock.streaming.stage import Outgoing, Received
from penstock.tokenization.domain import (
    Limits,
    NoQuestion,
    Templated,
    passage_tokens,
    question_of,
    with_gap,
    with_system,
    without_oldest_turn,
)
from penstock.tokenization.ports import Model

_ANSWER_TOKENS = 512
PASSAGE_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Policy:
    """Tokens of an answer whose length the client left open, and the most that passages may take.

    Where they are None, the model's own defaults count.
    """

    default_answer_tokens: int | None
    max_passage_tokens: int | None
    models: Models = NO_MODELS


class TooLong(Exception):
    """The conversation does not fit, even without its history; the message is for the client."""


class Tokenization:
    """Handles ChatRequested."""

    def __init__(self, model: Model, policy: Policy) -> None:
        self._model = model
        self._policy = policy

    async def handle(self, received: Received[Event]) -> AsyncGenerator[Outgoing, None]:
        """Yield ChatTokenized, or RequestFailed for a request that the model cannot take."""
        request = received.event
        assert isinstance(request, ChatRequested)  # noqa: S101  # the topic admits nothing else
        try:
            yield Outgoing(CHAT_TOKENIZED, await self._asked(request, received.envelope.subject))
        except NoQuestion:
            yield _refusal("no_user_message", "messages must hold at least one user message with text.")
        except TooLong as error:
            yield _refusal("context_length_exceeded", str(error))

    async def _asked(self, request: ChatRequested, request_id: str) -> ChatTokenized:
        """Return the question as a prompt, or, where the passages are to be quoted, without one."""
        if request.answers == "quote":
            return self._to_quote(request)
        try:
            return await self._tokenize(request, request_id)
        except TransientError:
            if not request.may_quote:
                raise
            return self._to_quote(request)

    def _to_quote(self, request: ChatRequested) -> ChatTokenized:
        return ChatTokenized(
            model=request.model,
            query=question_of(request.messages),
            prompt_before="",
            prompt_after="",
            prompt_tokens=1,
            passage_tokens=self._most_passages(UNKNOWN),
            sampling=request.sampling,
            search=request.search,
            answers="quote",
        )

    async def _tokenize(self, request: ChatRequested, request_id: str) -> ChatTokenized:
        query = question_of(request.messages)
        limits = await self._model.limits()
        profile = self._policy.models.of(limits.model)
        sampling = profile.completed(request.sampling)
        answer = request.sampling.max_tokens or min(
            self._policy.default_answer_tokens or sampling.max_tokens or _ANSWER_TOKENS,
            max(1, limits.max_total // 2),
        )
        # Clients cannot guess the id of their own request, so no message can hold a gap of its own.
        gap = f"[{request_id}]"
        messages = with_system(with_gap(request.messages, gap), profile.system)
        templated = await self._fit(messages, gap, limits, answer)
        before, found, after = templated.text.partition(gap)
        if not found:
            raise PermanentError("chat_template", "The model's chat template drops user messages.")
        return ChatTokenized(
            model=request.model,
            query=query,
            prompt_before=before,
            prompt_after=after,
            prompt_tokens=templated.tokens,
            passage_tokens=passage_tokens(limits, templated.tokens, answer, self._most_passages(profile)),
            sampling=msgspec.structs.replace(sampling, max_tokens=answer),
            search=request.search,
            answers=request.answers,
            may_quote=request.may_quote,
        )

    def _most_passages(self, profile: ModelProfile) -> int:
        wanted = (self._policy.max_passage_tokens, profile.passage_tokens, PASSAGE_TOKENS)
        return next(tokens for tokens in wanted if tokens is not None)

    async def _fit(self, messages: Sequence[Message], gap: str, limits: Limits, answer: int) -> Templated:
        """Drop the oldest turns until prompt and answer fit. Raises TooLong."""
        if answer >= limits.max_total:
            raise TooLong(
                f"max_tokens is too large: {answer}. This model's context has {limits.max_total} tokens for"
                " prompt and answer together; ask for fewer."
            )
        kept: Sequence[Message] | None = messages
        while kept is not None:
            templated = await self._model.chat(kept, gap)
            if templated.tokens <= min(limits.max_input, limits.max_total - answer):
                return templated
            kept = without_oldest_turn(kept)
        raise TooLong(
            f"The prompt has {templated.tokens} tokens and the answer up to {answer}, but this model's"
            f" context has {limits.max_total} (of these at most {limits.max_input} for the prompt);"
            " shorten the messages or lower max_tokens."
        )


def _refusal(code: str, message: str) -> Outgoing:
    failed = RequestFailed(code=code, message=message, status=400, stage="tokenization")
    return Outgoing(CHAT_TOKENIZED, failed)
