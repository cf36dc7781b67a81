"""The bodies of TGI's dialect (OpenAPI 3.3), read and written by msgspec."""

from typing import Any

import msgspec

from penstock.inference.domain.generation import Token
from penstock.inference.handler.parameters import Parameters


class GenerateRequest(msgspec.Struct):
    """`GenerateRequest`, and `CompatGenerateRequest` with its `stream`."""

    inputs: str
    parameters: Parameters | None = None
    stream: bool = False


class StreamDetails(msgspec.Struct):
    """`StreamDetails`."""

    finish_reason: str
    generated_tokens: int
    seed: int | None
    input_length: int


class StreamResponse(msgspec.Struct):
    """`StreamResponse`: one event of /generate_stream."""

    index: int
    token: Token
    generated_text: str | None = None
    details: StreamDetails | None = None


class BestOfSequence(msgspec.Struct):
    """`BestOfSequence`."""

    generated_text: str
    finish_reason: str
    generated_tokens: int
    seed: int | None
    prefill: list[Any]
    tokens: tuple[Token, ...]


class Details(msgspec.Struct):
    """`Details`."""

    finish_reason: str
    generated_tokens: int
    seed: int | None
    prefill: list[Any]
    tokens: tuple[Token, ...]
    best_of_sequences: list[BestOfSequence] | msgspec.UnsetType = msgspec.UNSET


class GenerateResponse(msgspec.Struct, omit_defaults=True):
    """`GenerateResponse`."""

    generated_text: str
    details: Details | None = None


class SimpleToken(msgspec.Struct):
    """`SimpleToken`; start and stop are in characters."""

    id: int
    text: str
    start: int
    stop: int


class ChatTokenizeResponse(msgspec.Struct):
    """`ChatTokenizeResponse`."""

    tokenize_response: list[SimpleToken]
    templated_text: str


class ErrorResponse(msgspec.Struct):
    """`ErrorResponse`."""

    error: str
    error_type: str


class Info(msgspec.Struct):
    """`Info`, with the fields of older versions that clients still read."""

    model_id: str
    model_sha: str | None
    model_pipeline_tag: str
    max_concurrent_requests: int
    max_best_of: int
    max_stop_sequences: int
    max_input_tokens: int
    max_total_tokens: int
    validation_workers: int
    max_client_batch_size: int
    max_batch_size: int
    router: str
    version: str
    sha: str | None
    docker_label: str | None
