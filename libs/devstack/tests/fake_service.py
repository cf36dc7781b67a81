"""Every service of a stack, played: what the command sees of them, without models.

The tests lay out modules ``penstock.<name>.main`` that call ``main(name)`` and put them before the real ones.
``.broken`` in the state folder names services that end at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

STATE = Path(os.environ.get("PENSTOCK_STATE", "."))
PORTS = {"gateway": "PENSTOCK_GATEWAY_PORT", "inference": "PENSTOCK_INFERENCE_PORT"}
CITATION = {
    "index": 1,
    "document_id": "d",
    "title": "Watermark commit",
    "start": 0,
    "end": 3,
    "quote": "a\n b",
}
ready = True


class Handler(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the name is the base class's
        """Says nothing."""

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self._json(200, {"data": [{"id": "fake-model"}]})
        else:
            waits = [] if ready else ["kafka: topics"]
            self._json(200 if ready else 503, {"ready": ready, "waiting_for": waits})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/tokenize":
            found = re.finditer(r"\s?\w+|[^\w]", body["inputs"])
            self._json(200, [{"id": 1, "text": "", "start": m.start(), "stop": m.end()} for m in found])
            return
        if self.headers["authorization"] != "Bearer sk-fake":
            self._json(401, {"error": {"message": "Wrong key", "type": "x", "code": "invalid_api_key"}})
            return
        question = body["messages"][0]["content"]
        chunks = [
            {"choices": [{"delta": {"content": f"You asked: \x1b[31m{question}"}}]},
            {"choices": [{"delta": {}, "finish_reason": "stop"}], "citations": [CITATION]},
        ]
        lines = [*(json.dumps(chunk) for chunk in chunks), "[DONE]"]
        self._send(200, "text/event-stream", "".join(f"data: {line}\n\n" for line in lines).encode())

    def _json(self, status: int, body: object) -> None:
        self._send(status, "application/json", json.dumps(body).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main(name: str) -> None:
    """Plays one service until SIGTERM, and calls itself as the stack calls it."""
    global ready
    instance = os.environ["PENSTOCK_INSTANCE"]
    broken = STATE / ".broken"
    if broken.exists() and instance in broken.read_text().split():
        sys.exit(f"{instance} cannot start today")
    if name == "gateway":
        (STATE / "api-key").write_text("sk-fake\n")
    ready = name != "retrieval"
    server = ThreadingHTTPServer(
        ("127.0.0.1", int(os.environ[PORTS.get(name, "PENSTOCK_HEALTH_PORT")])), Handler
    )
    Thread(target=server.serve_forever, daemon=True).start()
    sys.stderr.write(f"{instance} is here\n")
    asyncio.run(index() if name == "retrieval" else asyncio.Event().wait())


async def index() -> None:
    """Retrieval: says that every document is indexed."""
    # Half a second of imports that the five others do without.
    from penstock.messages.documents import DocumentChunked, DocumentIndexed
    from penstock.messages.topics import DOCUMENTS_CHUNKED, DOCUMENTS_INDEXED
    from penstock.streaming.adapters.kafka import open_producer, open_reader
    from penstock.streaming.ports import BrokerError, Partition
    from penstock.streaming.records import decode, send

    global ready
    bootstrap = os.environ["PENSTOCK_KAFKA"]
    partitions = [Partition(DOCUMENTS_CHUNKED.name, n) for n in range(DOCUMENTS_CHUNKED.partitions)]
    while not ready:
        try:
            reader = await open_reader(bootstrap, partitions, "end")
            producer = await open_producer(bootstrap, [DOCUMENTS_INDEXED.name])
            ready = True
        except BrokerError:
            await asyncio.sleep(0.1)
    while True:
        for record in await reader.poll(0.1):
            received = decode(record, DOCUMENTS_CHUNKED)
            event = received.event
            if isinstance(event, DocumentChunked):
                done = DocumentIndexed(
                    document_id=event.document_id,
                    version=event.version,
                    part=event.part,
                    chunks=len(event.chunks),
                )
                envelope = received.envelope.caused(done.TYPE, nth=0, source="fake", time_ms=1)
                await send(producer, DOCUMENTS_INDEXED, envelope, done)
