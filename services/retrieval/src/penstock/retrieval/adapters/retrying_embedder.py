"""An embedder that outlasts an outage of the one behind it (port: Embedder)."""

from collections.abc import Sequence

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential

from penstock.retrieval.domain.passages import Vector
from penstock.retrieval.ports import Embedder
from penstock.streaming.errors import TransientError

log = structlog.get_logger()


class RetryingEmbedder:
    """Repeats on transient errors without end: documents have no deadline, and none is lost by waiting."""

    def __init__(self, embedder: Embedder, longest_wait: float = 5.0) -> None:
        self._embedder = embedder
        self._retries = AsyncRetrying(
            retry=retry_if_exception_type(TransientError),
            wait=wait_exponential(multiplier=0.1, max=longest_wait),
            before_sleep=_tell,
        )

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        return await self._retries(self._embedder.embed, texts)


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("embeddings_awaited", attempt=state.attempt_number, reason=str(error))
