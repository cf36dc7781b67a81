"""Token borders of a text by a Text Generation Inference server's `/tokenize` (port: Tokenizer)."""

import asyncio
from typing import NoReturn

import httpx2
import msgspec

from penstock.streaming.errors import HandlerError, PermanentError, TransientError
from penstock.telemetry.http import Transport

PIECE_CHARACTERS = 16_000
CONCURRENCY = 4

_TIMEOUT = httpx2.Timeout(60, connect=2)
_TRANSIENT = frozenset({408, 424, 425, 429})


class _Token(msgspec.Struct):
    start: int
    stop: int


_TOKENS = msgspec.json.Decoder(list[_Token])


class TgiTokenizer:
    """Asks `{url}/tokenize` over connections that are kept; a long text goes in pieces, some at a time."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._client = httpx2.AsyncClient(transport=Transport(), timeout=_TIMEOUT, trust_env=False)

    async def borders(self, text: str) -> list[tuple[int, int]]:
        """Return (start, stop) characters of every token, in order."""
        slots = asyncio.Semaphore(CONCURRENCY)
        try:
            async with asyncio.TaskGroup() as group:
                parts = [
                    group.create_task(self._part(text, start, end, slots))
                    for start, end in pieces(text, PIECE_CHARACTERS)
                ]
        except ExceptionGroup as failures:  # the first ends the others
            raise failures.exceptions[0] from None
        return [border for part in parts for border in part.result()]

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _part(self, text: str, start: int, end: int, slots: asyncio.Semaphore) -> list[tuple[int, int]]:
        async with slots:
            tokens = await self._tokens(text[start:end])
        return [(start + token.start, start + token.stop) for token in tokens if token.stop > token.start]

    async def _tokens(self, text: str) -> list[_Token]:
        body = msgspec.json.encode({"inputs": text, "add_special_tokens": False})
        try:
            response = await self._client.post(
                f"{self._url}/tokenize", content=body, headers={"content-type": "application/json"}
            )
        except httpx2.TransportError as error:
            raise _unavailable(f"no answer ({type(error).__name__})") from error
        if not response.is_success:
            _refuse(response.status_code)
        try:
            return _TOKENS.decode(response.content)
        except msgspec.DecodeError as error:
            raise PermanentError("tokens_invalid", "The model server returned no token offsets.") from error


def pieces(text: str, limit: int) -> list[tuple[int, int]]:
    """Return consecutive (start, end) that cover the text, each at most `limit` characters long.

    They end before white space, where there is some: byte-level tokens carry the space in front of their
    word. A blank line is best, since few tokens reach over it.
    """
    found: list[tuple[int, int]] = []
    start = 0
    while start < len(text):
        end = min(start + limit, len(text))
        if end < len(text):
            cuts = (text.rfind(space, start + limit // 2, end) for space in ("\n\n", "\n", " "))
            end = next((cut for cut in cuts if cut > start), end)
        found.append((start, end))
        start = end
    return found


def _refuse(status: int) -> NoReturn:
    if status >= 500 or status in _TRANSIENT:
        raise _unavailable(f"status {status}")
    raise PermanentError("tokens_refused", f"The model server refused to count tokens (status {status}).")


def _unavailable(why: str) -> HandlerError:
    return TransientError("tokens_unavailable", f"The model server is not available: {why}.")
