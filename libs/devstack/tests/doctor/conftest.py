"""What the checks look at, made by hand, and real servers and processes with something wrong in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

from penstock.devstack.doctor.scene import Needs, Scene
from penstock.devstack.state import ServiceStatus, StackStatus, StateDir

NOBODY = "127.0.0.1:1"


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A check that waits no longer hangs up: nothing to print into another test's output."""


@pytest.fixture
async def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Scene]]:
    """``scene(status, needs)`` with a state folder of the test's own and the environment as it is then."""
    for name in [name for name in os.environ if name.startswith("PENSTOCK_")]:
        monkeypatch.delenv(name)
    async with httpx2.AsyncClient(trust_env=False) as client:

        def make(status: StackStatus | None = None, needs: Needs | None = None) -> Scene:
            return Scene(
                environ=dict(os.environ),
                root=tmp_path,
                state=StateDir(tmp_path / "state"),
                status=status,
                client=client,
                now_ms=lambda: time.time_ns() // 1_000_000,
                needs=needs or Needs(),
            )

        yield make


def running(*services: ServiceStatus, **addresses: Any) -> StackStatus:
    """A stack whose addresses lead nowhere, except those that are given."""
    nowhere = {
        "kafka": NOBODY,
        "kafka_is_ours": False,
        "gateway": f"http://{NOBODY}",
        "backends": f"tgi+http://{NOBODY}",
        "embeddings": f"http://{NOBODY}",
    }
    return StackStatus(pid=os.getpid(), ready=False, services=services, **(nowhere | addresses))


@pytest.fixture
def stack() -> Callable[..., StackStatus]:
    return running


Answer = tuple[int, object]


@dataclass
class Server:
    """A real HTTP server: what it answers to each path, and by how many seconds its clock is wrong."""

    answers: dict[str, Answer]
    ahead_s: float = 0.0
    waits_s: Mapping[str, float] = field(default_factory=dict)

    def but(self, **changes: object) -> Server:
        return replace(self, **changes)  # type: ignore[arg-type]


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class's name
            """Says nothing."""

        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate((timestamp or time.time()) + server.ahead_s, usegmt=True)

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            time.sleep(server.waits_s.get(self.path, 0))
            status, answer = server.answers.get(self.path, (404, {}))
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

    return Handler


@pytest.fixture
def serve() -> Iterator[Callable[[Server], str]]:
    """``serve(server)``: its base URL."""
    opened: list[ThreadingHTTPServer] = []

    def start(server: Server) -> str:
        http = _Server(("127.0.0.1", 0), _handler(server))
        http.daemon_threads = True
        opened.append(http)
        threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{http.server_address[1]}"

    yield start
    for http in opened:
        http.shutdown()
        http.server_close()


@pytest.fixture
def tgi() -> Server:
    """A model server in which nothing is wrong."""
    return Server(
        {
            "/health": (200, b""),
            "/info": (200, {"model_id": "small-model", "max_total_tokens": 4096}),
            "/generate": (200, {"generated_text": "x"}),
        }
    )


@pytest.fixture
def tei() -> Server:
    """An embeddings server in which nothing is wrong."""
    info = {
        "model_id": "encoder",
        "model_type": {"embedding": {"pooling": "mean"}},
        "max_concurrent_requests": 8,
    }
    return Server({"/health": (200, b""), "/info": (200, info), "/embed": (200, [[0.1] * 384])})


Spawn = Callable[..., tuple[int, str]]


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """``spawn(code, name=value…)``: pid and first line of a Python process with these variables.

    It goes on for a minute after that, or until the test ends.
    """
    started: list[subprocess.Popen[str]] = []

    def start(code: str, **env: str) -> tuple[int, str]:
        code = f"import time\n{code}\nprint(flush=True)\ntime.sleep(60)"
        process = subprocess.Popen(  # noqa: S603 this very Python
            [sys.executable, "-c", code], env=os.environ | env, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "it ended"
        return process.pid, line.strip()

    yield start
    for process in started:
        process.kill()
        process.communicate()
