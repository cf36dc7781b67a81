"""The same requests for both arms, and a client that costs next to nothing."""

import asyncio
import json
import time
from collections.abc import Callable

RAMP_S = 1.5
"""Before a window counts: the first prompts are read and the answers are out of step."""
TOKENS = 64


def prompt(nth: int) -> str:
    """A conversation of about 50 tokens whose first words differ from every other's."""
    return (
        f"<|im_start|>system\nConversation {nth:07d}. Answer in a few sentences.<|im_end|>\n"
        "<|im_start|>user\nExplain the KV cache to somebody who runs servers.<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def answer_length(nth: int) -> int:
    """From half of TOKENS to one and a half, so that the streams do not end in step."""
    return TOKENS // 2 + nth * 67 % (TOKENS + 1)


class Reader(asyncio.Protocol):
    """One connection that asks again as soon as it has its answer, and counts events."""

    def __init__(self, next_number: Callable[[], int], tell: Callable[[int], None]) -> None:
        self._next_number = next_number
        self._tell = tell
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the first question."""
        self.transport = transport
        self._ask()

    def _ask(self) -> None:
        nth = self._next_number()
        parameters = {"max_new_tokens": answer_length(nth), "details": True}
        body = json.dumps({"inputs": prompt(nth), "parameters": parameters}).encode()
        head = f"POST /generate_stream HTTP/1.1\r\nhost: bench\r\ncontent-length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """Count the events, and see the end."""
        self._tell(data.count(b"data:"))
        tail = self._tail + data[-5:]
        if tail.endswith(b"0\r\n\r\n"):
            self._tail = b""
            self._ask()
        else:
            self._tail = tail[-5:]


async def flood(port: int, streams: int, seconds: float, spent_ms: Callable[[], float]) -> dict[str, float]:
    """Tokens, seconds and processor milliseconds of the service while it answers as many streams."""
    numbers = iter(range(10**7))
    tokens = 0

    def tell(count: int) -> None:
        nonlocal tokens
        tokens += count

    loop = asyncio.get_running_loop()
    opened = [
        await loop.create_connection(lambda: Reader(lambda: next(numbers), tell), "127.0.0.1", port)
        for _ in range(streams)
    ]
    await asyncio.sleep(RAMP_S)
    started, before, spent = time.perf_counter(), tokens, spent_ms()
    await asyncio.sleep(seconds)
    took = time.perf_counter() - started
    result = {"tokens": tokens - before, "seconds": took, "cpu_ms": spent_ms() - spent}
    for transport, _ in opened:
        transport.abort()
    await asyncio.sleep(0.5)
    return result
