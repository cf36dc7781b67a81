"""Files and vector stores by the gateway's API, as far as the commands need them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import msgspec

from penstock.devstack.gateway import raise_for_error
from penstock.messages.chat import AnswersFrom

PAGE = 100
T = TypeVar("T", bound=msgspec.Struct)
Attributes = Mapping[str, str | int | float | bool]


class LastError(msgspec.Struct):
    """Why a file failed."""

    code: str
    message: str


class StoreFile(msgspec.Struct):
    """A file in a store."""

    id: str
    status: str
    filename: str
    document_id: str
    sha256: str
    state: str
    created_at: int
    usage_bytes: int
    attributes: dict[str, str | int | float | bool] = {}
    last_error: LastError | None = None
    chunks: int = 0
    pages: int = 0

    @property
    def path(self) -> str:
        """What the file is called here: its path or address when it was ingested, else its name."""
        return str(self.attributes.get("path", self.filename))


class Batch(msgspec.Struct):
    """Files that were put into a store together."""

    id: str


class Content(msgspec.Struct):
    """A text."""

    text: str


class Result(msgspec.Struct):
    """A passage that a search has found."""

    file_id: str
    filename: str
    score: float
    start: int
    end: int
    content: list[Content]
    attributes: dict[str, str | int | float | bool] = {}
    headings: list[str] = []
    page: int | None = None


class _Files(msgspec.Struct):
    data: list[StoreFile]
    has_more: bool
    last_id: str | None = None


class _Store(msgspec.Struct):
    answers: AnswersFrom | None = None


class _Results(msgspec.Struct):
    data: list[Result]


class _Uploaded(msgspec.Struct):
    id: str


class Stores:
    """One store, over a client of `gateway.connected`. All methods: DevstackError."""

    def __init__(self, client: httpx2.AsyncClient, store_id: str) -> None:
        self._client = client
        self._url = f"/v1/vector_stores/{store_id}"

    async def files(self, batch_id: str = "") -> AsyncIterator[StoreFile]:
        """All files of the store, or of one of its batches, oldest first."""
        url = f"{self._url}/file_batches/{batch_id}/files" if batch_id else f"{self._url}/files"
        after: dict[str, str] = {}
        while True:
            page = await self._get(url, _Files, {"limit": str(PAGE), "order": "asc", **after})
            for file in page.data:
                yield file
            if not page.has_more or page.last_id is None:
                return
            after = {"after": page.last_id}

    async def upload(self, name: str, content: Path | bytes) -> str:
        """Sends a file's bytes, and returns its id."""
        if isinstance(content, bytes):
            return await self._upload(name, content)
        with content.open("rb") as file:
            return await self._upload(name, file)

    async def attach(self, files: Sequence[tuple[str, Attributes]]) -> Batch:
        """Puts uploaded files into the store."""
        body = {"files": [{"file_id": file_id, "attributes": dict(noted)} for file_id, noted in files]}
        return await self._post(f"{self._url}/file_batches", Batch, body)

    async def delete(self, file_id: str) -> None:
        """Deletes a file, from all stores."""
        response = await self._client.delete(f"/v1/files/{file_id}")
        raise_for_error(response, response.content)

    async def policy(self) -> AnswersFrom | None:
        """What answers from the store rest on where a question does not say; None: it has no rule."""
        return (await self._get(self._url, _Store)).answers

    async def set_policy(self, answers: AnswersFrom | None) -> None:
        """Gives the store a rule, or none."""
        await self._post(self._url, _Store, {"answers": answers})

    async def search(self, query: str, limit: int) -> list[Result]:
        """The best passages."""
        body = {"query": query, "max_num_results": limit}
        return (await self._post(f"{self._url}/search", _Results, body)).data

    async def _upload(self, name: str, content: Any) -> str:
        response = await self._client.post(
            "/v1/files", data={"purpose": "assistants"}, files={"file": (name, content)}
        )
        raise_for_error(response, response.content)
        return msgspec.json.decode(response.content, type=_Uploaded).id

    async def _get(self, url: str, kind: type[T], query: Mapping[str, str] | None = None) -> T:
        response = await self._client.get(url, params=query)
        raise_for_error(response, response.content)
        return msgspec.json.decode(response.content, type=kind)

    async def _post(self, url: str, kind: type[T], body: Mapping[str, Any]) -> T:
        response = await self._client.post(url, json=body)
        raise_for_error(response, response.content)
        return msgspec.json.decode(response.content, type=kind)
