"""Token borders of a text by a Text Generation Inference server's ``/tokenize``."""

from __future__ import annotations

import httpx2
import msgspec

from penstock.devstack.errors import DevstackError

_PIECE_CHARACTERS = 16_000


class _Token(msgspec.Struct):
    start: int
    stop: int


class Tokenizer:
    """Asks one server; a long text goes in pieces that end at a blank line or at least at white space."""

    def __init__(self, client: httpx2.AsyncClient, url: str) -> None:
        self._client = client
        self._url = url

    async def borders(self, text: str) -> list[tuple[int, int]]:
        """(start, stop) characters of every token; DevstackError if the server does not give them."""
        borders: list[tuple[int, int]] = []
        for start, end in pieces(text, _PIECE_CHARACTERS):
            tokens = await self._tokens(text[start:end])
            borders += [
                (start + token.start, start + token.stop) for token in tokens if token.stop > token.start
            ]
        return borders

    async def _tokens(self, text: str) -> list[_Token]:
        try:
            response = await self._client.post(
                f"{self._url}/tokenize", json={"inputs": text, "add_special_tokens": False}
            )
            response.raise_for_status()
            return msgspec.json.decode(response.content, type=list[_Token])
        except httpx2.HTTPStatusError as error:
            raise DevstackError(f"{self._url}/tokenize answered HTTP {error.response.status_code}") from error
        except httpx2.HTTPError as error:
            raise DevstackError(
                f"The model server at {self._url} does not answer: {type(error).__name__}"
            ) from error
        except msgspec.DecodeError as error:
            raise DevstackError(f"{self._url}/tokenize gives no token offsets: {error}") from error


def tgi_url(backends: str) -> str:
    """The HTTP address of the first backend that speaks TGI's dialect; DevstackError if none does."""
    for backend in backends.split(","):
        dialect, plus, url = backend.strip().partition("+")
        if plus and dialect == "tgi":
            return url.rstrip("/")
    raise DevstackError(f"Tokens are counted by a backend that speaks TGI's dialect: none in {backends!r}")


def pieces(text: str, limit: int) -> list[tuple[int, int]]:
    """Consecutive (start, end) that cover the text, each at most ``limit`` characters long."""
    found: list[tuple[int, int]] = []
    start = 0
    while start < len(text):
        end = start + limit
        if end < len(text):
            # Before the white space: byte-level tokens carry the space in front of their word.
            cut = max(text.rfind("\n\n", start + limit // 2, end), 0)
            cut = cut or max(
                text.rfind("\n", start + limit // 2, end), text.rfind(" ", start + limit // 2, end), 0
            )
            end = cut or end
        found.append((start, min(end, len(text))))
        start = found[-1][1]
    return found
