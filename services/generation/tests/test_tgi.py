"""The adapter against a server that speaks TGI's dialect: streams, refusals, overload, and hanging up."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from huggingface_hub import set_async_client_factory
from huggingface_hub.utils._http import default_async_client_factory

from penstock.generation.adapters.tgi import SharedTransport, TgiBackend, use_transport
from penstock.generation.ports import BackendAway, BackendBusy, BackendFailed, BackendRefused, End, Token
from penstock.messages.chat import Sampling

EVENT = b'data:{"index":1,"token":{"id":1,"text":"%s","logprob":-0.5,"special":%s}%s}\n\n'
DETAILS = (
    b',"generated_text":"Hi","details":{"finish_reason":"eos_token","generated_tokens":2,"input_length":3}'
)
HI = EVENT % (b"Hi", b"false", b"")
LAST = EVENT % (b"</s>", b"true", DETAILS)

Serve = Callable[..., Awaitable[TgiBackend]]


class Server:
    """Answers every request with the same status and body; `keep_open` then waits for the client to go."""

    def __init__(self, status: int, body: bytes, *, keep_open: bool) -> None:
        self._head = b"HTTP/1.1 %d x\r\nconnection: close\r\ncontent-type: %s\r\n\r\n" % (
            status,
            b"text/event-stream" if status == 200 else b"application/json",
        )
        self._body = body
        self._keep_open = keep_open
        self.gone = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self._head + self._body)
        await writer.drain()
        if self._keep_open:
            while await reader.read(65_536):
                continue
            self.gone.set()
        writer.close()


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Server], Awaitable[TgiBackend]]]:
    transport = SharedTransport()
    use_transport(transport)
    servers: list[asyncio.Server] = []

    async def start(server: Server) -> TgiBackend:
        servers.append(await asyncio.start_server(server, "127.0.0.1", 0))
        port = servers[-1].sockets[0].getsockname()[1]
        return TgiBackend(f"http://127.0.0.1:{port}", transport)

    yield start
    set_async_client_factory(default_async_client_factory)  # the next test has another event loop
    await transport.close_for_good()
    for server in servers:
        server.close()


async def read(backend: TgiBackend) -> list[Token | End]:
    return [item async for item in backend.stream("Why?", Sampling(max_tokens=5, stop=("x",)))]


async def test_a_stream_becomes_tokens_and_an_end(serve: Serve) -> None:
    backend = await serve(Server(200, HI + LAST, keep_open=False))
    assert await read(backend) == [Token("Hi"), Token(""), End("stop", 2)]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(422, BackendRefused), (429, BackendBusy), (503, BackendAway), (404, BackendFailed)],
)
async def test_an_error_status_is_told_in_the_servers_words(
    serve: Serve, status: int, kind: type[Exception]
) -> None:
    backend = await serve(Server(status, b'{"error":"too long","error_type":"validation"}', keep_open=False))
    with pytest.raises(kind, match=r"^too long$") as raised:
        await read(backend)
    assert type(raised.value) is kind


async def test_an_error_without_words_is_told_by_its_status(serve: Serve) -> None:
    with pytest.raises(BackendFailed, match="502"):
        await read(await serve(Server(502, b"<html>\xff", keep_open=False)))


async def test_an_overload_within_the_stream_is_busyness(serve: Serve) -> None:
    event = b'data:{"error":"Model is overloaded","error_type":"overloaded"}\n\n'
    with pytest.raises(BackendBusy):
        await read(await serve(Server(200, event, keep_open=False)))


async def test_a_stream_given_up_is_closed_at_the_server(serve: Serve) -> None:
    server = Server(200, HI, keep_open=True)
    stream = (await serve(server)).stream("Why?", Sampling(max_tokens=5))
    assert await anext(stream) == Token("Hi")
    reading = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    reading.cancel()
    async with asyncio.timeout(2):
        await server.gone.wait()


async def test_nothing_there_is_a_failure_and_has_no_slots(serve: Serve) -> None:
    await serve(Server(200, b"", keep_open=False))
    backend = TgiBackend("http://127.0.0.1:1", SharedTransport())
    with pytest.raises(BackendFailed):
        await read(backend)
    await backend.check()
    assert backend.slots == 0
