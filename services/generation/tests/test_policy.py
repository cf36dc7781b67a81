"""Requests that are answered without a model: by policy, or since no model server is there."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import msgspec
import pytest

from penstock.clients.models import UNKNOWN
from penstock.generation.cancellations import CancellationLog
from penstock.generation.domain.policy import without_model
from penstock.generation.handler import Generation
from penstock.generation.pool import Pool
from penstock.generation.ports import BackendAway, End, Token
from penstock.generation.stream_timeout import StreamTimeouts
from penstock.messages.chat import (
    ChatRetrieved,
    GenerationFinished,
    GenerationStarted,
    Passage,
    Sampling,
    TextGenerated,
    Usage,
)
from penstock.messages.event import Event
from services.generation.tests.kit import quiet, received

PASSAGE = Passage(document_id="d", title="Dams", start=0, end=6, text="Water\n", tokens=1)
PLAIN = ChatRetrieved(
    model="m",
    prompt_before="<user>",
    prompt_after="Why?<bot>",
    prompt_tokens=4,
    passages=(),
    sampling=Sampling(max_tokens=10),
    query="Why?",
)
FOUND = msgspec.structs.replace(PLAIN, passages=(PASSAGE,))
NOTHING = Usage(prompt_tokens=0, completion_tokens=0)


class Server:
    """A model server that says "Hello", unless it is away; `leaves`: it goes away when it is asked."""

    url = "server"
    profile = UNKNOWN

    def __init__(self, slots: int, leaves: bool = False) -> None:
        self.slots = slots
        self._leaves = leaves
        self.asked = 0

    async def check(self) -> None:
        return

    async def stream(self, _prompt: str, _sampling: Sampling) -> AsyncGenerator[Sequence[Token | End], None]:
        self.asked += 1
        if self._leaves:
            self.slots = 0
            raise BackendAway("gone")
        yield [Token("Hello"), End("stop", 1)]


def generation_of(server: Server) -> Generation:
    return Generation(Pool([server]), CancellationLog(quiet, lambda: 0), StreamTimeouts(retry=5))


async def handled(server: Server, request: ChatRetrieved, *earlier: Event) -> list[Event]:
    outgoing = generation_of(server).handle(received(request), earlier, asyncio.Event())
    async with asyncio.timeout(10):
        return [item.event async for item in outgoing]


@pytest.mark.parametrize(
    ("answers", "may_quote", "found", "reachable", "grounding"),
    [
        ("model", False, False, True, None),
        ("model", True, False, False, None),
        ("model", False, True, False, None),
        ("model", True, True, True, None),
        ("model", True, True, False, "quoted"),
        ("documents", False, True, True, None),
        ("documents", False, False, True, "not_found"),
        ("documents", True, True, False, "quoted"),
        ("quote", False, True, True, "quoted"),
        ("quote", False, False, True, "not_found"),
    ],
)
def test_when_no_model_is_asked(
    answers: str, may_quote: bool, found: bool, reachable: bool, grounding: str | None
) -> None:
    request = msgspec.structs.replace(FOUND if found else PLAIN, answers=answers, may_quote=may_quote)
    assert without_model(request, reachable=reachable) == grounding


async def test_where_the_documents_hold_nothing_no_model_is_asked() -> None:
    server = Server(slots=1)
    events = await handled(server, msgspec.structs.replace(PLAIN, answers="documents"))
    assert events == [
        GenerationStarted(model="m", passages=(), query="Why?"),
        GenerationFinished(length=0, finish_reason="stop", usage=NOTHING, grounding="not_found"),
    ]
    assert server.asked == 0


async def test_passages_are_quoted_while_no_model_server_is_there() -> None:
    request = msgspec.structs.replace(FOUND, may_quote=True)
    assert generation_of(Server(slots=0)).needs_no_slot(received(request))
    events = await handled(Server(slots=0), request)
    assert isinstance(events[-1], GenerationFinished)
    assert events[-1].grounding == "quoted"


async def test_passages_are_quoted_when_the_last_model_server_leaves() -> None:
    server = Server(slots=1, leaves=True)
    events = await handled(server, msgspec.structs.replace(FOUND, may_quote=True))
    assert server.asked == 1
    assert [type(event) for event in events] == [GenerationStarted, GenerationFinished]
    assert isinstance(events[-1], GenerationFinished)
    assert events[-1].grounding == "quoted"


async def test_text_of_a_model_is_never_followed_by_quotes() -> None:
    request = msgspec.structs.replace(FOUND, may_quote=True)
    assert not generation_of(Server(slots=1)).needs_no_slot(received(request))
    started = GenerationStarted(model="m", passages=(PASSAGE,), query="Why?")
    events = await handled(Server(slots=1), request, started, TextGenerated(start=0, text="Well. ", tokens=2))
    assert [type(event) for event in events] == [TextGenerated, GenerationFinished]
    assert isinstance(events[-1], GenerationFinished)
    assert (events[-1].grounding, events[-1].length) == (None, 11)
