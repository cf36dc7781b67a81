"""CPU per streamed token and added first-token latency of the gateway alone; run it by hand.

    python services/gateway/tests/measure.py [STREAMS] [TOKENS_PER_S] [SECONDS]

The gateway runs over a broker in memory, in this process; clients run in another. The pipeline is played by
appending records that were encoded before, so what is counted is the gateway: poll, decode, apply, wake,
render, write. What the same records cost when they are for nobody (the player, the poll) is taken off.
"""

import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import httpx2
import uvloop

from penstock.gateway.runtime import Gateway, listen
from penstock.gateway.settings import Settings
from penstock.messages import codec
from penstock.messages.chat import AnswerCompleted, AnswerStarted, AnswerText, Usage
from penstock.messages.envelope import Envelope, to_headers
from penstock.messages.event import Event
from penstock.messages.topics import CHAT_REQUESTS, CHAT_RESPONSES
from penstock.streaming import records
from penstock.streaming.adapters.memory import MemoryBroker
from penstock.streaming.ports import Partition, Producer, Reader

PROBES = 200


class Log:
    """Port: Log."""

    name = "memory"

    def __init__(self) -> None:
        self.broker = MemoryBroker()

    async def missing_topics(self) -> list[str]:
        return []

    async def open_producer(self) -> Producer:
        return self.broker.producer()

    async def open_reader(self) -> Reader:
        return self.broker.reader()


def encoded(cause: Envelope, event: Event) -> Any:
    envelope = cause.caused(event.TYPE, nth=0, source="/measure", time_ms=cause.time_ms)
    key = cause.subject.encode()
    return CHAT_RESPONSES.name, key, codec.encode(event), to_headers(envelope), cause.reply_partition


def answer(cause: Envelope, tokens: int) -> list[Any]:
    events: list[Event] = [AnswerStarted(model="m")]
    events += [AnswerText(start=5 * i, text=" word") for i in range(tokens)]
    usage = Usage(prompt_tokens=1, completion_tokens=tokens)
    events.append(AnswerCompleted(length=5 * tokens, finish_reason="length", usage=usage, citations=()))
    return [encoded(cause, event) for event in events]


async def play(broker: MemoryBroker, streams: int, rate: float, seconds: float) -> tuple[float, float, int]:
    """Answer the probes at once, then all streams token by token; return CPU seconds, seconds, tokens."""
    questions = broker.consumer("play", [CHAT_REQUESTS.name])
    waiting: list[Envelope] = []
    probed = 0
    while len(waiting) < streams:
        for record in (await questions.poll(1)).records:
            cause = records.decode(record, CHAT_REQUESTS).envelope
            if probed < PROBES:
                probed += 1
                for item in answer(cause, 1):
                    broker.append(*item)
            else:
                waiting.append(cause)
        await broker.notify()
    tokens = int(rate * seconds / streams)
    mine = [answer(cause, tokens) for cause in waiting]
    foreign = [[(topic, b"other", *rest) for topic, _, *rest in items] for items in mine]
    base, _ = await write(broker, foreign, rate)
    cpu, took = await write(broker, mine, rate)
    return cpu - base, took, tokens * streams


async def write(broker: MemoryBroker, answers: list[list[Any]], rate: float) -> tuple[float, float]:
    """Append records one by one at this rate; return CPU seconds and seconds."""
    cpu, began = time.process_time(), time.monotonic()
    gap = 1 / rate
    for number in range(len(answers[0])):
        for index, items in enumerate(answers):
            broker.append(*items[number])
            await broker.notify()
            due = began + (number * len(answers) + index) * gap
            if (left := due - time.monotonic()) > 0:
                await asyncio.sleep(left)
    await asyncio.sleep(0.1)
    return time.process_time() - cpu, time.monotonic() - began


def clients(url: str, key: str, streams: int, results: Any) -> None:
    """In another process: the probes one after the other, then the streams together."""

    async def one(client: httpx2.AsyncClient) -> tuple[float, str]:
        began, first, text = time.perf_counter(), 0.0, ""
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}
        async with client.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
            async for line in response.aiter_lines():
                first = first or time.perf_counter() - began
                if line.startswith("data: {"):
                    text += json.loads(line[6:])["choices"][0]["delta"].get("content", "")
        return first, text

    async def run() -> None:
        limits = httpx2.Limits(max_connections=None)
        headers = {"authorization": f"Bearer {key}"}
        async with httpx2.AsyncClient(trust_env=False, timeout=600, limits=limits, headers=headers) as client:
            results.put([(await one(client))[0] for _ in range(PROBES)])
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(one(client)) for _ in range(streams)]
            results.put({task.result()[1] for task in running})

    asyncio.run(run())


async def main(streams: int, rate: float, seconds: float) -> None:
    log = Log()
    with tempfile.TemporaryDirectory() as state:
        settings = Settings(state=Path(state), gateway_port=0, models=["m"], drain_s=0.2)
        listener = listen(settings)
        async with httpx2.AsyncClient() as client:
            gateway, stop = Gateway(settings, log, client), asyncio.Event()
            running = asyncio.create_task(gateway.run(listener, lambda _: None, stop))
            while not gateway.readiness.is_ready:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.01)
            context = multiprocessing.get_context("spawn")
            results = context.Queue()
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            key = (Path(state) / "api-key").read_text().strip()
            child = context.Process(target=clients, args=(url, key, streams, results))
            child.start()
            cpu, took, tokens = await play(log.broker, streams, rate, seconds)
            firsts = sorted(await asyncio.to_thread(results.get))
            texts = await asyncio.to_thread(results.get)
            child.join()
            stop.set()
            await running
    assert texts == {" word" * (tokens // streams)}
    sys.stdout.write(
        f"{streams} streams, {tokens / took:.0f} tokens/s: {1e6 * cpu / tokens:.1f} us CPU a token, "
        f"decode included\n"
        f"first event after the question, one at a time: median {1e3 * median(firsts):.2f} ms, "
        f"p99 {1e3 * firsts[int(0.99 * PROBES)]:.2f} ms\n"
    )


def decode_cost() -> float:
    """Return the microseconds to decode one record of text."""
    from penstock.streaming.ports import Record

    cause = Envelope(id="x" * 32, type="", source="/x", time_ms=1, subject="s" * 36, tenant="default")
    _, key, value, headers, _ = encoded(cause, AnswerText(start=5, text=" word"))
    record = Record(Partition(CHAT_RESPONSES.name, 0), 0, key, value, headers, 0)
    began = time.process_time()
    for _ in range(20_000):
        records.decode(record, CHAT_RESPONSES)
    return (time.process_time() - began) / 20_000 * 1e6


if __name__ == "__main__":
    given = [float(argument) for argument in sys.argv[1:]] + [16, 1000, 5][len(sys.argv) - 1 :]
    sys.stdout.write(f"decode of one record: {decode_cost():.1f} us CPU\n")
    uvloop.run(main(int(given[0]), given[1], given[2]))
