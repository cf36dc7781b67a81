"""The process: settings in, HTTP server up, models loading in the background."""

import os
import signal
import sys
from importlib import metadata

import structlog
import uvicorn
from pydantic import ValidationError

from penstock.inference.adapters.engine import EngineSettings
from penstock.inference.adapters.http.assembly import Parts, assemble
from penstock.inference.adapters.http.embed import MAX_CONCURRENT_REQUESTS
from penstock.inference.adapters.minilm import MiniLm
from penstock.inference.adapters.model_files import (
    ModelFileMissingError,
    default_embedding_model,
    text_model_files,
)
from penstock.inference.adapters.openvino_text import KV_BLOCK_TOKENS, TextModelSource
from penstock.inference.domain.generation import Limits
from penstock.inference.settings import Settings
from penstock.telemetry.asgi import Traced
from penstock.telemetry.instruments import watch_readiness
from penstock.telemetry.measured import Measured
from penstock.telemetry.setup import set_up

log = structlog.get_logger(__name__)


def make_parts(settings: Settings) -> Parts:
    """Return what the service is made of. Raises ModelFileMissingError."""
    files = text_model_files(settings.model, settings.model_adapter)
    source = TextModelSource(
        path=files.model,
        adapter=files.adapter,
        cache=settings.model_cache,
        kv_cache_tokens=settings.inference_kv_cache_tokens,
        max_batch_size=settings.inference_max_batch_size,
        max_batched_tokens=settings.inference_max_batched_tokens,
        prefix_caching=settings.inference_prefix_caching,
        threads=settings.inference_threads,
    )
    encoder = settings.embedding_model or default_embedding_model()
    return Parts(
        load_text=source.load,
        load_embeddings=lambda: MiniLm(encoder, settings.embedding_max_tokens, settings.embedding_streams),
        engine=EngineSettings(
            max_batch_size=settings.inference_max_batch_size,
            max_concurrent_requests=settings.inference_max_concurrent_requests,
            prime_from=KV_BLOCK_TOKENS if settings.inference_prefix_caching else None,
            niceness=settings.inference_niceness,
        ),
        limits=Limits(
            max_input_tokens=settings.inference_max_input_tokens,
            max_total_tokens=settings.inference_max_total_tokens,
            max_concurrent_requests=settings.inference_max_concurrent_requests,
        ),
        model_id=settings.model_id or files.name,
        embedding_model_id=settings.embedding_model_id,
        embedding_max_tokens=settings.embedding_max_tokens,
        embedding_streams=settings.embedding_streams,
        embedding_max_requests=MAX_CONCURRENT_REQUESTS,
        max_body_bytes=settings.inference_max_body_bytes,
        version=metadata.version("penstock-inference"),
    )


def main() -> None:
    """Serve until SIGTERM or SIGINT; exit code 1 when the settings or the models are of no use."""
    set_up("inference")
    try:
        settings = Settings()
        parts = make_parts(settings)
    except (ValidationError, ModelFileMissingError) as error:
        log.error("cannot start", error=str(error))
        sys.exit(1)
    failed: list[str] = []

    def give_up(reason: str) -> None:
        failed.append(reason)
        server.should_exit = True

    assembly = assemble(parts, give_up)
    watch_readiness(assembly.service.readiness)
    server = uvicorn.Server(
        uvicorn.Config(
            Traced(Measured(assembly.app)),
            host=settings.inference_host,
            port=settings.inference_port,
            loop="uvloop",
            http="httptools",
            ws="none",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=settings.inference_drain_seconds,
        )
    )
    # uvicorn raises the signal that stopped it once more when it is done; a clean stop is exit code 0.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    server.run()
    code = 1 if failed or not server.started else 0
    if not assembly.engine.wait_closed(1.0):
        # The thread is inside OpenVINO (loading, or a long step) and cannot be interrupted; the interpreter
        # must not tear down what it uses, so the process ends here.
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
