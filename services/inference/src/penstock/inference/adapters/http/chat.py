"""OpenAI's chat completions, as TGI speaks them, and /v1/models."""

import time
from collections.abc import Mapping, Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from penstock.inference.adapters.http import chat_wire as wire
from penstock.inference.adapters.http.body import decode, read_body
from penstock.inference.adapters.http.service import (
    Service,
    encode_json,
    error_event,
    get,
    json_response,
    post,
)
from penstock.inference.adapters.http.streaming import EventStream, complete_all
from penstock.inference.domain.errors import InferenceError, InvalidRequestError, UnsupportedParameterError
from penstock.inference.domain.generation import Delta, Finish, FinishReason, Job, Token
from penstock.inference.handler.answers import submit_all
from penstock.inference.handler.parameters import Parameters, jobs

_DECODER = msgspec.json.Decoder(wire.ChatRequest)
_REASONS = {
    FinishReason.LENGTH: "length",
    FinishReason.EOS_TOKEN: "stop",
    FinishReason.STOP_SEQUENCE: "stop",
}
_DONE = b"data: [DONE]\n\n"


def chat_routes(service: Service) -> list[Route]:
    """Return the routes."""

    async def completions(request: Request) -> Response:
        service.metrics.arrived()
        asked = decode(await read_body(request, service.max_body_bytes), _DECODER)
        answers = submit_all(service.engine, await _jobs(service, asked))
        if asked.stream:
            events = _Chunks(service, asked)
            return EventStream(answers[0], events.encode, events.failed)
        answer = (await complete_all(request, answers))[0]
        service.finished(answer.finish)
        return json_response(_completion(service, asked, answer.tokens, answer.finish))

    async def models(_: Request) -> Response:
        model = wire.ModelInfo(service.model_id, "model", 0, "penstock")
        return json_response(wire.ModelList("list", [model]))

    return [post(service, "/v1/chat/completions", completions), get(service, "/v1/models", models)]


async def _jobs(service: Service, asked: wire.ChatRequest) -> list[Job]:
    given, messages, tokenizer = _parameters(asked), plain_messages(asked.messages), service.tokenizer

    def made() -> list[Job]:
        return jobs(tokenizer.chat(messages), given, service.limits, tokenizer, stream=asked.stream)

    return await service.long_work.run(characters(messages), made)


def characters(messages: Sequence[Mapping[str, str]]) -> int:
    """Return how long the messages are together."""
    return sum(len(message["role"]) + len(message["content"]) for message in messages)


def plain_messages(messages: list[wire.Message]) -> list[dict[str, str]]:
    """Return the messages as the chat template takes them. Raises InvalidRequestError."""
    if not messages:
        raise InvalidRequestError("`messages` cannot be empty")
    return [{"role": message.role, "content": _text(message)} for message in messages]


def _text(message: wire.Message) -> str:
    if message.tool_calls:
        raise UnsupportedParameterError("tool_calls", "this model takes no tools; send text")
    if isinstance(message.content, str):
        return message.content
    if message.content is None:
        raise InvalidRequestError("every message needs `content`")
    if any(chunk.type != "text" or chunk.text is None for chunk in message.content):
        raise UnsupportedParameterError("content", "this model reads text only")
    return "".join(chunk.text or "" for chunk in message.content)


def _parameters(asked: wire.ChatRequest) -> Parameters:
    _refuse(asked)
    greedy = asked.temperature == 0
    stop = [asked.stop] if isinstance(asked.stop, str) else asked.stop
    return Parameters(
        do_sample=not greedy,
        temperature=None if greedy else asked.temperature,
        top_p=None if greedy else asked.top_p,
        frequency_penalty=asked.frequency_penalty,
        presence_penalty=asked.presence_penalty,
        max_new_tokens=asked.max_tokens if asked.max_tokens is not None else asked.max_completion_tokens,
        seed=asked.seed,
        stop=tuple(stop or ()),
    )


def _refuse(asked: wire.ChatRequest) -> None:
    if asked.tools and asked.tool_choice != "none":
        raise UnsupportedParameterError("tools", "this model takes no tools; leave them out")
    if asked.n not in (None, 1):
        raise UnsupportedParameterError("n", "send the request n times")
    if asked.logit_bias:
        raise UnsupportedParameterError("logit_bias", "leave it out")
    if asked.top_logprobs:
        raise UnsupportedParameterError("top_logprobs", "only the chosen token has a logprob; use `logprobs`")
    wanted = asked.response_format
    if wanted is not None and not (isinstance(wanted, dict) and wanted.get("type") == "text"):
        raise UnsupportedParameterError("response_format", "describe the format in the prompt")


def _usage(finish: Finish) -> wire.Usage:
    total = finish.input_length + finish.generated_tokens
    return wire.Usage(finish.input_length, finish.generated_tokens, total)


def _logprobs(asked: wire.ChatRequest, tokens: tuple[Token, ...]) -> wire.Logprobs | None:
    if not asked.logprobs:
        return None
    return wire.Logprobs([wire.Logprob(token.text, token.logprob, []) for token in tokens])


def _completion(
    service: Service, asked: wire.ChatRequest, tokens: tuple[Token, ...], finish: Finish
) -> wire.ChatCompletion:
    choice = wire.CompleteChoice(
        0, wire.TextMessage(finish.text), _logprobs(asked, tokens), _REASONS[finish.reason]
    )
    return wire.ChatCompletion(
        object="chat.completion",
        id="",
        created=int(time.time()),
        model=service.model_id,
        system_fingerprint=f"penstock-{service.version}",
        choices=[choice],
        usage=_usage(finish),
    )


class _Chunks:
    """The events of one streamed completion."""

    def __init__(self, service: Service, asked: wire.ChatRequest) -> None:
        self._service = service
        self._asked = asked
        self._include_usage = asked.stream_options is not None and asked.stream_options.include_usage
        self._chunk = wire.ChatChunk(
            object="chat.completion.chunk",
            id="",
            created=int(time.time()),
            model=service.model_id,
            system_fingerprint=f"penstock-{service.version}",
            choices=[],
        )

    def encode(self, delta: Delta) -> bytes:
        text = "".join(token.text for token in delta.tokens if not token.special)
        finish = delta.finish
        reason = None if finish is None else _REASONS[finish.reason]
        logprobs = _logprobs(self._asked, delta.tokens)
        self._chunk.choices = [wire.ChunkChoice(0, wire.TextMessage(text), logprobs, reason)]
        events = b"data: " + encode_json(self._chunk) + b"\n\n"
        if finish is None:
            return events
        self._service.finished(finish)
        if self._include_usage:
            self._chunk.choices = []
            self._chunk.usage = _usage(finish)
            events += b"data: " + encode_json(self._chunk) + b"\n\n"
        return events + _DONE

    def failed(self, error: InferenceError) -> bytes:
        self._service.broke_off(error)
        return error_event(error)
