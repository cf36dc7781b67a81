"""Search, and a new index on demand, over HTTP: for other services, which have authenticated the tenant."""

from typing import Annotated, Any, Protocol

import msgspec
import structlog
import uvicorn
from fastapi import FastAPI, Request, Response
from msgspec import Meta
from starlette.exceptions import HTTPException

from penstock.messages.search import Name, Search
from penstock.retrieval.domain.passages import Found
from penstock.retrieval.domain.scope import scope_of
from penstock.retrieval.searching import Searcher
from penstock.streaming.errors import HandlerError
from penstock.streaming.server import Server
from penstock.telemetry.asgi import Traced

MAX_BODY_BYTES = 64 * 1024
MAX_QUERIES = 4
MAX_QUERY_CHARACTERS = 8192

Limit = Annotated[int, Meta(ge=1, le=50)]
Query = Annotated[str, Meta(max_length=MAX_QUERY_CHARACTERS, pattern=r"\S")]
log = structlog.get_logger()


class SearchRequested(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /search`."""

    tenant: Name
    queries: Annotated[tuple[Query, ...], Meta(min_length=1, max_length=MAX_QUERIES)]
    search: Search = Search()
    limit: Limit = 10


class Progress(msgspec.Struct, frozen=True):
    """Body of `GET /reindex`: how many records of the log are in the new index, of how many.

    `error` says why the last one was given up, if it was.
    """

    running: bool
    done: int = 0
    total: int = 0
    error: str = ""


class Reindexing(Protocol):
    """Makes a new index beside the current one."""

    def begin(self) -> bool:
        """Begin, and return whether it did: not if one is being made, or this replica keeps none."""

    @property
    def progress(self) -> Progress:
        """How far it is."""


def make_app(searcher: Searcher, reindexing: Reindexing) -> FastAPI:
    """Return the app: `/search`, `/reindex`, `/livez`."""
    app = FastAPI(
        title="Penstock retrieval",
        openapi_url=None,
        telemetry={"tracing": False, "logs": False},  # we have our own, and one is enough
    )

    @app.post("/search")
    async def search(request: Request) -> Response:
        asked = _parse(await _body(request))
        scope = scope_of(asked.tenant, asked.search)
        limit = min(asked.limit, asked.search.max_results or asked.limit)
        found = await searcher.search(scope, asked.queries, limit)
        least = asked.search.min_score or 0.0
        return _json({"results": [_result(each) for each in found if each.score >= least]})

    @app.post("/reindex")
    async def reindex() -> Response:
        if not reindexing.begin():
            why = "A new index is being made already, or this replica keeps none."
            return _error(409, "reindex_refused", why)
        return _json(reindexing.progress, 202)

    @app.get("/reindex")
    async def reindex_progress() -> Response:
        return _json(reindexing.progress)

    @app.get("/livez")
    async def livez() -> Response:
        return _json({"live": True})

    @app.exception_handler(HandlerError)
    async def failed(_request: Request, error: HandlerError) -> Response:
        return _error(error.status, error.code, error.args[0].removeprefix(f"{error.code}: "))

    @app.exception_handler(HTTPException)
    async def refused(_request: Request, error: HTTPException) -> Response:
        return _error(error.status_code, "refused", str(error.detail))

    return app


class HttpServer(Server):
    """Serves an app and says on which port; leaves signals to the worker."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        traced = Traced(app)
        super().__init__(
            uvicorn.Config(traced, host, port, log_config=None, access_log=False, lifespan="off")
        )

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            for socket in server.sockets:
                log.info("search_served", address="{}:{}".format(*socket.getsockname()[:2]))


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise _Refused(413, "body_too_large", f"A body has at most {MAX_BODY_BYTES} bytes.")
    return bytes(body)


def _parse(body: bytes) -> SearchRequested:
    try:
        return msgspec.json.decode(body, type=SearchRequested)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Refused(400, "invalid_request", str(error)) from error


class _Refused(HandlerError):
    """A request that is answered with its fault."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code, message, status)


def _result(found: Found) -> dict[str, object]:
    result: dict[str, object] = msgspec.to_builtins(found.passage)
    return result | {
        "store_id": found.store_id,
        "attributes": found.attributes,
        "score": round(found.score, 6),
    }


def _json(body: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")


def _error(status: int, code: str, message: str) -> Response:
    return _json({"error": {"code": code, "message": message}}, status)
