"""Whether a part of the stack can do its work, and what it waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from penstock.devstack.errors import DevstackError
from penstock.devstack.network import broker_answers, listens
from penstock.streaming.connection import Cluster, as_connection

_PROBE_TIMEOUT_S = 1.0


@dataclass(frozen=True)
class Readiness:
    """``waiting_for`` is empty once ready; else one short phrase for each thing that is missing."""

    ready: bool
    waiting_for: tuple[str, ...] = ()


Probe = Callable[[], Awaitable[Readiness]]


class _ReadyBody(msgspec.Struct):
    ready: bool
    waiting_for: list[str] = []


def http_probe(url: str) -> Probe:
    """Asks ``GET <url>/readyz``: 200 or 503 with ``{"ready": bool, "waiting_for": [str]}``."""

    async def probe() -> Readiness:
        try:
            status, content = await _asked(url)
        except OSError:
            return Readiness(False)
        try:
            body = msgspec.json.decode(content, type=_ReadyBody)
        except msgspec.DecodeError:
            return Readiness(False, (f"/readyz answers {status} without its JSON",))
        return Readiness(body.ready and status == "200", tuple(body.waiting_for))

    return probe


async def _asked(url: str) -> tuple[str, bytes]:
    """The status and body of ``/readyz``. OSError if there is no answer.

    By HTTP/1.0, where an answer ends with its connection: a client that keeps connections takes eight times
    as long to make one, which is as often as servers close those that rest.
    """
    at = urlsplit(url)
    async with asyncio.timeout(_PROBE_TIMEOUT_S):
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        try:
            writer.write(f"GET /readyz HTTP/1.0\r\nHost: {at.netloc}\r\n\r\n".encode())
            head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
        finally:
            writer.close()
    if not head.startswith(b"HTTP/"):
        raise ConnectionError(f"{url} answers nothing")
    return head.decode(errors="replace").partition(" ")[2][:3], body


class KafkaProbe:
    """Ready once one of the bootstrap servers answers and the topics exist.

    ``create_topics`` blocks and is called again after a DevstackError; it runs in a daemon thread, so that
    a Ctrl-C never waits for it.
    """

    def __init__(self, cluster: Cluster, create_topics: Callable[[Cluster], None]) -> None:
        self._cluster = cluster
        connection = as_connection(cluster)
        self._plain = connection.protocol == "PLAINTEXT"
        self._servers = [_server(text) for text in connection.servers.split(",")]
        self._create_topics = create_topics
        self._creating: threading.Thread | None = None
        self._created = False
        self._problem = ""

    async def __call__(self) -> Readiness:
        answers = [
            asyncio.create_task(_answers(host, port, plain=self._plain)) for host, port in self._servers
        ]
        if not any(await asyncio.gather(*answers)):
            return Readiness(False, (f"an answer from {self._cluster}",))
        if self._created:
            return Readiness(True)
        if self._creating is None or not self._creating.is_alive():
            self._creating = threading.Thread(target=self._create, name="topics", daemon=True)
            self._creating.start()
        return Readiness(False, (f"topics: {self._problem}" if self._problem else "topics",))

    def _create(self) -> None:
        try:
            self._create_topics(self._cluster)
        except (DevstackError, OSError) as error:
            self._problem = str(error)
        else:
            self._created = True


def _server(text: str) -> tuple[str, int]:
    host, _, port = text.strip().rpartition(":")
    return host.strip("[]"), int(port)


async def _answers(host: str, port: int, *, plain: bool) -> bool:
    """``broker_answers``, or ``listens`` where only users are answered.

    In a daemon thread: the loop's own executor would make a Ctrl-C wait.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bool] = loop.create_future()

    def set_result(answer: bool) -> None:
        if not done.done():
            done.set_result(answer)

    def ask() -> None:
        answer = (broker_answers if plain else listens)(host, port, _PROBE_TIMEOUT_S)
        if not loop.is_closed():
            loop.call_soon_threadsafe(set_result, answer)

    threading.Thread(target=ask, name="kafka-probe", daemon=True).start()
    return await done
