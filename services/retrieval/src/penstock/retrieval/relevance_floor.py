"""From which cosine on a passage is about a question, which depends on the model that embeds."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from penstock.clients.models import Models
from penstock.streaming.errors import HandlerError

LOOKED_UP_EVERY_S = 300.0
"""The model may be another one by then."""
RETRY_S = 5.0
UNKNOWN_MODEL = 0.25
"""Low for most models: a passage too many rather than one too few."""
log = structlog.get_logger()


class RelevanceFloor:
    """The floor of the model that embeds, looked up beside the questions; `model_id` names the model."""

    def __init__(self, model_id: Callable[[], Awaitable[str]], models: Models) -> None:
        self._model_id = model_id
        self._models = models
        self._model = ""
        self.value = UNKNOWN_MODEL

    async def run(self, stop: asyncio.Event) -> None:
        """Look it up now and then until `stop` is set."""
        while not stop.is_set():
            pause_s = LOOKED_UP_EVERY_S if await self.look_up() else RETRY_S
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause_s)

    async def look_up(self) -> bool:
        """Ask which model embeds; return whether it said so. If not, the floor stays as it was."""
        try:
            model = await self._model_id()
        except HandlerError:  # readiness tells that the server is away
            return False
        if model != self._model:
            profile = self._models.embedding(model)
            self._model = model
            self.value = profile.relevance_floor if profile else UNKNOWN_MODEL
            log.info("relevance_floor", model=model, floor=self.value, known=profile is not None)
        return True
