"""A backend that speaks Text Generation Inference's dialect (port: Backend)."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import msgspec
from pydantic import SecretStr

from penstock.clients.errors import Away, Busy, ModelServerError, Refused
from penstock.clients.models import UNKNOWN, ModelProfile, Models
from penstock.clients.pauses import Seconds, without_pause
from penstock.clients.server import CONNECTIONS
from penstock.clients.tgi import Details, Parameters, StreamEvent, TgiServer
from penstock.generation.ports import BackendAway, BackendBusy, BackendFailed, BackendRefused, End, Token
from penstock.messages.chat import Sampling

CHECK_SECONDS = 5.0
_MOST_SLOTS = CONNECTIONS - 8
"""The rest of the connections are for questions about its state."""


class _Info(msgspec.Struct):
    max_concurrent_requests: int
    model_id: str = ""


class TgiBackend:
    """Port: Backend. Between two reads of an answer there is a `pause`, in seconds."""

    def __init__(
        self, url: str, models: Models, key: SecretStr | None = None, pause: Seconds = without_pause
    ) -> None:
        self._server = TgiServer(url, key, CHECK_SECONDS)
        self._models = models
        self._pause = pause
        self._slots = 0
        self._profile = UNKNOWN

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def slots(self) -> int:
        return self._slots

    @property
    def profile(self) -> ModelProfile:
        return self._profile

    async def check(self) -> None:
        try:
            info = await self._server.info(_Info)
        except ModelServerError:
            self._slots = 0
        else:
            self._slots = max(0, min(info.max_concurrent_requests, _MOST_SLOTS))
            self._profile = self._models.of(info.model_id)

    async def stream(self, prompt: str, sampling: Sampling) -> AsyncGenerator[Sequence[Token | End], None]:
        try:
            async with aclosing(
                self._server.generate_stream(prompt, _parameters(sampling), self._pause)
            ) as reads:
                async for events in reads:
                    yield _items(events)
        except Refused as error:
            raise BackendRefused(str(error)) from error
        except Busy as error:
            raise BackendBusy(str(error)) from error
        except Away as error:
            raise BackendAway(str(error)) from error
        except ModelServerError as error:
            raise BackendFailed(str(error)) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()


def _parameters(sampling: Sampling) -> Parameters:
    """Return TGI's parameters: no temperature, or 0, is greedy; top_p of 1 means none and is left out."""
    greedy = not sampling.temperature
    return Parameters(
        max_new_tokens=sampling.max_tokens,
        do_sample=not greedy,
        temperature=None if greedy else sampling.temperature,
        top_p=None if greedy or sampling.top_p == 1 else sampling.top_p,
        frequency_penalty=sampling.frequency_penalty or None,
        seed=sampling.seed,
        stop=sampling.stop,
    )


def _items(events: Sequence[StreamEvent]) -> list[Token | End]:
    items: list[Token | End] = [
        Token("" if event.token is None or event.token.special else event.token.text) for event in events
    ]
    if (details := events[-1].details) is not None:
        items.append(_end(details))
    return items


def _end(details: Details) -> End:
    return End("length" if details.finish_reason == "length" else "stop", details.generated_tokens)
