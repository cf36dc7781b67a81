"""A server that speaks Text Generation Inference's dialect (port: Backend)."""

import httpx2
import msgspec

from penstock.gateway.ports import BackendAway

TIMEOUT_S = 5.0


class _Info(msgspec.Struct):
    """The part of TGI's GET /info that is wanted."""

    model_id: str


class TgiBackend:
    """One backend, by its base URL."""

    def __init__(self, url: str, client: httpx2.AsyncClient) -> None:
        self.name = url
        self._url = f"{url}/info"
        self._client = client

    async def models(self) -> list[str]:
        try:
            response = await self._client.get(self._url, timeout=TIMEOUT_S)
            response.raise_for_status()
            info = msgspec.json.decode(response.content, type=_Info)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise BackendAway(f"{self._url}: {type(error).__name__} {error}".rstrip()) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BackendAway(f"{self._url}: not TGI's /info: {error}") from error
        return [info.model_id]
