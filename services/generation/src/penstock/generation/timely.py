"""A stream that must not stall: a backend may hold its connection open and send nothing more."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from penstock.generation.ports import BackendFailed, End, Token


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds to wait: for the first token, for each later one, and for any progress at all."""

    first_token: float = 60.0
    token: float = 20.0
    retry: float = 30.0


async def timely(
    stream: AsyncGenerator[Token | End, None], patience: Patience
) -> AsyncGenerator[Token | End, None]:
    """Yield what `stream` does. Raises BackendFailed when the next token takes too long."""
    seconds = patience.first_token
    while True:
        try:
            async with asyncio.timeout(seconds):
                item = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise BackendFailed(f"no token came for {seconds:g} s") from None
        yield item
        seconds = patience.token
