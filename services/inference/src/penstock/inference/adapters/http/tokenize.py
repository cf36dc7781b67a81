"""/tokenize and /chat_tokenize."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from penstock.inference.adapters.http import wire
from penstock.inference.adapters.http.body import decode, read_body
from penstock.inference.adapters.http.chat import characters, plain_messages
from penstock.inference.adapters.http.chat_wire import ChatRequest
from penstock.inference.adapters.http.service import Service, encode_json, post
from penstock.inference.domain.offsets import character_spans
from penstock.inference.ports import TextTokenizer

_DECODER = msgspec.json.Decoder(wire.GenerateRequest)
_CHAT_DECODER = msgspec.json.Decoder(ChatRequest)


def tokenize_routes(service: Service) -> list[Route]:
    """Return the routes. Their answers are made where the text is tokenized, since they are far longer."""

    async def tokenize(request: Request) -> Response:
        asked = decode(await read_body(request, service.max_body_bytes), _DECODER)
        tokenizer = service.tokenizer

        def made() -> bytes:
            return encode_json(_tokens(tokenizer, asked.inputs))

        return _json(await service.long_work.run(len(asked.inputs), made))

    async def chat_tokenize(request: Request) -> Response:
        asked = decode(await read_body(request, service.max_body_bytes), _CHAT_DECODER)
        messages, tokenizer = plain_messages(asked.messages), service.tokenizer

        def made() -> bytes:
            text = tokenizer.chat(messages)
            return encode_json(wire.ChatTokenizeResponse(_tokens(tokenizer, text), text))

        return _json(await service.long_work.run(characters(messages), made))

    return [post(service, "/tokenize", tokenize), post(service, "/chat_tokenize", chat_tokenize)]


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


def _tokens(tokenizer: TextTokenizer, text: str) -> list[wire.SimpleToken]:
    ids = tokenizer.encode(text)
    pieces = tokenizer.pieces(ids)
    spans = character_spans(text, pieces)
    if spans is not None:
        return [
            wire.SimpleToken(token, text[start:stop], start, stop)
            for token, (start, stop) in zip(ids, spans, strict=True)
        ]
    # The tokenizer changed the text before it cut it: positions in the changed text are all there is.
    tokens = []
    at = 0
    for token, piece in zip(ids, pieces, strict=True):
        shown = piece.decode(errors="replace")
        tokens.append(wire.SimpleToken(token, shown, at, at + len(shown)))
        at += len(shown)
    return tokens
