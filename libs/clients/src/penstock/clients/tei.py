"""Embeddings from Text Embeddings Inference, or anything that speaks its `/embed`."""

from collections.abc import Sequence
from typing import NoReturn

import httpx2
import msgspec

from penstock.streaming.errors import HandlerError, PermanentError, TransientError
from penstock.telemetry.http import Transport

BATCH = 32
"""Texts a call; the default `max_client_batch_size` of the server."""

_TIMEOUT = httpx2.Timeout(60, connect=2)
# 424 is the server's word for an inference that failed.
_TRANSIENT = frozenset({408, 424, 425, 429})


class _Info(msgspec.Struct):
    model_id: str


_INFO = msgspec.json.Decoder(_Info)
_VECTORS = msgspec.json.Decoder(list[list[float]])


class TeiEmbedder:
    """Calls `{url}/embed` over connections that are kept; one text over the model's length is cut there."""

    def __init__(self, url: str, vector_size: int) -> None:
        self._url = url.rstrip("/")
        self._vector_size = vector_size
        self._client = httpx2.AsyncClient(transport=Transport(), timeout=_TIMEOUT, trust_env=False)

    async def embed(self, texts: Sequence[str]) -> list[Sequence[float]]:
        vectors: list[Sequence[float]] = []
        for first in range(0, len(texts), BATCH):
            vectors += await self._embed(texts[first : first + BATCH])
        return vectors

    async def health(self) -> str | None:
        """Return None if the server answers that it is ready, else why it is waited for."""
        try:
            response = await self._client.get(f"{self._url}/health")
        except httpx2.TransportError as error:
            return f"no answer from {self._url} ({type(error).__name__})"
        return None if response.is_success else f"{self._url} answers {response.status_code}"

    async def model_id(self) -> str:
        """Return the name of the server's model. Raises TransientError or PermanentError."""
        try:
            response = await self._client.get(f"{self._url}/info")
        except httpx2.TransportError as error:
            raise _unavailable(f"no answer ({type(error).__name__})") from error
        if not response.is_success:
            _refuse(response.status_code)
        try:
            return _INFO.decode(response.content).model_id
        except msgspec.DecodeError as error:
            raise _invalid("no model_id") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _embed(self, texts: Sequence[str]) -> list[list[float]]:
        body = msgspec.json.encode({"inputs": texts, "truncate": True})
        try:
            response = await self._client.post(
                f"{self._url}/embed", content=body, headers={"content-type": "application/json"}
            )
        except httpx2.TransportError as error:
            raise _unavailable(f"no answer ({type(error).__name__})") from error
        if not response.is_success:
            _refuse(response.status_code)
        return self._vectors(response.content, len(texts))

    def _vectors(self, body: bytes, count: int) -> list[list[float]]:
        try:
            vectors = _VECTORS.decode(body)
        except msgspec.DecodeError as error:
            raise _invalid("no list of vectors") from error
        if len(vectors) != count:
            raise _invalid(f"{len(vectors)} vectors for {count} texts")
        for vector in vectors:
            if len(vector) != self._vector_size:
                raise _invalid(f"vectors of {len(vector)} numbers, the index has {self._vector_size}")
        return vectors


def _refuse(status: int) -> NoReturn:
    if status >= 500 or status in _TRANSIENT:
        raise _unavailable(f"status {status}")
    raise PermanentError("embedding_refused", f"The embeddings server refused the text (status {status}).")


def _unavailable(why: str) -> HandlerError:
    return TransientError("embeddings_unavailable", f"The embeddings server is not available: {why}.")


def _invalid(why: str) -> HandlerError:
    return PermanentError("embeddings_invalid", f"The embeddings server returned {why}.")
