"""Which models there are: named by a setting, or asked from the backends and kept."""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from penstock.gateway.domain.errors import no_such_model, not_ready
from penstock.gateway.domain.wire import Model, ModelList
from penstock.gateway.ports import Backend, BackendAway
from penstock.telemetry.readiness import Readiness

REFRESH_S = 30.0
RETRY_S = 1.0
log = structlog.get_logger(__name__)


class Models:
    """The models this server offers. What a backend served once is kept while it is away."""

    def __init__(self, named: Sequence[str], backends: Sequence[Backend], now_s: Callable[[], int]) -> None:
        self._backends = backends
        self._now_s = now_s
        self._by_backend: dict[str, list[str]] = {"": list(named)} if named else {}
        self._seen: dict[str, Model] = {}
        self._asks = not named
        self._note()

    @property
    def names(self) -> list[str]:
        """Names in the order of the settings, each once."""
        return list(dict.fromkeys(name for names in self._by_backend.values() for name in names))

    def listed(self) -> ModelList:
        """Return all models. Raises ApiError 503 until one is known."""
        return ModelList(data=[self._seen[name] for name in self._known()])

    def find(self, name: str) -> Model:
        """Return a model. Raises ApiError 404 if there is none of this name, 503 until one is known."""
        known = self._known()
        if name not in known:
            raise no_such_model(name, known)
        return self._seen[name]

    async def run(self, readiness: Readiness, refresh_s: float = REFRESH_S, retry_s: float = RETRY_S) -> None:
        """Ask the backends again and again; needs to run only where no models are named."""
        if not self._asks:
            readiness.ready("backends")
            return
        while True:
            reasons = await self.refresh()
            if self.names:
                readiness.ready("backends")
            else:
                readiness.waiting("backends", "; ".join(reasons) or "no model yet")
            await asyncio.sleep(refresh_s if self.names and not reasons else retry_s)

    async def refresh(self) -> list[str]:
        """Ask every backend once, and return why some did not answer."""
        answers = await asyncio.gather(*(self._ask(backend) for backend in self._backends))
        self._note()
        return [reason for reason in answers if reason]

    async def _ask(self, backend: Backend) -> str:
        try:
            served = await backend.models()
        except BackendAway as error:
            return str(error)
        if served != self._by_backend.get(backend.name):
            log.info("models_of_a_backend", backend=backend.name, models=served)
        self._by_backend[backend.name] = served
        return ""

    def _note(self) -> None:
        for name in self.names:
            self._seen.setdefault(name, Model(id=name, created=self._now_s()))

    def _known(self) -> list[str]:
        names = self.names
        if not names:
            raise not_ready(["backends: no backend has named its model yet"])
        return names
