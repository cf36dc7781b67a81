"""What counts as a failed request, and that the balancer itself loses none."""

import asyncio

import pytest

from e2e.operations.balancer import balancing
from e2e.operations.sdk import Tried, failures
from e2e.stub.scripted import Script, expected
from penstock.devstack.network import free_ports

SCRIPT = Script("counted", 12)
WHOLE = expected(SCRIPT)


@pytest.mark.parametrize(
    ("tried", "found"),
    [
        (Tried(SCRIPT, WHOLE.text, WHOLE.finish_reason, 0.1), ""),
        (Tried(SCRIPT, WHOLE.text, WHOLE.finish_reason, 0.1, "APIError: shutting_down"), "APIError"),
        (Tried(SCRIPT, WHOLE.text[:-1], WHOLE.finish_reason, 0.1), "characters"),
        (Tried(SCRIPT, WHOLE.text + WHOLE.text[-1], WHOLE.finish_reason, 0.1), "characters"),
        (Tried(SCRIPT, WHOLE.text, None, 0.1), "None"),
        (Tried(SCRIPT, "", None, 0.0), "0 characters"),
    ],
)
def test_an_answer_counts_only_if_it_is_the_right_one(tried: Tried, found: str) -> None:
    lines = list(failures([tried]))
    assert bool(lines) == bool(found)
    assert all(found in line for line in lines)


async def test_the_balancer_tries_the_next_server() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"here")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    there = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    gone = f"http://127.0.0.1:{free_ports(1)[0]}"
    async with server, balancing(lambda: [gone, there]) as base:
        for _ in range(4):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(base.rpartition(":")[2]))
            assert await asyncio.wait_for(reader.read(), 10) == b"here"
            writer.close()
