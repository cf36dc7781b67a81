"""The rules of stores, as the ingestion service keeps them."""

from urllib.parse import quote

import httpx2
import msgspec

from penstock.gateway.adapters.upstream import Outgoing, Upstream, tenant_header
from penstock.gateway.domain import errors
from penstock.messages.chat import AnswersFrom


class _Store(msgspec.Struct):
    answers: AnswersFrom | None = None


class StoreRules:
    """Asks the ingestion service for a store, as its tenant."""

    def __init__(self, ingestion: Upstream) -> None:
        self._ingestion = ingestion

    async def of(self, tenant: str, store: str) -> AnswersFrom | None:
        """Return what a store says that its answers rest on; None: nothing, or it is not there.

        Raises ApiError.
        """
        if not self._ingestion.is_set_up:
            return None
        target = f"/v1/vector_stores/{quote(store, safe='')}".encode()
        outgoing = Outgoing("GET", target, [tenant_header(tenant)], None)
        async with self._ingestion.send(outgoing) as response:
            if response.status_code == httpx2.codes.NOT_FOUND:
                return None
            if response.status_code != httpx2.codes.OK:
                raise errors.upstream_failed(self._ingestion.name)
            return await self._read(response)

    async def _read(self, response: httpx2.Response) -> AnswersFrom | None:
        try:
            body = await response.aread()
            return msgspec.json.decode(body, type=_Store).answers
        except (httpx2.HTTPError, msgspec.DecodeError) as error:
            raise errors.upstream_failed(self._ingestion.name) from error
