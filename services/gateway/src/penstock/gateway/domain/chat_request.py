"""From the body of a request to the question that goes into the log, or the error that says why not."""

from collections.abc import Callable, Mapping

import msgspec

from penstock.gateway.domain.errors import invalid, unsupported
from penstock.gateway.domain.fields import decoded
from penstock.gateway.domain.file_search import search_of
from penstock.gateway.domain.wire import INT64, ChatCompletionRequest, ContentPart, RequestMessage
from penstock.messages.chat import ChatRequested, Message, Role, Sampling

ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
SMALLEST_TOP_P = 1e-6


def _only(*values: object) -> Callable[[object], bool]:
    # Types must agree as well, or False would pass where 0 is allowed.
    return lambda given: any(type(given) is type(value) and given == value for value in values)


# Parameters of OpenAI's that would change the answer, with the values that ask for nothing special.
DEFAULTS: Mapping[str, Callable[[object], bool]] = {
    "audio": _only(),
    "function_call": _only("none", "auto"),
    "functions": _only([]),
    "logit_bias": _only({}),
    "logprobs": _only(False),
    "modalities": _only(["text"]),
    "moderation": _only(),
    "n": _only(1),
    "presence_penalty": _only(0, 0.0),
    "reasoning_effort": _only("none"),
    "response_format": _only({"type": "text"}),
    "store": _only(False),
    "top_logprobs": _only(0),
    "verbosity": _only("medium"),
    "web_search_options": _only(),
}

_decoder = msgspec.json.Decoder(ChatCompletionRequest)


def parse(body: bytes) -> ChatCompletionRequest:
    """Return the request in a body. Raises ApiError 400, naming the parameter at fault."""
    request = decoded(body, _decoder)
    _refuse_unsupported(request)
    if request.stream_options is not None and not request.stream:
        raise invalid("stream_options", "stream_options is only allowed when stream is true.")
    return request


def question_of(request: ChatCompletionRequest, api_key: str = "") -> ChatRequested:
    """Return the event that asks the question; `api_key` is the beginning of the key. Raises ApiError 400."""
    return ChatRequested(
        model=request.model,
        messages=tuple(_message(f"messages[{i}]", m) for i, m in enumerate(request.messages)),
        sampling=Sampling(
            max_tokens=_max_tokens(request),
            temperature=request.temperature,
            top_p=_top_p(request.top_p),
            frequency_penalty=request.frequency_penalty,
            seed=_seed(request.seed),
            stop=_stop(request.stop),
        ),
        background=bool(request.background),
        search=search_of(request),
        api_key=api_key,
        answers=request.answers or "model",
        may_quote=request.fallback == "quote",
    )


def _refuse_unsupported(request: ChatCompletionRequest) -> None:
    for name, is_default in DEFAULTS.items():
        given = getattr(request, name)
        if given is not None and not is_default(given):
            raise unsupported(name, f"This server does not support this value of '{name}'. Leave it out.")


def _message(where: str, message: RequestMessage) -> Message:
    role = ROLES.get(message.role)
    if role is None:
        allowed = ", ".join(ROLES)
        raise invalid(f"{where}.role", f"'{message.role[:32]}' is not supported. Use one of: {allowed}.")
    for name in ("tool_calls", "function_call", "audio"):
        if getattr(message, name):
            raise unsupported(f"{where}.{name}", f"This server does not support '{name}' in messages.")
    if message.content is None:
        raise invalid(f"{where}.content", "A message needs content: text, or a list of text parts.")
    if isinstance(message.content, str):
        return Message(role=role, content=message.content)
    parts = [_part(f"{where}.content[{i}]", part) for i, part in enumerate(message.content)]
    return Message(role=role, content="".join(parts))


def _part(where: str, part: ContentPart) -> str:
    if part.type != "text":
        raise unsupported(f"{where}.type", f"'{part.type[:32]}' is not supported. Only text parts are.")
    if part.text is None:
        raise invalid(f"{where}.text", "A text part needs a text.")
    return part.text


def _max_tokens(request: ChatCompletionRequest) -> int | None:
    old, new = request.max_tokens, request.max_completion_tokens
    if old is not None and new is not None and old != new:
        raise invalid("max_tokens", "max_tokens and max_completion_tokens differ. Set only one of them.")
    return new if new is not None else old


def _top_p(top_p: float | None) -> float | None:
    # OpenAI takes 0 and so keeps the likeliest token alone; backends want more than 0, which does the same.
    return None if top_p is None else max(top_p, SMALLEST_TOP_P)


def _seed(seed: int | None) -> int | None:
    # OpenAI takes negative seeds, TGI does not; the same seed must only give the same number again.
    return None if seed is None else seed % INT64


def _stop(stop: str | list[str] | None) -> tuple[str, ...]:
    sequences = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if "" in sequences:
        raise invalid("stop", "A stop sequence must not be empty.")
    return sequences
