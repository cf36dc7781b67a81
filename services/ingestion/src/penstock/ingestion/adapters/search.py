"""Searches by retrieval's HTTP API (port: Searcher)."""

from collections.abc import Sequence

import httpx2
import msgspec

from penstock.ingestion.ports import Found
from penstock.messages.search import Attributes, Search
from penstock.streaming.errors import PermanentError, TransientError
from penstock.telemetry.http import Transport

_TIMEOUT = httpx2.Timeout(20, connect=2)


class _Result(msgspec.Struct):
    file_id: str
    file_name: str
    score: float
    attributes: Attributes
    text: str
    start: int
    end: int
    headings: tuple[str, ...] = ()
    page: int | None = None


class _Results(msgspec.Struct):
    results: list[_Result]


_results = msgspec.json.Decoder(_Results)


class RetrievalSearcher:
    """Port: Searcher. `url` is retrieval's."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._client = httpx2.AsyncClient(transport=Transport(), timeout=_TIMEOUT, trust_env=False)

    async def search(self, tenant: str, queries: Sequence[str], search: Search, limit: int) -> list[Found]:
        body = msgspec.json.encode({"tenant": tenant, "queries": queries, "search": search, "limit": limit})
        try:
            response = await self._client.post(
                f"{self._url}/search", content=body, headers={"content-type": "application/json"}
            )
        except httpx2.TransportError as error:
            raise TransientError(
                "search_unavailable", f"The index does not answer ({type(error).__name__})."
            ) from error
        if response.status_code >= 500 or response.status_code == 429:
            raise TransientError(
                "search_unavailable", f"The index is not ready (status {response.status_code})."
            )
        if not response.is_success:
            raise PermanentError("search_refused", f"The index refused the search ({response.status_code}).")
        return [
            Found(
                one.file_id,
                one.file_name,
                one.score,
                one.attributes,
                one.text,
                one.start,
                one.end,
                one.headings,
                one.page,
            )
            for one in _results.decode(response.content).results
        ]

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
