"""Every service of a stack, played: what the command sees of them, without models.

The tests lay out modules ``penstock.<name>.main`` that call ``main(name)`` and put them before the real ones.
``.broken`` in the state folder names services that end at once.
"""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

STATE = Path(os.environ.get("PENSTOCK_STATE", "."))
CITATION = {
    "index": 1,
    "document_id": "d",
    "title": "Watermark commit",
    "start": 0,
    "end": 3,
    "quote": "a\n b",
    "filename": "log.pdf",
    "page": 7,
    "headings": ["Commits"],
}


class Handler(BaseHTTPRequestHandler):
    """A service that is ready."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the name is the base class's
        """Says nothing."""

    def do_GET(self) -> None:
        body = b'{"ready": true, "waiting_for": []}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main(name: str) -> None:
    """Plays one service until SIGTERM, and calls itself as the stack calls it."""
    instance = os.environ["PENSTOCK_INSTANCE"]
    broken = STATE / ".broken"
    if broken.exists() and instance in broken.read_text().split():
        sys.exit(f"{instance} cannot start today")
    sys.stderr.write(f"{instance} is here\n")
    if name == "gateway":
        gateway(int(os.environ["PENSTOCK_GATEWAY_PORT"]))
        return
    variable = {"inference": "PENSTOCK_INFERENCE_PORT", "observer": "PENSTOCK_OBSERVER_PORT"}.get(name)
    port = int(os.environ[variable or "PENSTOCK_HEALTH_PORT"])
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def gateway(port: int) -> None:
    """A model that repeats the question, and a store that takes everything."""
    # Imports that the others do without.
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Mount, Route
    from store_server import StoreServer

    (STATE / "api-key").write_text("sk-fake\n")

    async def readyz(_request: Request) -> Response:
        return JSONResponse({"ready": True, "waiting_for": []})

    async def models(_request: Request) -> Response:
        return JSONResponse({"data": [{"id": "fake-model"}]})

    async def chat(request: Request) -> Response:
        if request.headers["authorization"] != "Bearer sk-fake":
            return JSONResponse(
                {"error": {"message": "Wrong key", "type": "x", "code": "invalid_api_key"}}, 401
            )
        question = (await request.json())["messages"][0]["content"]
        chunks = [
            {"choices": [{"delta": {"content": f"You asked: \x1b[31m{question}"}}]},
            {"choices": [{"delta": {}, "finish_reason": "stop"}], "citations": [CITATION]},
        ]
        lines = [*(json.dumps(chunk) for chunk in chunks), "[DONE]"]
        return Response("".join(f"data: {line}\n\n" for line in lines), media_type="text/event-stream")

    routes = [
        Route("/readyz", readyz),
        Route("/v1/models", models),
        Route("/v1/chat/completions", chat, methods=["POST"]),
        Mount("/", StoreServer().app),
    ]
    uvicorn.run(Starlette(routes=routes), port=port, log_level="critical")
