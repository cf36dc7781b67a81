"""What retrieval is told by its environment."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from penstock.clients.keys import EmbeddingsServer
from penstock.clients.models import ModelsFile
from penstock.streaming.worker import WorkerSettings

FIRST = "retrieval"


def _qdrant_url(url: str) -> str:
    plain = url.strip()
    if plain and not plain.startswith(("http://", "https://")):
        raise ValueError("must be the URL of a Qdrant server, like http://host:6333, or empty")
    return plain


class Settings(WorkerSettings, EmbeddingsServer, ModelsFile):
    """Retrieval's own settings beside every worker's."""

    embedding_size: int = Field(default=384, ge=1)
    """How many numbers a vector of its model has."""
    qdrant: Annotated[str, AfterValidator(_qdrant_url)] = ""
    """URL of a Qdrant server, which all replicas share; unset: Qdrant's engine in this process."""
    qdrant_api_key: SecretStr | None = None
    """Key for that server."""
    search_host: str = "127.0.0.1"
    search_port: int = Field(default=0, ge=0, le=65_535)
    """Where searches are taken over HTTP, from other services only; 0 picks a free port."""
    retrieval_concurrency: int = Field(default=64, ge=1)
    """How many questions are searched for at once."""

    instance: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$"),
        BeforeValidator(lambda name: name or FIRST),
    ] = FIRST
    """Name of this replica; each has an index of its own, unless there is a Qdrant server."""
    announcer: str = FIRST
    """Name of the replica that says of each document that it is indexed, and writes to a Qdrant server."""

    @property
    def announces(self) -> bool:
        """Whether it is this replica that tells which documents are indexed."""
        return self.instance == self.announcer

    @property
    def indexes(self) -> bool:
        """Whether this replica keeps an index: its own, or as the one that writes the shared one."""
        return not self.qdrant or self.announces

    @property
    def index(self) -> Path:
        """Where this replica's own vector index lies."""
        return self.state / "index" if self.instance == FIRST else self.state / self.instance / "index"
