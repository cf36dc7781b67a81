"""Settings of the generation service, from the environment."""

from penstock.messages.backends import LOCAL, parse_backends
from penstock.streaming.worker import Backends, WorkerSettings


class Settings(WorkerSettings):
    """`PENSTOCK_BACKENDS` and so on."""

    backends: Backends = parse_backends(LOCAL)
    """Model servers, e.g. `tgi+http://host:port`, separated by commas."""
