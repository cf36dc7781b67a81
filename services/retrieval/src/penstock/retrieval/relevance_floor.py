"""From which cosine on a passage is about a question, which depends on the model that embeds."""

import time
from collections.abc import Awaitable, Callable

import structlog

from penstock.clients.models import Models
from penstock.streaming.errors import HandlerError

LOOKED_UP_S = 300.0
"""After so long the model is asked for its name again: it may be another one by then."""
UNKNOWN_MODEL = 0.25
"""Low for most models: a passage too many rather than one too few."""
log = structlog.get_logger()


class RelevanceFloor:
    """The floor of the model that embeds now. `model_id` names it, `now` gives seconds."""

    def __init__(
        self,
        model_id: Callable[[], Awaitable[str]],
        models: Models,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model_id = model_id
        self._models = models
        self._now = now
        self._model = ""
        self._floor = UNKNOWN_MODEL
        self._until = 0.0

    async def get(self) -> float:
        """Return the floor; the one of before while the model cannot be asked."""
        if self._now() >= self._until:
            self._until = self._now() + LOOKED_UP_S
            await self._look_up()
        return self._floor

    async def _look_up(self) -> None:
        try:
            model = await self._model_id()
        except HandlerError as error:
            self._until = 0.0
            log.warning("relevance_floor_not_looked_up", reason=error.message)
            return
        if model == self._model:
            return
        profile = self._models.embedding(model)
        self._model = model
        self._floor = profile.relevance_floor if profile else UNKNOWN_MODEL
        log.info("relevance_floor", model=model, floor=self._floor, known=profile is not None)
