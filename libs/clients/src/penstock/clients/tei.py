"""Embeddings from Text Embeddings Inference, or anything that speaks its `/embed`."""

from collections.abc import Sequence

import msgspec
from pydantic import SecretStr

from penstock.clients.errors import Codes, ModelServerError, WrongDialect, handler_error
from penstock.clients.server import ModelServer

BATCH = 32
"""Texts a call; the default `max_client_batch_size` of the server."""
CODES = Codes("The embeddings server", "embedding_refused", "embeddings_unavailable", "embeddings_invalid")
_VECTORS_BYTES = 16 << 20


class _Info(msgspec.Struct):
    model_id: str


_INFO = msgspec.json.Decoder(_Info)
_VECTORS = msgspec.json.Decoder(list[list[float]])


class TeiEmbedder:
    """Calls `{url}/embed` over connections that are kept; one text over the model's length is cut there."""

    def __init__(self, url: str, vector_size: int, key: SecretStr | None = None) -> None:
        self._server = ModelServer(url, key)
        self._vector_size = vector_size

    async def embed(self, texts: Sequence[str]) -> list[Sequence[float]]:
        """Return a vector a text, in order. Raises TransientError or PermanentError."""
        vectors: list[Sequence[float]] = []
        try:
            for first in range(0, len(texts), BATCH):
                vectors += await self._embed(texts[first : first + BATCH])
        except ModelServerError as error:
            raise handler_error(error, CODES) from error
        return vectors

    async def health(self) -> str | None:
        """Return None if the server answers that it is ready, else why it is waited for."""
        try:
            await self._server.fetch("/health")
        except ModelServerError as error:
            return f"{self._server.url}: {error.why}"
        return None

    async def model_id(self) -> str:
        """Return the name of the server's model. Raises TransientError or PermanentError."""
        try:
            return (await self._server.ask("/info", _INFO)).model_id
        except ModelServerError as error:
            raise handler_error(error, CODES) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()

    async def _embed(self, texts: Sequence[str]) -> list[list[float]]:
        body = msgspec.json.encode({"inputs": texts, "truncate": True})
        vectors = await self._server.ask("/embed", _VECTORS, body, _VECTORS_BYTES)
        if len(vectors) != len(texts):
            raise WrongDialect(f"{len(vectors)} vectors for {len(texts)} texts")
        for vector in vectors:
            if len(vector) != self._vector_size:
                raise WrongDialect(f"vectors of {len(vector)} numbers, the index has {self._vector_size}")
        return vectors
