"""The console's own files: a page, its modules and styles, as they lie in this package."""

from pathlib import Path

from fastapi import FastAPI, Request, Response
from starlette.staticfiles import StaticFiles

from penstock.gateway.adapters.http.guards import STATIC

CONSOLE = Path(__file__).parents[2] / "console"


def add_pages(app: FastAPI, folder: Path = CONSOLE) -> None:
    """Add the routes to the app."""
    files = StaticFiles(directory=folder)

    async def index(request: Request) -> Response:
        return await serve("index.html", request)

    async def static(path: str, request: Request) -> Response:
        return await serve(path, request)

    async def serve(path: str, request: Request) -> Response:
        response = await files.get_response(path, request.scope)
        # A file's tag tells its version, so a new release shows at once, and an old one costs no transfer.
        response.headers["cache-control"] = "no-cache"
        return response

    for path, endpoint in (("/", index), (STATIC + "{path:path}", static)):
        app.add_api_route(
            path, endpoint, methods=["GET", "HEAD"], response_class=Response, include_in_schema=False
        )
