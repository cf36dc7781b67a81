"""The REST API of a stand, as these tests use it."""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

import httpx2

from e2e.operations.stands import OperatedStand
from e2e.stub.scripted import Script, mark


class Api:
    """Asks the first gateway of a stand."""

    def __init__(self, stand: OperatedStand) -> None:
        door = stand.door()
        self._model = door.model
        headers = {"authorization": f"Bearer {door.key}"}
        base = f"{stand.gateways()[0]}/v1"
        self._http = httpx2.Client(base_url=base, headers=headers, timeout=60, trust_env=False)

    def _body(self, script: Script) -> dict[str, object]:
        messages = [{"role": "user", "content": f"What is a penstock? {mark(script)}"}]
        return {"model": self._model, "messages": messages}

    def ask(self, script: Script, key: str = "") -> dict[str, Any]:
        """Ask, and return the answer."""
        headers = {"idempotency-key": key} if key else {}
        answered = self._http.post("/chat/completions", json=self._body(script), headers=headers)
        return dict(_right(answered).json())

    def begin(self, script: Script) -> str:
        """Ask in the background, and go with the first event; return the request's id."""
        body = {**self._body(script), "background": True, "stream": True}
        with self._http.stream("POST", "/chat/completions", json=body) as answering:
            line = next(line for line in answering.iter_lines() if line.startswith("data: "))
            return str(json.loads(line.removeprefix("data: "))["id"])

    def try_ask(self, script: Script) -> int:
        """Ask, and return the HTTP status."""
        return self._http.post("/chat/completions", json=self._body(script)).status_code

    def try_stores(self) -> int:
        """Ask for the vector stores, and return the HTTP status."""
        return self._http.get("/vector_stores").status_code

    def status(self, request_id: str) -> int:
        """Return the HTTP status of a request."""
        return self._http.get(f"/chat/completions/{request_id}").status_code

    def answer(self, request_id: str) -> httpx2.Response:
        """Return what stands for a request by now: 200 with the answer, or 202."""
        return _right(self._http.get(f"/chat/completions/{request_id}"))

    def stream(self, request_id: str, after: int) -> str:
        """Return the stream of a request from a character on, as it was sent."""
        url = f"/chat/completions/{request_id}/stream"
        return _right(self._http.get(url, params={"starting_after": after})).text

    def search(self, query: str) -> list[tuple[str, str, float]]:
        """Return file, text and score of what is found in the first store."""
        stores = _right(self._http.get("/vector_stores")).json()["data"]
        found = self._http.post(f"/vector_stores/{stores[0]['id']}/search", json={"query": query})
        data = _right(found).json()["data"]
        return [(one["filename"], one["content"][0]["text"], round(one["score"], 5)) for one in data]

    async def finished(self, request_id: str, seconds: float = 120) -> dict[str, Any]:
        """Wait for the end of a request, and return its answer."""
        deadline = time.monotonic() + seconds
        while (response := self.answer(request_id)).status_code == 202:
            assert time.monotonic() < deadline, "it never ended"
            await asyncio.sleep(0.5)
        return dict(response.json())


def _right(response: httpx2.Response) -> httpx2.Response:
    assert response.status_code in (200, 202), response.text
    return response


def said(completion: Mapping[str, Any]) -> tuple[str, list[object]]:
    """Return the text of an answer and its citations."""
    message = completion["choices"][0]["message"]
    return message["content"], message.get("citations", [])
