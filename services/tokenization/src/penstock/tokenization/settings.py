"""Settings of the tokenization service, from the environment."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from penstock.clients.keys import BackendKey
from penstock.clients.models import ModelsFile
from penstock.messages.backends import LOCAL, parse_backends
from penstock.streaming.stage import RETRY_SECONDS
from penstock.streaming.worker import Backends, WorkerSettings


class Settings(WorkerSettings, BackendKey, ModelsFile):
    """`PENSTOCK_BACKENDS` and so on."""

    backends: Backends = parse_backends(LOCAL)
    """Model servers, e.g. `tgi+http://host:port`, separated by commas."""
    default_max_tokens: PositiveInt | None = None
    """Length of an answer, in tokens, when the client does not say; unset: the model's own, or 512."""
    passage_tokens: Annotated[int, Field(ge=0)] | None = None
    """The most tokens of passages in one prompt; unset: the model's own, or 512."""
    backend_wait_seconds: PositiveFloat = RETRY_SECONDS
    """For how long a question waits for a model server that is away: longer where they scale to zero."""
    tokenization_concurrency: int = 32
    """Requests handled at once."""
