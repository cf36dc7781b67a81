"""A server that speaks Text Generation Inference's dialect (port: Backend)."""

import msgspec
from pydantic import SecretStr

from penstock.clients.errors import ModelServerError
from penstock.clients.tgi import TgiServer
from penstock.gateway.ports import BackendAway

TIMEOUT_S = 5.0


class _Info(msgspec.Struct):
    """The part of TGI's GET /info that is wanted."""

    model_id: str


class TgiBackend:
    """One backend, by its base URL."""

    def __init__(self, url: str, key: SecretStr | None = None) -> None:
        self.name = url
        self._server = TgiServer(url, key, TIMEOUT_S)

    async def models(self) -> list[str]:
        try:
            info = await self._server.info(_Info)
        except ModelServerError as error:
            raise BackendAway(f"{self.name}: {error.why}") from error
        return [info.model_id]

    async def close(self) -> None:
        await self._server.close()
