"""Puts the parts together and starts and stops them with the application."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from starlette.routing import Router

from penstock.inference.adapters.embedding_batcher import EmbeddingBatcher
from penstock.inference.adapters.engine import BatchEngine, EngineSettings
from penstock.inference.adapters.http.app import make_app
from penstock.inference.adapters.http.service import Service
from penstock.inference.adapters.http.tgi_metrics import TgiMetrics
from penstock.inference.adapters.minilm import MiniLm
from penstock.inference.adapters.openvino_text import TextModel
from penstock.inference.domain.generation import Limits
from penstock.telemetry.instruments import watched

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the service is made of."""

    load_text: Callable[[], TextModel]
    load_embeddings: Callable[[], MiniLm]
    engine: EngineSettings
    limits: Limits
    model_id: str
    embedding_model_id: str
    embedding_max_tokens: int
    embedding_streams: int
    embedding_max_requests: int
    max_body_bytes: int
    version: str


@dataclass(frozen=True, slots=True)
class Assembly:
    """The application and the parts that a caller may want to look at."""

    app: Router
    service: Service
    engine: BatchEngine[TextModel]


def assemble(parts: Parts, on_hopeless: Callable[[str], None]) -> Assembly:
    """Return the application. `on_hopeless` is called when a model cannot be loaded at all."""

    def loaded(model: TextModel) -> None:
        service.loaded_tokenizer = model.tokenizer
        service.readiness.ready("model")

    def lost(reason: str, again: bool) -> None:
        service.readiness.waiting("model", "loading again" if again else reason)
        if not again:
            on_hopeless(reason)

    engine: BatchEngine[TextModel] = BatchEngine(parts.load_text, parts.engine, loaded, lost)
    service = Service(
        engine=engine,
        embeddings=EmbeddingBatcher(
            parts.load_embeddings,
            max_tokens=parts.embedding_max_tokens,
            max_concurrent_requests=parts.embedding_max_requests,
            streams=parts.embedding_streams,
        ),
        metrics=TgiMetrics(parts.model_id, lambda: engine.queue_size, lambda: engine.batch_size),
        limits=parts.limits,
        model_id=parts.model_id,
        embedding_model_id=parts.embedding_model_id,
        max_batch_size=parts.engine.max_batch_size,
        max_body_bytes=parts.max_body_bytes,
        version=parts.version,
    )

    async def load_embeddings() -> None:
        try:
            await service.embeddings.start()
        except (RuntimeError, OSError, ValueError, KeyError) as error:
            log.error("the embedding model cannot be loaded", error=str(error))
            service.readiness.waiting("embeddings", f"{type(error).__name__}: {error}")
            on_hopeless(str(error))
            return
        service.readiness.ready("embeddings")

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        service.readiness.waiting("model", "loading")
        service.readiness.waiting("embeddings", "loading")
        engine.start()
        task = asyncio.create_task(load_embeddings())
        try:
            with watched(service.metrics.reads()):
                yield
        finally:
            task.cancel()
            engine.stop()
            service.embeddings.stop()
            service.long_work.stop()

    return Assembly(make_app(service, lifespan), service, engine)
