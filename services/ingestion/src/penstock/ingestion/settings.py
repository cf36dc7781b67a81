"""Settings, from the environment (prefix `PENSTOCK_`), read once in the mains."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from penstock.clients.keys import BackendKey, EmbeddingsServer
from penstock.database.engine import check_url
from penstock.messages.backends import LOCAL, parse_backends
from penstock.streaming.worker import Backends, WorkerSettings


class DatabaseSettings(BaseSettings):
    """Where the documents database is: all that its migrations need. An empty variable counts as unset."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_", env_ignore_empty=True, extra="ignore")

    state: Path = Path(".penstock")
    """Directory for what must survive a restart."""
    documents_db: Annotated[str, AfterValidator(check_url)] = ""
    """`postgresql://user:password@host/name`; unset: SQLite in the state folder."""

    def database_url(self) -> str:
        """Return the URL of the documents database."""
        return self.documents_db or f"sqlite:///{(self.state / 'ingestion' / 'documents.db').absolute()}"


class IngestionSettings(DatabaseSettings, WorkerSettings, BackendKey, EmbeddingsServer):
    """What the app and its workers share. Sizes in bytes."""

    blobs: str = ""
    """Where files are kept: `file:///folder` or `s3://bucket/prefix`; unset: in the state folder."""
    celery_broker: str = ""
    """Celery's broker: `redis://host:port/0`; unset: a folder in the state folder."""
    backends: Backends = parse_backends(LOCAL)
    """The first one that speaks TGI's dialect counts tokens."""
    embedding_size: int = 384
    """Numbers in a vector of its model."""
    worker_concurrency: Annotated[int, Field(ge=1, le=64)] = 4
    """Documents that one worker has in hand."""

    def blobs_url(self) -> str:
        """Return the URL of the blob store."""
        return self.blobs or f"file://{(self.state / 'ingestion' / 'blobs').absolute()}"

    def broker_url(self) -> str:
        """Return the URL of Celery's broker."""
        return self.celery_broker or f"folder://{(self.state / 'ingestion' / 'queue').absolute()}"


class AppSettings(IngestionSettings):
    """What the HTTP app needs besides."""

    ingestion_host: str = "127.0.0.1"
    ingestion_port: Annotated[int, Field(ge=0, le=65535)] = 8085
    """Where the API for the gateway is served; nobody else should reach it. 0 picks a free port."""
    retrieval: str = "http://127.0.0.1:8086"
    """URL of retrieval's search API."""
    max_file_bytes: Annotated[int, Field(gt=0)] = 50_000_000
