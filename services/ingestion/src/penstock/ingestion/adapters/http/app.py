"""The routes of files and vector stores. The gateway says in a header whose request it is."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import quote

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.responses import StreamingResponse

from penstock.ingestion.adapters.http import objects
from penstock.ingestion.adapters.http.bodies import (
    AttachFile,
    ChangeFile,
    ChangeStore,
    CreateBatch,
    CreateStore,
    SearchStore,
    chunking_of,
    page_of,
    read,
)
from penstock.ingestion.adapters.http.errors import EXPECTED, ApiError, invalid, on_error
from penstock.ingestion.adapters.http.objects import deleted, listed, reply
from penstock.ingestion.adapters.http.upload import uploaded
from penstock.ingestion.domain.chunks import Chunks
from penstock.ingestion.domain.model import Status, Store, content_blob, file_blob
from penstock.ingestion.handler.stores import StoreKeeper
from penstock.ingestion.handler.uploads import Uploads
from penstock.ingestion.ports import Attachment, Bell, Blobs, Documents, Files, Searcher, Stores
from penstock.messages.search import DEFAULT_STORE

TENANT = "x-penstock-tenant"
STATUSES = ("in_progress", "completed", "failed", "cancelled")
_FILES, _STORES = "/v1/files", "/v1/vector_stores"
_STORE = _STORES + "/{store_id}"
_STORE_FILES, _BATCHES = f"{_STORE}/files", f"{_STORE}/file_batches"


@dataclass(frozen=True, slots=True)
class Service:
    """The parts behind the routes; `folder` takes uploads while they arrive."""

    files: Files
    stores: Stores
    documents: Documents
    uploads: Uploads
    keeper: StoreKeeper
    blobs: Blobs
    searcher: Searcher
    bell: Bell
    max_file_bytes: int
    folder: Path


def create_app(service: Service) -> FastAPI:
    """Return the app."""
    app = FastAPI(
        title="Penstock ingestion",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "logs": False},  # we have our own, and one is enough
        exception_handlers=dict.fromkeys(EXPECTED, on_error),
    )
    app.state.service = service
    for method, path, route in (
        ("POST", _FILES, create_file),
        ("GET", _FILES, list_files),
        ("GET", _FILES + "/{file_id}", retrieve_file),
        ("DELETE", _FILES + "/{file_id}", delete_file),
        ("GET", _FILES + "/{file_id}/content", file_content),
        ("POST", _STORES, create_store),
        ("GET", _STORES, list_stores),
        ("GET", _STORE, retrieve_store),
        ("POST", _STORE, change_store),
        ("DELETE", _STORE, delete_store),
        ("POST", f"{_STORE}/search", search_store),
        ("POST", _STORE_FILES, attach_file),
        ("GET", _STORE_FILES, list_store_files),
        ("GET", _STORE_FILES + "/{file_id}", retrieve_store_file),
        ("POST", _STORE_FILES + "/{file_id}", change_store_file),
        ("DELETE", _STORE_FILES + "/{file_id}", detach_file),
        ("GET", _STORE_FILES + "/{file_id}/content", store_file_content),
        ("POST", _BATCHES, create_batch),
        ("GET", _BATCHES + "/{batch_id}", retrieve_batch),
        ("POST", _BATCHES + "/{batch_id}/cancel", cancel_batch),
        ("GET", _BATCHES + "/{batch_id}/files", list_batch_files),
    ):
        app.add_api_route(path, route, methods=[method], response_class=Response)
    return app


def _at(request: Request) -> tuple[Service, str]:
    """Return the parts, and whose request it is. Raises ApiError."""
    tenant = request.headers.get(TENANT, "")
    if not tenant:
        raise ApiError(401, "no_tenant", f"Only the gateway may call; header {TENANT} is missing.")
    return cast(Service, request.app.state.service), tenant


def _named(request: Request, name: str) -> str:
    return cast(str, request.path_params[name])


async def create_file(request: Request) -> Response:
    """Take an upload."""
    service, tenant = _at(request)
    async with uploaded(request, service.max_file_bytes, service.folder) as upload:
        kept = await service.uploads.keep(
            tenant, upload.name, upload.purpose, upload.path, upload.size, upload.digest
        )
    return reply(objects.file(kept))


async def list_files(request: Request) -> Response:
    """List files; the extension `filename` finds those of one name."""
    service, tenant = _at(request)
    page, given = page_of(request), request.query_params
    found = await service.files.page(tenant, page, given.get("purpose", ""), given.get("filename", ""))
    return reply(listed(found, page, objects.file))


async def retrieve_file(request: Request) -> Response:
    """Describe a file."""
    service, tenant = _at(request)
    return reply(objects.file(await service.files.get(tenant, _named(request, "file_id"))))


async def delete_file(request: Request) -> Response:
    """Delete a file, also from the stores it is in."""
    service, tenant = _at(request)
    gone = await service.files.delete(tenant, _named(request, "file_id"))
    return reply(deleted(gone.id, "file"))


async def file_content(request: Request) -> Response:
    """Give a file's bytes back."""
    service, tenant = _at(request)
    file = await service.files.get(tenant, _named(request, "file_id"))
    name = quote(file.name)
    # As a download: what users upload must not run as a page of this origin.
    headers = {
        "content-disposition": f"attachment; filename*=UTF-8''{name}",
        "content-length": str(file.size),
        "x-content-type-options": "nosniff",
    }
    body: AsyncIterator[bytes] = service.blobs.stream(file_blob(tenant, file.digest))
    return StreamingResponse(body, media_type="application/octet-stream", headers=headers)


async def create_store(request: Request) -> Response:
    """Make a store, and put files into it."""
    service, tenant = _at(request)
    wish = await read(request, CreateStore, empty=True)
    chunking = chunking_of(wish.chunking_strategy)
    store = await service.keeper.create(
        tenant,
        wish.name or "",
        wish.expires_after.days if wish.expires_after else None,
        wish.metadata or {},
        [Attachment(file_id, {}, chunking) for file_id in wish.file_ids],
        answers=wish.answers,
    )
    return reply(objects.store(store))


async def list_stores(request: Request) -> Response:
    """List stores."""
    service, tenant = _at(request)
    page = page_of(request)
    return reply(listed(await service.stores.page(tenant, page), page, objects.store))


async def retrieve_store(request: Request) -> Response:
    """Describe a store."""
    return reply(objects.store(await _store(request)))


async def change_store(request: Request) -> Response:
    """Change a store's name, expiry, metadata, or what its answers rest on."""
    service, tenant = _at(request)
    wish = await read(request, ChangeStore)
    changed = await service.stores.change(tenant, _named(request, "store_id"), wish.changes())
    return reply(objects.store(changed))


async def delete_store(request: Request) -> Response:
    """Delete a store; its files stay."""
    service, tenant = _at(request)
    store_id = _named(request, "store_id")
    if store_id == DEFAULT_STORE:
        raise invalid("vector_store_id", "The default store cannot be deleted. Delete its files instead.")
    await service.stores.delete(tenant, store_id)
    return reply(deleted(store_id, "vector_store.deleted"))


async def search_store(request: Request) -> Response:
    """Find passages in a store."""
    service, tenant = _at(request)
    wish = await read(request, SearchStore)
    store = await _store(request)
    await service.stores.touch(tenant, store.id)
    found = await service.searcher.search(tenant, wish.queries, wish.search(store.id), wish.max_num_results)
    return reply(objects.results(wish.queries, found))


async def attach_file(request: Request) -> Response:
    """Put a file into a store."""
    service, tenant = _at(request)
    wish = await read(request, AttachFile)
    [document] = await service.documents.attach(tenant, _named(request, "store_id"), [wish.attachment()])
    await service.bell.ring()
    return reply(objects.store_file(document))


async def list_store_files(request: Request) -> Response:
    """List the files in a store; `filter` is one of the states."""
    return await _documents(request, "")


async def retrieve_store_file(request: Request) -> Response:
    """Describe a file in a store: how far it is, or why it failed."""
    service, tenant = _at(request)
    document = await service.documents.get(tenant, _named(request, "store_id"), _named(request, "file_id"))
    return reply(objects.store_file(document))


async def change_store_file(request: Request) -> Response:
    """Replace the attributes of a file in a store."""
    service, tenant = _at(request)
    wish = await read(request, ChangeFile)
    document = await service.documents.change(
        tenant, _named(request, "store_id"), _named(request, "file_id"), wish.attributes or {}
    )
    await service.bell.ring()
    return reply(objects.store_file(document))


async def detach_file(request: Request) -> Response:
    """Take a file out of a store; the file stays."""
    service, tenant = _at(request)
    file_id = _named(request, "file_id")
    await service.documents.detach(tenant, _named(request, "store_id"), file_id)
    return reply(deleted(file_id, "vector_store.file.deleted"))


async def store_file_content(request: Request) -> Response:
    """Give the text of a file in a store, as it was read, chunk by chunk."""
    service, tenant = _at(request)
    document = await service.documents.get(tenant, _named(request, "store_id"), _named(request, "file_id"))
    if not document.content:
        raise ApiError(404, "not_found", f"The file has not been read yet; it is {document.status}.")
    kept = msgspec.msgpack.decode(await service.blobs.get(content_blob(document.content)), type=Chunks)
    return reply(objects.content(kept.chunks))


async def create_batch(request: Request) -> Response:
    """Put many files into a store."""
    service, tenant = _at(request)
    wish = await read(request, CreateBatch)
    batch = await service.keeper.attach_all(tenant, _named(request, "store_id"), wish.attachments())
    return reply(objects.batch(batch))


async def retrieve_batch(request: Request) -> Response:
    """Say how far a batch is."""
    service, tenant = _at(request)
    names = _named(request, "store_id"), _named(request, "batch_id")
    return reply(objects.batch(await service.documents.batch(tenant, *names)))


async def cancel_batch(request: Request) -> Response:
    """Give up what is not done of a batch."""
    service, tenant = _at(request)
    names = _named(request, "store_id"), _named(request, "batch_id")
    return reply(objects.batch(await service.documents.cancel(tenant, *names)))


async def list_batch_files(request: Request) -> Response:
    """List the files of a batch."""
    service, tenant = _at(request)
    batch = await service.documents.batch(tenant, _named(request, "store_id"), _named(request, "batch_id"))
    return await _documents(request, batch.id)


async def _documents(request: Request, batch_id: str) -> Response:
    service, tenant = _at(request)
    store = await _store(request)
    page, wanted = page_of(request), request.query_params.get("filter")
    if wanted is not None and wanted not in STATUSES:
        raise invalid("filter", f"filter must be one of {', '.join(STATUSES)}.")
    found = await service.documents.page(tenant, store.id, page, cast(Status | None, wanted), batch_id)
    return reply(listed(found, page, objects.store_file))


async def _store(request: Request) -> Store:
    service, tenant = _at(request)
    return await service.stores.get(tenant, _named(request, "store_id"))
