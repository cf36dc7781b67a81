"""The real process: start without Kafka, a question through real Kafka, a clean end on SIGTERM."""

import asyncio
import contextlib
import os
import signal
import socket
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai

from penstock.messages.chat import ChatRequested
from penstock.messages.envelope import Envelope
from penstock.messages.topics import CHAT_REQUESTS, CHAT_RESPONSES
from penstock.streaming import records
from penstock.streaming.adapters.kafka import open_consumer, open_producer
from penstock.streaming.admin.topics import ensure_topics


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def process(state: Path, port: int, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a gateway; it is killed at the end if it has not gone by then."""
    own = {"STATE": str(state), "GATEWAY_PORT": str(port), "MODELS": "m", **settings}
    env = {**os.environ, **{f"PENSTOCK_{name}": value for name, value in own.items()}}
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "penstock.gateway.main",
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


async def status(client: httpx2.AsyncClient, url: str, wanted: Callable[[httpx2.Response], bool]) -> Any:
    """Ask again and again until the answer is as wanted; at most 40 seconds."""
    async with asyncio.timeout(40):
        while True:
            try:
                response = await client.get(url)
                if wanted(response):
                    return response.json()
            except httpx2.HTTPError:
                pass
            await asyncio.sleep(0.05)


async def test_without_kafka_it_lives_says_why_and_ends(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with (
        httpx2.AsyncClient(trust_env=False) as client,
        process(tmp_path, port, KAFKA=f"127.0.0.1:{free_port()}") as gateway,
    ):
        await status(client, f"{url}/livez", lambda r: r.status_code == 200)
        assert gateway.stdout is not None
        line = (await gateway.stdout.readline()).decode()
        key = (tmp_path / "api-key").read_text().strip()
        assert line == f"API key: {key} (kept in {tmp_path / 'api-key'})\n"
        assert stat.S_IMODE((tmp_path / "api-key").stat().st_mode) == 0o600
        waiting = await status(client, f"{url}/readyz", lambda r: "not checked" not in r.text)
        assert any(reason.startswith("kafka: ") for reason in waiting["waiting_for"])

        gateway.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            assert await gateway.wait() == 0
        assert await gateway.stdout.read() == b""


async def test_a_taken_port_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        async with process(tmp_path, taken.getsockname()[1]) as gateway:
            assert await gateway.wait() == 1


async def test_a_question_through_real_kafka(tmp_path: Path, kafka_broker: str, kit: Any) -> None:
    await ensure_topics(kafka_broker)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    questions = await open_consumer(kafka_broker, "gateway-test", [CHAT_REQUESTS.name], lambda _: None)
    producer = await open_producer(kafka_broker, [CHAT_RESPONSES.name])

    async def reply() -> None:
        while True:
            for record in (await questions.poll(1)).records:
                cause = records.decode(record, CHAT_REQUESTS).envelope
                for event in kit.events("through ", "the ", "log"):
                    envelope = cause.caused(event.TYPE, nth=0, source="/test", time_ms=cause.time_ms)
                    assert isinstance(envelope, Envelope)
                    await records.send(producer, CHAT_RESPONSES, envelope, event)

    replying = asyncio.create_task(reply())
    try:
        async with (
            httpx2.AsyncClient(trust_env=False) as client,
            process(tmp_path, port, KAFKA=kafka_broker) as gateway,
        ):
            await status(client, f"{url}/readyz", lambda r: r.status_code == 200)
            key = (tmp_path / "api-key").read_text().strip()
            async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as api:
                for _ in range(3):
                    stream = await api.chat.completions.create(
                        model="m", messages=[{"role": "user", "content": "hi"}], stream=True
                    )
                    texts = [chunk.choices[0].delta.content or "" async for chunk in stream]
                    assert "".join(texts) == "through the log"
            began = time.monotonic()
            gateway.send_signal(signal.SIGINT)
            async with asyncio.timeout(8):
                assert await gateway.wait() == 0
            assert time.monotonic() - began < 5
    finally:
        replying.cancel()
        await questions.close()
        await producer.close()


COUNT = 40


class Pipeline:
    """Plays what stands behind the gateways: begins every answer, and ends all when it is told to."""

    def __init__(self, questions: Any, producer: Any, kit: Any) -> None:
        self.causes: list[Envelope] = []
        self._questions = questions
        self._producer = producer
        self._kit = kit

    async def begin(self) -> None:
        while len(self.causes) < COUNT:
            for record in (await self._questions.poll(1)).records:
                received = records.decode(record, CHAT_REQUESTS)
                if isinstance(received.event, ChatRequested) and received.event.model == "killed":
                    self.causes.append(received.envelope)
                    await self._say(received.envelope, slice(0, 3))

    async def end(self) -> None:
        for cause in self.causes:
            await self._say(cause, slice(3, None))

    async def _say(self, cause: Envelope, part: slice) -> None:
        for event in self._kit.events("one ", cause.subject, " two")[part]:
            envelope = cause.caused(event.TYPE, nth=0, source="/test", time_ms=cause.time_ms)
            await records.send(self._producer, CHAT_RESPONSES, envelope, event)


class Asker:
    """One client, which goes on at the other gateway where it was cut: by key, or by id."""

    def __init__(self, client: httpx2.AsyncClient, urls: list[str], number: int, kit: Any) -> None:
        self.request_id = ""
        self.events: list[Any] = []
        self._client = client
        self._urls = urls
        self._by_key = number % 2 == 1
        self._headers = {"idempotency-key": str(number)}
        self._body = {**kit.body(stream=True), "model": "killed"}
        self._read = kit.sse

    async def until_cut(self) -> None:
        text = ""
        with contextlib.suppress(httpx2.HTTPError):
            async with self._client.stream(
                "POST", self._urls[0], json=self._body, headers=self._headers
            ) as response:
                self.request_id = response.headers["x-request-id"]
                async for piece in response.aiter_text():
                    text += piece
        self.events = self._read(text.rpartition("\n\n")[0] + "\n\n")

    async def go_on(self) -> None:
        last = self.events[-1].id
        if self._by_key:
            headers = {**self._headers, "last-event-id": str(last)}
            response = await self._client.post(self._urls[1], json=self._body, headers=headers)
        else:
            url = f"{self._urls[1]}/{self.request_id}/stream?starting_after={last}"
            response = await self._client.get(url)
        assert response.headers["x-request-id"] == self.request_id
        self.events += self._read(response.text)


async def test_a_killed_gateway_loses_no_stream(tmp_path: Path, kafka_broker: str, kit: Any) -> None:
    """Many streams at one gateway, kill -9 amid them: all go on at the other, by id and by key."""
    await ensure_topics(kafka_broker)
    ports = [free_port(), free_port()]
    urls = [f"http://127.0.0.1:{port}/v1/chat/completions" for port in ports]
    settings = {"KAFKA": kafka_broker, "MODELS": "killed"}
    questions = await open_consumer(kafka_broker, "gateway-kill", [CHAT_REQUESTS.name], lambda _: None)
    producer = await open_producer(kafka_broker, [CHAT_RESPONSES.name])
    pipeline = Pipeline(questions, producer, kit)
    limits = httpx2.Limits(max_connections=None)
    async with (
        httpx2.AsyncClient(trust_env=False, timeout=20, limits=limits) as client,
        process(tmp_path, ports[0], INSTANCE="a", **settings) as first,
        process(tmp_path, ports[1], INSTANCE="b", **settings),
    ):
        for port in ports:
            await status(client, f"http://127.0.0.1:{port}/readyz", lambda r: r.status_code == 200)
        client.headers["authorization"] = f"Bearer {(tmp_path / 'api-key').read_text().strip()}"
        askers = [Asker(client, urls, number, kit) for number in range(COUNT)]
        async with asyncio.TaskGroup() as tasks:
            for asker in askers:
                tasks.create_task(asker.until_cut())
            await pipeline.begin()
            async with asyncio.timeout(20):
                while not all(asker.request_id for asker in askers):  # noqa: ASYNC110  # nobody tells
                    await asyncio.sleep(0.01)
            first.kill()
        async with asyncio.TaskGroup() as tasks:
            for asker in askers:
                tasks.create_task(asker.go_on())
            await pipeline.end()
        for asker in askers:
            assert "".join(event.text for event in asker.events) == f"one {asker.request_id} two"
            assert asker.events[-1].data == "[DONE]"
        whole = await client.get(f"{urls[1]}/{askers[0].request_id}")
        assert whole.json()["choices"][0]["message"]["content"] == f"one {askers[0].request_id} two"
    await questions.close()
    await producer.close()
