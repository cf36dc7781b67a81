"""Processor time of generation for one token, from the backend's socket to the record that goes out.

`python -m services.generation.tests.measure` starts the stub (`e2e.stub`) in a process of its own, has a
number of answers generated at once, several rounds, and prints the median. No Kafka is in it: what is counted
is this process's time on the processor, for the client, the answers and their events.
"""

import asyncio
import statistics
import subprocess
import sys
import time

import uvloop

from penstock.clients.models import Models
from penstock.generation.adapters.tgi import TgiBackend
from penstock.generation.cancellations import CancellationLog
from penstock.generation.handler import Generation
from penstock.generation.pool import Pool
from penstock.generation.stream_timeout import StreamTimeouts
from penstock.messages.chat import ChatRetrieved, GenerationFinished, Sampling
from penstock.messages.envelope import Envelope
from penstock.messages.event import Event
from penstock.streaming.adapters.memory import MemoryBroker
from penstock.streaming.ports import Partition, Reader, Start
from penstock.streaming.stage import Received

TOKENS, INTER_MS, ROUNDS = 64, 5, 5


async def _quiet(partition: Partition, start: Start) -> Reader:
    return MemoryBroker().reader([partition], start)


async def _answer(generation: Generation, number: int) -> int:
    """Return how many records an answer made."""
    question = ChatRetrieved(
        model="m",
        prompt_before="<user>",
        prompt_after=f"Why {number}?<bot>",
        prompt_tokens=4,
        passages=(),
        sampling=Sampling(max_tokens=TOKENS),
    )
    envelope = Envelope(id="i", type=question.TYPE, source="/s", time_ms=1, subject=str(number), tenant="t")
    received: Received[Event] = Received(question, envelope, Partition("chat.retrieved", 0), 0)
    events = [item.event async for item in generation.handle(received, (), asyncio.Event())]
    assert isinstance(events[-1], GenerationFinished), events[-1]
    assert events[-1].usage.completion_tokens == TOKENS
    return len(events)


async def _measure(url: str, streams: int) -> None:
    backend = TgiBackend(url, Models())
    pool = Pool([backend])
    await pool.check()
    generation = Generation(pool, CancellationLog(_quiet, lambda: 0), StreamTimeouts())
    figures: list[float] = []
    records = 0
    for turn in range(ROUNDS + 1):
        began = time.process_time()
        records = sum(await asyncio.gather(*(_answer(generation, n) for n in range(streams))))
        if turn:  # the first one makes connections
            figures.append((time.process_time() - began) * 1e6 / (streams * TOKENS))
    await backend.close()
    print(  # noqa: T201  # what it is for
        f"{streams} streams: {statistics.median(figures):.1f} us a token,"
        f" {records / streams:.1f} records for an answer of {TOKENS}"
    )


def main() -> None:
    """Measure with as many streams as the first argument says, or 64."""
    streams = int(sys.argv[1]) if len(sys.argv) > 1 else 64
    command = [sys.executable, "-m", "e2e.stub", "--inter-ms", str(INTER_MS), "--tokens", str(TOKENS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stub:  # noqa: S603  # our own
        assert stub.stdout is not None
        try:
            uvloop.run(_measure(stub.stdout.readline().strip(), streams))
        finally:
            stub.terminate()


if __name__ == "__main__":
    main()
