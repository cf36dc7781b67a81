"""Text Embeddings Inference's dialect (OpenAPI 1.9), and OpenAI's /v1/embeddings."""

import base64
from typing import Any

import msgspec
import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from penstock.inference.adapters.embedding_batcher import MAX_ROWS
from penstock.inference.adapters.http.body import decode, read_body
from penstock.inference.adapters.http.service import Service, encode_json, get, json_response, post
from penstock.inference.adapters.minilm import Array
from penstock.inference.domain.errors import BodyTooLargeError, InferenceError

PREFIX = "/tei"
"""Where a TEI base URL of this server ends, since TGI and TEI share names such as /info."""
MAX_CONCURRENT_REQUESTS = 512


class EmbedRequest(msgspec.Struct):
    """`EmbedRequest`."""

    inputs: str | list[Any]
    normalize: bool = True
    truncate: bool | None = None
    truncation_direction: str = "right"
    dimensions: int | None = None
    prompt_name: str | None = None


class EmbeddingsRequest(msgspec.Struct):
    """`OpenAICompatRequest`."""

    input: str | list[Any]
    model: str | None = None
    encoding_format: str = "float"
    dimensions: int | None = None
    user: str | None = None


class RefusedError(InferenceError):
    """A request that TEI answers with this status and this type."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.tei = (status, error_type)


_DECODER = msgspec.json.Decoder(EmbedRequest)
_OPENAI_DECODER = msgspec.json.Decoder(EmbeddingsRequest)
_TYPES = {
    "validation": "Validation",
    "overloaded": "Overloaded",
    "generation": "Backend",
    "healthcheck": "Unhealthy",
}


def embed_routes(service: Service) -> list[Route]:
    """Return the routes: all of TEI's under /tei, and /embed at the root as well."""

    async def embed(request: Request) -> Response:
        try:
            asked = decode(await read_body(request, service.max_body_bytes), _DECODER)
            _refuse_prompt(asked.prompt_name)
            vectors, _ = await _vectors(service, asked)
        except InferenceError as error:
            status, kind = _status(error)
            close = isinstance(error, BodyTooLargeError)
            return json_response({"error": str(error), "error_type": kind}, status, close=close)
        return Response(encode_json(vectors.tolist()), media_type="application/json")

    async def embeddings(request: Request) -> Response:
        try:
            asked = decode(await read_body(request, service.max_body_bytes), _OPENAI_DECODER)
            wanted = EmbedRequest(asked.input, dimensions=asked.dimensions)
            vectors, tokens = await _vectors(service, wanted)
        except InferenceError as error:
            status, kind = _status(error)
            return json_response({"message": str(error), "code": status, "error_type": kind}, status)
        return json_response(_openai(service, vectors, tokens, asked.encoding_format))

    async def info(_: Request) -> Response:
        return json_response(_info(service))

    return [
        *(post(service, path, embed) for path in ("/embed", f"{PREFIX}/embed", PREFIX, f"{PREFIX}/")),
        post(service, f"{PREFIX}/v1/embeddings", embeddings),
        get(service, f"{PREFIX}/info", info),
    ]


async def _vectors(service: Service, asked: EmbedRequest) -> tuple[Array, int]:
    model = service.embeddings.model
    texts = _texts(asked.inputs)
    rows = await service.long_work.run(sum(map(len, texts)), lambda: model.tokenize(texts))
    for row in rows:
        if asked.truncate is False and len(row) > model.max_length:
            raise RefusedError(
                413,
                "Validation",
                f"Input validation error: `inputs` must have less than {model.max_length} tokens. "
                f"Given: {len(row)}",
            )
    left = asked.truncation_direction.lower() == "left"
    rows = [model.cut(row, left=left) for row in rows]
    vectors = await service.embeddings.embed(rows)
    if asked.dimensions is not None:
        if not 0 < asked.dimensions <= model.width:
            raise RefusedError(422, "Validation", f"`dimensions` must be > 0 and <= {model.width}")
        vectors = vectors[:, : asked.dimensions]
    if asked.normalize:
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = vectors / np.maximum(norms, np.finfo(np.float32).tiny)
    return vectors, sum(map(len, rows))


def _texts(inputs: str | list[Any]) -> list[str]:
    texts = [inputs] if isinstance(inputs, str) else inputs
    if not texts:
        raise RefusedError(400, "Empty", "Batch is empty")
    if len(texts) > MAX_ROWS:
        raise RefusedError(
            413, "Validation", f"batch size {len(texts)} > maximum allowed batch size {MAX_ROWS}"
        )
    checked = [text for text in texts if isinstance(text, str)]
    if len(checked) != len(texts):
        raise RefusedError(
            422,
            "Validation",
            "Input validation error: `inputs` must be texts, not token ids",
        )
    if not all(checked):
        raise RefusedError(422, "Validation", "Input validation error: `inputs` cannot be empty")
    return checked


def _refuse_prompt(name: str | None) -> None:
    if name is not None:
        raise RefusedError(
            422, "Validation", f"`prompt_name` {name!r} is not known: this model has no prompts; leave it out"
        )


def _status(error: InferenceError) -> tuple[int, str]:
    if isinstance(error, RefusedError):
        return error.tei
    if isinstance(error, BodyTooLargeError):
        return 413, "Validation"
    return error.status, _TYPES.get(error.error_type, "Backend")


def _openai(service: Service, vectors: Array, tokens: int, encoding: str) -> dict[str, Any]:
    data = []
    for index, vector in enumerate(vectors):
        shown: Any = vector.tolist()
        if encoding == "base64":
            shown = base64.b64encode(vector.astype("<f4").tobytes()).decode()
        data.append({"object": "embedding", "embedding": shown, "index": index})
    return {
        "object": "list",
        "data": data,
        "model": service.embedding_model_id,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _info(service: Service) -> dict[str, Any]:
    length = service.embeddings.max_tokens
    return {
        "model_id": service.embedding_model_id,
        "model_sha": None,
        "model_dtype": "float32",
        "served_model_name": service.embedding_model_id,
        "model_type": {"embedding": {"pooling": "mean"}},
        "max_concurrent_requests": MAX_CONCURRENT_REQUESTS,
        "max_input_length": length,
        "max_batch_tokens": length * MAX_ROWS,
        "max_batch_requests": MAX_ROWS,
        "max_client_batch_size": MAX_ROWS,
        "auto_truncate": True,
        "tokenization_workers": 1,
        "version": service.version,
        "sha": None,
        "docker_label": None,
    }
