"""Token borders of a text by a Text Generation Inference server's `/tokenize` (port: Tokenizer)."""

import asyncio

from pydantic import SecretStr

from penstock.clients.errors import Codes, ModelServerError, handler_error
from penstock.clients.tgi import Span, TgiServer

PIECE_CHARACTERS = 16_000
CONCURRENCY = 4
CODES = Codes("The model server", "tokens_refused", "tokens_unavailable", "tokens_invalid")


class TgiTokenizer:
    """Asks `{url}/tokenize` over connections that are kept; a long text goes in pieces, some at a time."""

    def __init__(self, url: str, key: SecretStr | None = None) -> None:
        self._server = TgiServer(url, key)

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
        await self._server.close()

    async def _part(self, text: str, start: int, end: int, slots: asyncio.Semaphore) -> list[tuple[int, int]]:
        async with slots:
            tokens = await self._tokens(text[start:end])
        return [(start + token.start, start + token.stop) for token in tokens if token.stop > token.start]

    async def _tokens(self, text: str) -> list[Span]:
        try:
            return await self._server.tokenize(text)
        except ModelServerError as error:
            raise handler_error(error, CODES) from error


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
