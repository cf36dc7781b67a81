"""The real process over real Kafka: killed, started again, stopped."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from penstock.devstack.network import free_ports
from penstock.messages.codec import encode
from penstock.messages.topics import CHAT_REQUESTS
from penstock.streaming.adapters.kafka import open_producer, partition_of
from penstock.streaming.admin.topics import ensure_topics
from penstock.streaming.ports import Producer
from services.observer.tests.stand import KEY, Console, Line, asked, span, until, who


@dataclass
class Kafka:
    """A real broker, as `Line` writes to it."""

    opened: Producer

    def producer(self) -> Producer:
        return self.opened


@pytest.fixture
async def line(kafka_broker: str) -> AsyncIterator[Line]:
    await ensure_topics(kafka_broker)
    producer = await open_producer(kafka_broker)
    yield Line(Kafka(producer))
    await producer.close()


@dataclass
class Process:
    """`penstock-observer`, with a folder of its own."""

    bootstrap: str
    folder: Path
    port: int

    @asynccontextmanager
    async def running(self, end: signal.Signals = signal.SIGTERM) -> AsyncIterator[Console]:
        env = os.environ | {
            "PENSTOCK_KAFKA": self.bootstrap,
            "PENSTOCK_STATE": str(self.folder),
            "PENSTOCK_OBSERVER_PORT": str(self.port),
            "PENSTOCK_OBSERVER_KEY": KEY,
        }
        process = subprocess.Popen(  # noqa: ASYNC220  # this very Python; it returns at once
            [sys.executable, "-m", "penstock.observer.main"], env=env, stderr=subprocess.DEVNULL
        )
        url = f"http://127.0.0.1:{self.port}"
        try:
            async with httpx2.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:

                async def ready() -> bool:
                    try:
                        return (await client.get("/readyz")).status_code == 200
                    except httpx2.HTTPError:
                        return False

                await until(ready, 60)
                yield Console(client, url)
        finally:
            process.send_signal(end)
            code = await asyncio.to_thread(process.wait, 60)
            assert code == (0 if end == signal.SIGTERM else -end)


@pytest.fixture
def process(kafka_broker: str, tmp_path: Path) -> Process:
    return Process(kafka_broker, tmp_path, free_ports(1)[0])


async def test_it_sees_a_request_whole_and_remembers_it_after_a_kill(process: Process, line: Line) -> None:
    tenant = f"tenant-{line.new_id()}"
    async with process.running(signal.SIGKILL) as console:
        request_id = await line.whole(tenant)
        await console.spans(span(int.from_bytes(os.urandom(8)), 1, request_id=request_id, tenant=tenant))

        async def listed() -> list[str]:
            body = (await console.get("requests", tenant)).json()
            return [one["id"] for one in body["requests"] if one["state"] == "completed"]

        assert await until(listed) == [request_id]
        body = (await console.get(f"requests/{request_id}", tenant)).json()
        topics = Counter(record["topic"] for record in body["records"])
        assert (len(body["records"]), topics["chat.responses"], topics["usage.recorded"]) == (12, 4, 1)
        assert (len(body["traces"]), body["records_cut"]) == (1, False)

    async with process.running() as console:
        body = (await console.get(f"requests/{request_id}", tenant)).json()
        assert (len(body["traces"]), body["request"]["state"]) == (1, "completed")

        async def used() -> list[tuple[str, int]]:
            points = (await console.get("usage", tenant)).json()["points"]
            return [(point["api_key"], point["requests"]) for point in points]

        assert await until(used) == [("psk-abc", 1)]


async def test_the_pipeline_and_dead_letters_of_a_real_broker(process: Process, line: Line) -> None:
    tenant = f"tenant-{line.new_id()}"
    async with process.running() as console:
        request_id = line.new_id()
        partition = b"%d" % partition_of(request_id.encode(), CHAT_REQUESTS.partitions)
        await line.bury(request_id, tenant, body=encode(asked()), partition=partition)
        page = (await console.get("dead_letters", tenant=tenant)).json()
        [letter] = page["letters"]
        seen = (await console.get("pipeline")).json()
        [topic] = [topic for topic in seen["topics"] if topic["name"] == "chat.requests"]
        assert topic["dead"] >= 1
        stages = {stage["service"]: stage for stage in seen["stages"]}
        url = f"/console/api/dead_letters/{letter['topic']}/{letter['offset']}"
        replayed = await console.client.post(f"{url}/replay", headers=who(""))
        assert replayed.status_code == 200

        async def waiting() -> bool:
            now = {s["service"]: s for s in (await console.get("pipeline")).json()["stages"]}["tokenization"]
            return now["lag"] > stages["tokenization"]["lag"] and now["oldest_ms"] is not None

        assert await until(waiting)
        gone = await console.client.delete(url, headers=who(""))
        assert gone.status_code in (404, 409)  # it was replayed, and may be deleted since
        body = (await console.get(f"requests/{request_id}", tenant)).json()
        assert {record["topic"] for record in body["records"]} >= {"chat.requests"}
