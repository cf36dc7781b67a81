"""TGI's own endpoints: /, /generate, /generate_stream."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from penstock.inference.adapters.http import wire
from penstock.inference.adapters.http.body import decode, read_body
from penstock.inference.adapters.http.service import (
    Service,
    encode_json,
    error_event,
    json_response,
    post,
)
from penstock.inference.adapters.http.streaming import EventStream, complete_all
from penstock.inference.domain.errors import InferenceError
from penstock.inference.domain.generation import Delta, Job, Token
from penstock.inference.handler.answers import Complete, best, submit_all
from penstock.inference.handler.parameters import LEFT_OUT, Parameters, jobs

_DECODER = msgspec.json.Decoder(wire.GenerateRequest)


def generate_routes(service: Service) -> list[Route]:
    """Return the routes."""

    async def read(request: Request) -> wire.GenerateRequest:
        return decode(await read_body(request, service.max_body_bytes), _DECODER)

    async def generate(request: Request) -> Response:
        return json_response(await _whole(service, request, await read(request)))

    async def generate_stream(request: Request) -> Response:
        return await _stream(service, await read(request))

    async def compatible(request: Request) -> Response:
        asked = await read(request)
        if asked.stream:
            return await _stream(service, asked)
        return json_response([await _whole(service, request, asked)])

    return [
        post(service, "/generate_stream", generate_stream),
        post(service, "/generate", generate),
        post(service, "/", compatible),
    ]


async def _jobs(service: Service, asked: wire.GenerateRequest, *, stream: bool) -> list[Job]:
    service.metrics.arrived()
    given, tokenizer = asked.parameters or LEFT_OUT, service.tokenizer

    def made() -> list[Job]:
        return jobs(asked.inputs, given, service.limits, tokenizer, stream=stream)

    return await service.long_work.run(len(asked.inputs), made)


async def _whole(service: Service, request: Request, asked: wire.GenerateRequest) -> wire.GenerateResponse:
    given = asked.parameters or LEFT_OUT
    todo = await _jobs(service, asked, stream=False)
    chosen, others = best(await complete_all(request, submit_all(service.engine, todo)))
    service.finished(chosen.finish)
    prefix = asked.inputs if given.return_full_text else ""
    response = wire.GenerateResponse(prefix + chosen.finish.text)
    if given.details:
        response.details = _details(chosen)
        if others:
            response.details.best_of_sequences = [_sequence(prefix, other) for other in others]
    return response


def _details(answer: Complete) -> wire.Details:
    finish = answer.finish
    return wire.Details(
        finish_reason=finish.reason,
        generated_tokens=finish.generated_tokens,
        seed=finish.seed,
        prefill=[],
        tokens=answer.tokens,
    )


def _sequence(prefix: str, answer: Complete) -> wire.BestOfSequence:
    finish = answer.finish
    return wire.BestOfSequence(
        generated_text=prefix + finish.text,
        finish_reason=finish.reason,
        generated_tokens=finish.generated_tokens,
        seed=finish.seed,
        prefill=[],
        tokens=answer.tokens,
    )


async def _stream(service: Service, asked: wire.GenerateRequest) -> Response:
    given = asked.parameters or LEFT_OUT
    todo = await _jobs(service, asked, stream=True)
    answer = submit_all(service.engine, todo)[0]
    encoder = _Events(service, given, asked.inputs if given.return_full_text else "")

    def failed(error: InferenceError) -> bytes:
        service.broke_off(error)
        return error_event(error)

    return EventStream(answer, encoder.encode, failed)


class _Events:
    """The events of one stream, numbered from 1."""

    def __init__(self, service: Service, given: Parameters, prefix: str) -> None:
        self._service = service
        self._details = bool(given.details)
        self._prefix = prefix
        self._index = 0

    def encode(self, delta: Delta) -> bytes:
        finish = delta.finish
        last = len(delta.tokens) - 1
        tokens = delta.tokens
        if finish is not None and last < 0:
            tokens, last = (Token(0, "", 0.0, True),), 0
        parts = []
        for at, token in enumerate(tokens):
            self._index += 1
            event = wire.StreamResponse(self._index, token)
            if finish is not None and at == last:
                event.generated_text = self._prefix + finish.text
                self._service.finished(finish)
                if self._details:
                    event.details = wire.StreamDetails(
                        finish.reason, finish.generated_tokens, finish.seed, finish.input_length
                    )
            parts.append(b"data: " + encode_json(event) + b"\n\n")
        return b"".join(parts)
