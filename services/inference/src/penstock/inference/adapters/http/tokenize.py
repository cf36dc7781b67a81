"""/tokenize and /chat_tokenize."""

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from penstock.inference.adapters.http import wire
from penstock.inference.adapters.http.body import decode, read_body
from penstock.inference.adapters.http.chat import plain_messages
from penstock.inference.adapters.http.chat_wire import ChatRequest
from penstock.inference.adapters.http.service import Service, json_response
from penstock.inference.domain.offsets import character_spans
from penstock.inference.ports import TextTokenizer

_DECODER = msgspec.json.Decoder(wire.GenerateRequest)
_CHAT_DECODER = msgspec.json.Decoder(ChatRequest)


def tokenize_router(service: Service) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

    @router.post("/tokenize")
    async def tokenize(request: Request) -> Response:
        asked = decode(await read_body(request, service.max_body_bytes), _DECODER)
        return json_response(_tokens(service.tokenizer, asked.inputs))

    @router.post("/chat_tokenize")
    async def chat_tokenize(request: Request) -> Response:
        asked = decode(await read_body(request, service.max_body_bytes), _CHAT_DECODER)
        text = service.tokenizer.chat(plain_messages(asked.messages))
        return json_response(wire.ChatTokenizeResponse(_tokens(service.tokenizer, text), text))

    return router


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
