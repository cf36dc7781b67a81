"""Settings of the local stack, all from the environment; the command reads them once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError
from pydantic_settings import SettingsConfigDict

from penstock.devstack.errors import DevstackError
from penstock.devstack.root import find_root
from penstock.streaming.connection import KafkaAccess


class StackSettings(KafkaAccess):
    """What a user may set, beside how an existing Kafka is spoken to; an empty variable counts as unset."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_", env_ignore_empty=True, frozen=True)

    state: Path | None = None
    """Folder of everything the stack keeps; unset: ``.penstock`` in the checkout."""
    kafka: str | None = None
    """Bootstrap servers of an existing Kafka, ``host:port[,host:port]``; unset: one is started."""
    secure: bool | None = None
    """Whether that one has TLS, users and ACLs; unset: as the last time."""
    backends: str | None = None
    """Model backends, ``tgi+http://host:port`` separated by commas; unset: the local inference service."""
    embeddings: str | None = None
    """URL of a Text Embeddings Inference server; unset: the local inference service."""
    gateway_host: str = "127.0.0.1"
    gateway_port: int = 8080
    """Port of the REST API; 0 picks a free one."""
    retention_hours: Annotated[float, Field(gt=0)] = 168
    """For how long requests and answers are kept."""
    ready_timeout: float = 180.0
    """Seconds after which ``up --detach`` and ``demo`` give a start up."""

    def state_folder(self) -> Path:
        """The absolute folder of the stack's state."""
        return (self.state or find_root() / ".penstock").absolute()


def read_settings() -> StackSettings:
    """The settings from the environment; DevstackError names the variable that cannot be read."""
    try:
        return StackSettings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "".join(f"PENSTOCK_{str(part).upper()} is not usable: " for part in first["loc"][:1])
        raise DevstackError(f"{name}{first['msg']}") from error
