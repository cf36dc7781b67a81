"""Whether a part of the stack can do its work, and what it waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx2
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


def http_probe(client: httpx2.AsyncClient, url: str) -> Probe:
    """Asks ``GET <url>/readyz``: 200 or 503 with ``{"ready": bool, "waiting_for": [str]}``."""

    async def probe() -> Readiness:
        try:
            response = await client.get(f"{url}/readyz", timeout=_PROBE_TIMEOUT_S)
            body = msgspec.json.decode(response.content, type=_ReadyBody)
        except httpx2.HTTPError:
            return Readiness(False)
        except msgspec.DecodeError:
            return Readiness(False, (f"/readyz answers {response.status_code} without its JSON",))
        return Readiness(body.ready and response.status_code == 200, tuple(body.waiting_for))

    return probe


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
