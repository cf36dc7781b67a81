"""The routes of files and vector stores, which the ingestion service answers."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from fastapi import FastAPI, Request, Response

from penstock.gateway.adapters.http import schema
from penstock.gateway.adapters.http.forward import Forwarding, Passing
from penstock.gateway.adapters.http.service import Service
from penstock.messages.event import JSON

FILES, STORES = "Files", "Vector stores"
_STORE = "/v1/vector_stores/{vector_store_id}"
_FILE = _STORE + "/files/{file_id}"
_BATCH = _STORE + "/file_batches/{batch_id}"


class Route(NamedTuple):
    """One operation. `body` is the media type of what it takes, "" for nothing."""

    method: str
    path: str
    operation_id: str
    summary: str
    tag: str = STORES
    body: str = ""

    @property
    def is_upload(self) -> bool:
        """Whether its body is a whole file."""
        return self.body == "multipart/form-data"


ROUTES = (
    Route("POST", "/v1/files", "createFile", "Upload a file", FILES, "multipart/form-data"),
    Route("GET", "/v1/files", "listFiles", "List files", FILES),
    Route("GET", "/v1/files/{file_id}", "retrieveFile", "Describe a file", FILES),
    Route("DELETE", "/v1/files/{file_id}", "deleteFile", "Delete a file, in all stores, too", FILES),
    Route("GET", "/v1/files/{file_id}/content", "downloadFile", "The file as it was uploaded", FILES),
    Route("POST", "/v1/vector_stores", "createVectorStore", "Make a vector store", body=JSON),
    Route("GET", "/v1/vector_stores", "listVectorStores", "List vector stores"),
    Route("GET", _STORE, "getVectorStore", "Describe a store: counts of files by status, expiry"),
    Route("POST", _STORE, "modifyVectorStore", "Change a store's name, metadata or expiry", body=JSON),
    Route("DELETE", _STORE, "deleteVectorStore", "Delete a store; its files stay"),
    Route("POST", _STORE + "/search", "searchVectorStore", "Search a store", body=JSON),
    Route("POST", _STORE + "/files", "createVectorStoreFile", "Put a file into a store", body=JSON),
    Route("GET", _STORE + "/files", "listVectorStoreFiles", "List a store's files"),
    Route("GET", _FILE, "getVectorStoreFile", "How far a file is in a store, and why it failed"),
    Route("POST", _FILE, "updateVectorStoreFileAttributes", "Set a file's attributes", body=JSON),
    Route("DELETE", _FILE, "deleteVectorStoreFile", "Take a file out of a store"),
    Route("GET", _FILE + "/content", "retrieveVectorStoreFileContent", "The text parsed from a file"),
    Route(
        "POST",
        _STORE + "/file_batches",
        "createVectorStoreFileBatch",
        "Put many files into a store",
        body=JSON,
    ),
    Route("GET", _BATCH, "getVectorStoreFileBatch", "How far a batch is"),
    Route("POST", _BATCH + "/cancel", "cancelVectorStoreFileBatch", "Stop what has not begun of a batch"),
    Route("GET", _BATCH + "/files", "listFilesInVectorStoreBatch", "List a batch's files"),
)


def add_documents(app: FastAPI) -> None:
    """Add the routes to the app."""
    for route in ROUTES:
        app.add_api_route(
            route.path,
            _endpoint(route),
            methods=[route.method],
            operation_id=route.operation_id,
            summary=route.summary,
            description="As in OpenAI's API.",
            tags=[route.tag],
            response_class=Response,
            openapi_extra=_described(route),
        )


def _endpoint(route: Route) -> Callable[[Request], Awaitable[Response]]:
    async def forward(request: Request) -> Response:
        service: Service = request.app.state.service
        limits, places = service.limits, [service.open_requests]
        if route.is_upload:
            places.append(service.uploads)
        most = limits.max_upload if route.is_upload else limits.max_body
        return Forwarding(service, Passing(service.ingestion, route.path, most, places))

    return forward


def _described(route: Route) -> dict[str, Any]:
    ids = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
    content = {"application/octet-stream": {}} if route.operation_id == "downloadFile" else _OBJECT
    described: dict[str, Any] = {
        "security": schema.SECURITY,
        "parameters": [schema.parameter("path", name, _IDS[name]) for name in ids],
        "responses": {
            "200": schema.ok("As OpenAI's API says", **content),
            **schema.failures(**_failures(route)),
        },
    }
    if route.body:
        described["requestBody"] = {"required": True, "content": _UPLOAD if route.is_upload else _OBJECT}
    return described


_IDS = {
    "file_id": "`id` of the file",
    "vector_store_id": "`id` of the store; `vs_default` is the one every tenant has",
    "batch_id": "`id` of the batch",
}
_OBJECT: dict[str, Any] = {JSON: {"schema": {"type": "object"}}}
_UPLOAD: dict[str, Any] = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "properties": {
                "file": {"type": "string", "format": "binary"},
                "purpose": {"type": "string", "examples": ["assistants"]},
            },
            "required": ["file", "purpose"],
        }
    }
}


def _failures(route: Route) -> dict[str, str]:
    told = {
        "_400": "A parameter is wrong; `param` names it",
        "_429": "Too many open requests or uploads",
        "_502": "The ingestion service broke off",
        "_504": "The ingestion service said nothing",
        **schema.COMMON,
        "_503": "The ingestion service is away, or not set up (`not_configured`)",
    }
    if "{" in route.path:
        told["_404"] = "No such thing, or another tenant's"
    if route.body:
        told |= {"_408": "The body took too long", "_413": "The body is too large"}
    return dict(sorted(told.items()))
