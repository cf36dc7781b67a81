"""Settings of the observer, from the environment (prefix `PENSTOCK_`), read once in main."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from penstock.streaming.connection import KafkaSettings
from penstock.streaming.credentials import ObserverKey


class Settings(KafkaSettings, ObserverKey):
    """`PENSTOCK_KAFKA` and so on, and the key of the callers of its views."""

    state: Path = Path(".penstock")
    """What the observer keeps lies in its folder `observer`."""
    observer_host: str = "127.0.0.1"
    observer_port: Annotated[int, Field(ge=0, le=65535)] = 8087
    """Takes OTLP from everybody, and answers callers that have the key. 0 picks a free port."""
    observer_keep_hours: Annotated[float, Field(gt=0, le=24 * 365)] = 24
    """For how long spans are kept."""
    observer_keep_megabytes: Annotated[int, Field(ge=1, le=100_000)] = 200
    """How much room they may take; the oldest traces leave first."""
    observer_keep_share: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the traces without error or retry, and not slow, that is kept once they have ended."""
    observer_slow_ms: Annotated[int, Field(ge=0)] = 10_000
    """A trace that takes so long is always kept."""
    observer_quiet_seconds: Annotated[float, Field(gt=0, le=3600)] = 5.0
    """A trace has ended when nothing of it has come for so long."""

    @property
    def folder(self) -> Path:
        """Return where the observer keeps its files."""
        return self.state / "observer"
