"""Clocks: this machine's against the broker's and against those of the servers that answer over HTTP.

Services go by the broker's clock, so that a difference loses nothing; but certificates, logs and traces of
machines that disagree are of little use.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from penstock.devstack.doctor.asking import NoAnswer, ask
from penstock.devstack.doctor.finding import Finding, warning
from penstock.devstack.doctor.runner import in_thread
from penstock.devstack.doctor.scene import Scene, Unchecked
from penstock.messages.topics import TOPICS
from penstock.streaming.admin.inspection import Inspection, inspecting
from penstock.streaming.connection import Cluster
from penstock.streaming.ports import BrokerError, Partition

_SET_IT = "Let both machines set their clocks by NTP (`timedatectl` shows whether they do)."


async def look(scene: Scene) -> list[Finding]:
    """All clocks that can be seen. Unchecked if there are none."""
    urls, servers = _urls(scene), _servers(scene)
    if not urls and servers is None:
        raise Unchecked("no stack runs, and no server is named")
    from_broker = in_thread(_broker, scene, servers) if servers else _nothing()
    found = await asyncio.gather(from_broker, *(_server(scene, url) for url in urls))
    return [finding for findings in found for finding in findings]


async def _nothing() -> list[Finding]:
    return []


def _urls(scene: Scene) -> list[str]:
    urls: list[str] = []
    try:
        urls += [backend.url for backend in scene.backends]
        urls.append(scene.embeddings)
    except Unchecked:
        pass
    return list(dict.fromkeys(urls))


def _servers(scene: Scene) -> Cluster | None:
    try:
        return scene.cluster
    except Unchecked:
        return None


async def _server(scene: Scene, url: str) -> list[Finding]:
    """By the Date of an answer (RFC 9110, 6.6.1): of a moment while we waited, in whole seconds."""
    before = scene.now_ms()
    try:
        reply = await ask(scene, f"{url}/health")
        told = parsedate_to_datetime(reply.date).timestamp() * 1000
    except (NoAnswer, ValueError):
        return []  # no answer is told elsewhere; no Date is allowed
    after = scene.now_ms()
    ahead_ms = max(told - after, min(0.0, told + 1000 - before))
    return list(_differs(scene, "clock.server", f"clock of {url}", ahead_ms))


def _broker(scene: Scene, servers: Cluster) -> list[Finding]:
    """By the stamps of records: one from the future shows a clock that is ahead, one that came while we
    looked shows either."""
    try:
        with inspecting(servers, scene.needs.reply_s) as broker:
            began, first = scene.now_ms(), _latest(broker)
            time.sleep(scene.needs.look_again_s)
            second = _latest(broker)
    except BrokerError:
        return []  # told by the broker's check
    if second is None:
        return []
    ahead_ms = float(second - scene.now_ms())
    if first is not None and second > first:
        ahead_ms = max(ahead_ms, min(0.0, float(second - began)))
    else:
        ahead_ms = max(ahead_ms, 0.0)
    return list(_differs(scene, "clock.broker", f"clock of Kafka at {servers}", ahead_ms))


def _latest(broker: Inspection) -> int | None:
    standing = broker.topics()
    partitions = [
        Partition(topic.name, number)
        for topic in TOPICS
        for number, at in standing.get(topic.name, {}).items()
        if at.leader is not None
    ]
    return max(broker.latest_stamps(partitions).values(), default=None)


def _differs(scene: Scene, code: str, where: str, ahead_ms: float) -> Iterator[Finding]:
    if abs(ahead_ms) > scene.needs.clock_s * 1000:
        way = "ahead of" if ahead_ms > 0 else "behind"
        yield warning(code, where, f"It is {abs(ahead_ms) / 1000:.0f} s {way} this machine's.", _SET_IT)
