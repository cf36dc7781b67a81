"""Settings of the generation service, from the environment."""

from pydantic import PositiveFloat

from penstock.clients.keys import BackendKey
from penstock.clients.models import ModelsFile
from penstock.messages.backends import LOCAL, parse_backends
from penstock.streaming.worker import Backends, WorkerSettings


class Settings(WorkerSettings, BackendKey, ModelsFile):
    """`PENSTOCK_BACKENDS` and so on."""

    backends: Backends = parse_backends(LOCAL)
    """Model servers, e.g. `tgi+http://host:port`, separated by commas."""
    first_token_seconds: PositiveFloat = 60.0
    """After how long a backend that has sent nothing of an answer counts as failed."""
    stall_seconds: PositiveFloat = 20.0
    """The same between two tokens."""
    trace_content: bool = False
    """Whether traces hold the text of prompts and answers."""
