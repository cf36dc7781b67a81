"""A gateway without HTTP's framing: its own core, its own events of a stream, over a simulated connection."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cache

import msgspec
from opentelemetry.trace import INVALID_SPAN

from e2e.simulation.network import Connection, Network
from e2e.simulation.services import Site
from e2e.simulation.world import Process
from penstock.gateway.adapters.log import BrokerLog
from penstock.gateway.core import Core
from penstock.gateway.domain import errors, render
from penstock.gateway.domain.errors import ApiError
from penstock.gateway.following import Follower
from penstock.gateway.ports import Claim
from penstock.gateway.request_intake import Attended, Question
from penstock.gateway.settings import Settings
from penstock.messages.chat import ChatRequested
from penstock.messages.topics import CHAT_REQUESTS
from penstock.telemetry.readiness import Readiness

TENANT = "acme"
_DRAIN_S = 2.0


class Call(msgspec.Struct, omit_defaults=True):
    """What a client sends: a question with its key, or (`request_id`) what to do with an earlier request."""

    question: ChatRequested | None = None
    key: str = ""
    request_id: str = ""
    cancel: bool = False
    stream: bool = True
    after: int = -1
    grace_ms: int = 10_000


class Keys:
    """Port: IdempotencyKeys. One table for all gateways, as they share a database."""

    def __init__(self) -> None:
        self._claims: dict[tuple[str, str], Claim] = {}

    async def claim(self, tenant: str, key: str, mine: Claim) -> Claim:
        await asyncio.sleep(0.001)
        return self._claims.setdefault((tenant, key), mine)

    async def replace(self, tenant: str, key: str, old_id: str, new_id: str) -> bool:
        await asyncio.sleep(0.001)
        held = self._claims.get((tenant, key))
        if held is None or held.request_id != old_id:
            return False
        self._claims[tenant, key] = held._replace(request_id=new_id)
        return True

    async def release(self, tenant: str, key: str, request_id: str) -> None:
        await asyncio.sleep(0.001)
        if (held := self._claims.get((tenant, key))) is not None and held.request_id == request_id:
            del self._claims[tenant, key]

    async def forget_old(self) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Front:
    """What gateways need besides the site."""

    network: Network
    keys: Keys
    timeout_s: float


async def answers(site: Site, front: Front, process: Process) -> None:
    """Run a gateway: it listens at the name of its process."""
    settings = _settings(process.name, front.timeout_s)
    clock = site.clock()
    readiness = Readiness("kafka", "topics")
    log = BrokerLog("simulated", site.broker(process), _no_topic, process.name, clock)
    partitions = site.cluster.partitions(CHAT_REQUESTS.name)  # as its release says
    core = Core(settings, log, front.keys, readiness, clock, site.world.random.getrandbits, partitions)
    async with asyncio.TaskGroup() as tasks:
        background = core.start(tasks)
        talks: set[asyncio.Task[None]] = set()

        def accept(connection: Connection) -> None:
            talk = tasks.create_task(_Talk(core, readiness, connection).run())
            talks.add(talk)
            talk.add_done_callback(talks.discard)

        listening = front.network.listen(process.name, process, accept)
        await process.stop.wait()
        listening()
        await asyncio.sleep(_DRAIN_S)
        core.following.fail_all(errors.shutting_down())
        await asyncio.gather(*talks)
        for task in background:
            task.cancel()
    await core.close()


@cache
def _settings(instance: str, timeout_s: float) -> Settings:
    return Settings(instance=instance, request_timeout_s=timeout_s, drain_s=_DRAIN_S)


async def _no_topic() -> list[str]:
    return []


class _Talk:
    """One connection: one call, and what is answered."""

    def __init__(self, core: Core, readiness: Readiness, connection: Connection) -> None:
        self._core = core
        self._readiness = readiness
        self._connection = connection

    async def run(self) -> None:
        arriving = self._connection.receive()
        try:
            async for data in arriving:
                await self._answer(msgspec.json.decode(data, type=Call))
                break
        except ApiError as error:
            self._connection.send(b"error\n" + render.error(error))
        finally:
            self._connection.close()

    async def _answer(self, call: Call) -> None:
        if not self._readiness.is_ready:
            raise errors.not_ready(self._readiness.waiting_for)
        if call.cancel:
            info = await self._core.intake.find(call.request_id, TENANT)
            await self._core.presence.cancel(call.request_id, info.tenant)
            return
        async with await self._attend(call) as attended:
            await self._show(call, attended)

    async def _attend(self, call: Call) -> AbstractAsyncContextManager[Attended]:
        intake = self._core.intake
        if call.question is None:
            info = await intake.find(call.request_id, TENANT)
            if not call.stream:
                return intake.observe(call.request_id, info)
            return intake.attach(call.request_id, info, call.grace_ms)
        question = Question(
            self._core.exchange.new_id(), TENANT, call.question, call.key, call.grace_ms, call.after >= 0
        )
        return intake.submit(question, INVALID_SPAN)

    async def _show(self, call: Call, attended: Attended) -> None:
        follower = attended.follower
        watching = asyncio.create_task(self._watch(follower))
        try:
            await (self._stream if call.stream else self._whole)(call, attended)
        finally:
            watching.cancel()

    async def _stream(self, call: Call, attended: Attended) -> None:
        follower = attended.follower
        chunks = render.Chunks(attended.request_id, attended.info.model, include_usage=True)
        transcript = render.Transcript(follower.answer, chunks, call.after)
        self._connection.send(f"accepted {attended.request_id}\n".encode())
        while not (transcript.closed or follower.gone):
            if data := transcript.due():
                self._connection.send(data)
            elif not transcript.closed:
                await follower.news()

    async def _whole(self, _: Call, attended: Attended) -> None:
        answer = attended.follower.answer
        self._connection.send(f"accepted {attended.request_id}\n".encode())
        while answer.end is None and not attended.follower.gone:
            await attended.follower.news()
        if isinstance(answer.end, ApiError):
            raise answer.end
        if answer.end is not None:
            text = answer.text_from(0, answer.length)
            body = render.completion(attended.request_id, attended.info.model, text, answer.end)
            self._connection.send(b"whole\n" + body)

    async def _watch(self, follower: Follower) -> None:
        async for _ in self._connection.receive():
            continue
        follower.leave()
