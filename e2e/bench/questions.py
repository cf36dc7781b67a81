"""The questions of a run, and the prompts that Penstock makes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from e2e.bench.errors import BenchError
from e2e.bench.load import wave
from e2e.bench.targets import Target
from penstock.clients.models import PromptForm
from penstock.generation.domain.prompt import render
from penstock.messages.chat import ChatRetrieved
from penstock.messages.event import InvalidEvent
from penstock.messages.topics import CHAT_RETRIEVED
from penstock.streaming.adapters.kafka import open_reader
from penstock.streaming.ports import Partition, Reader
from penstock.streaming.records import decode

_WAIT_S = 20.0
_POLL_S = 0.2
_ASKED = (
    "What is {}, and what is it good for?",
    "Explain {} to somebody who runs servers.",
    "When does {} go wrong, and what helps then?",
    "What should one know about {}?",
)
_TOPICS = (
    "a penstock",
    "a watermark commit",
    "a consumer group",
    "backpressure",
    "hybrid search",
    "the time to first token",
    "the KV cache",
    "prefix caching",
    "a dead letter",
    "autoscaling to zero",
    "continuous batching",
    "an epoch that fences a zombie",
    "an answer that is a log",
)


DIFFERENT = len(_ASKED) * len(_TOPICS)


def messages(nth: int, different: int = DIFFERENT) -> list[dict[str, str]]:
    """Question number `nth` as a conversation; after `different` of them they are asked again.

    The first words differ from those of every other number, so that no prefix cache helps one arm of a
    comparison with what the other has left there.
    """
    form, topic = divmod(nth % different, len(_TOPICS))
    return [
        {"role": "system", "content": f"{_tag(nth)} Answer in a few sentences."},
        {"role": "user", "content": _ASKED[form].format(_TOPICS[topic])},
    ]


def _tag(nth: int) -> str:
    return f"Conversation {nth:07d}."


async def capture_prompts(
    bootstrap: str, through: Target, different: int, *, passages: bool
) -> Callable[[int], str]:
    """Ask the `different` questions through Penstock, and return how generation puts number n to a model.

    The prompts are read from chat.retrieved, so a server asked directly gets the same ones, passages
    included. BenchError if most have no passages where `passages` are expected (the stub's embeddings find
    nothing for some questions), or any have some where none are.
    """
    partitions = [Partition(CHAT_RETRIEVED.name, number) for number in range(CHAT_RETRIEVED.partitions)]
    reader = await open_reader(bootstrap, partitions, "end")
    try:
        await wave(through, different, 1, 0)
        async with asyncio.timeout(_WAIT_S):
            asked = await _read(reader, different)
    except TimeoutError as error:
        raise BenchError("Not all questions were found in chat.retrieved") from error
    finally:
        await reader.close()
    found = sum(bool(event.passages) for event in asked)
    if 2 * found < len(asked) if passages else found:
        raise BenchError(f"Questions should have {'' if passages else 'no '}passages; {found} have some")
    prompts = {
        nth: prompt for event in asked for nth, prompt in [_numbered(render(event, PromptForm()), different)]
    }
    if len(prompts) != different:
        raise BenchError("The prompts in chat.retrieved are not those of the questions asked")
    return lambda nth: prompts[nth % different].replace(_tag(nth % different), _tag(nth))


async def _read(reader: Reader, count: int) -> list[ChatRetrieved]:
    found: list[ChatRetrieved] = []
    while len(found) < count:
        for record in await reader.poll(_POLL_S):
            try:
                event = decode(record, CHAT_RETRIEVED).event
            except InvalidEvent:
                continue
            if isinstance(event, ChatRetrieved):
                found.append(event)
    return found


def _numbered(prompt: str, count: int) -> tuple[int, str]:
    return next((nth for nth in range(count) if _tag(nth) in prompt), -1), prompt
