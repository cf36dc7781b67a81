"""A small stand-in for the gateway's files and vector stores: enough for the commands."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

STORE = "/v1/vector_stores/{store}"


@dataclass
class StoreServer:
    """``files`` by id; a document is done when it has been looked at ``looks`` times.

    Names with ``bad`` in them fail.
    """

    looks: int = 1
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    uploads: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    answers: str | None = None
    searches: list[dict[str, Any]] = field(default_factory=list)
    _seen: dict[str, int] = field(default_factory=dict)
    _batches: dict[str, list[str]] = field(default_factory=dict)

    @property
    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/files", self._upload, methods=["POST"]),
                Route("/v1/files/{file}", self._delete, methods=["DELETE"]),
                Route(f"{STORE}/files", self._list),
                Route(f"{STORE}/file_batches", self._attach, methods=["POST"]),
                Route(f"{STORE}/file_batches/{{batch}}/files", self._list),
                Route(STORE, self._store, methods=["GET", "POST"]),
                Route(f"{STORE}/search", self._search, methods=["POST"]),
            ]
        )

    def add(self, path: str, content: bytes, status: str) -> str:
        """Put a document there, as an earlier run has left it."""
        file_id = self._new(path, content)
        self.files[file_id] |= {"attributes": {"path": path}, "status": status}
        return file_id

    def _new(self, name: str, content: bytes) -> str:
        file_id = f"file-{len(self.files)}"
        self.files[file_id] = {
            "id": file_id,
            "status": "",
            "filename": name,
            "document_id": f"doc-{file_id}",
            "sha256": hashlib.sha256(content).hexdigest(),
            "state": "queued",
            "created_at": len(self.files),
            "usage_bytes": len(content),
            "attributes": {},
            "last_error": None,
            "chunks": 0,
            "pages": 0,
        }
        return file_id

    async def _upload(self, request: Request) -> Response:
        async with request.form() as form:
            file: Any = form["file"]
            self.uploads.append(file.filename)
            return JSONResponse({"id": self._new(file.filename, await file.read())})

    async def _attach(self, request: Request) -> Response:
        files = (await request.json())["files"]
        for one in files:
            file = self.files[one["file_id"]]
            if file["status"] != "in_progress":
                file |= {"attributes": one["attributes"], "status": "in_progress"}
        batch = f"vsfb_{len(self._batches)}"
        self._batches[batch] = [one["file_id"] for one in files]
        counts = {"in_progress": len(files), "completed": 0, "failed": 0, "cancelled": 0, "total": len(files)}
        return JSONResponse({"id": batch, "file_counts": counts})

    async def _list(self, request: Request) -> Response:
        batch = request.path_params.get("batch")
        ids = (
            [i for i in self._batches[batch] if i in self.files]
            if batch
            else [i for i, file in self.files.items() if file["status"]]
        )
        for file_id in ids if batch else ():
            self._look(file_id)
        after = request.query_params.get("after")
        rest = ids[ids.index(after) + 1 :] if after else ids
        page = rest[: int(request.query_params["limit"])]
        return JSONResponse(
            {
                "data": [self.files[file_id] for file_id in page],
                "has_more": len(rest) > len(page),
                "last_id": page[-1] if page else None,
            }
        )

    def _look(self, file_id: str) -> None:
        file = self.files[file_id]
        self._seen[file_id] = self._seen.get(file_id, 0) + 1
        if file["status"] != "in_progress" or self._seen[file_id] <= self.looks:
            return
        if "bad" in file["filename"]:
            error = {"code": "invalid_file", "message": "It is no PDF."}
            file |= {"status": "failed", "state": "failed", "last_error": error}
        else:
            file |= {"status": "completed", "state": "completed", "chunks": 3, "pages": 1}

    async def _delete(self, request: Request) -> Response:
        file_id = request.path_params["file"]
        del self.files[file_id]
        self.deleted.append(file_id)
        return JSONResponse({"id": file_id, "deleted": True})

    async def _store(self, request: Request) -> Response:
        if request.method == "POST":
            self.answers = (await request.json())["answers"]
        return JSONResponse({"id": request.path_params["store"], "answers": self.answers})

    async def _search(self, request: Request) -> Response:
        self.searches.append(await request.json())
        found = {
            "file_id": "file-0",
            "filename": "a.md",
            "score": 0.5,
            "start": 10,
            "end": 20,
            "content": [{"type": "text", "text": "A penstock\x1b[31m."}],
            "attributes": {"path": "docs/a.md"},
            "headings": ["Guide", "Gates"],
            "page": 4,
        }
        return JSONResponse({"data": [found]})
