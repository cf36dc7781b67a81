"""Settings of the generation service, from the environment."""

from penstock.messages.backends import LOCAL
from penstock.streaming.worker import WorkerSettings


class Settings(WorkerSettings):
    """`PENSTOCK_BACKENDS` and so on."""

    backends: str = LOCAL
    """Model servers, e.g. `tgi+http://host:port`, separated by commas."""
