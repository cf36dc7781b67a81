"""Settings, from the environment (prefix `PENSTOCK_`), read once in main."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from penstock.clients.keys import BackendKey
from penstock.database.engine import check_url
from penstock.messages.backends import LOCAL, Backend, parse_backends
from penstock.messages.chat import AnswersFrom
from penstock.streaming.connection import KafkaSettings
from penstock.streaming.credentials import ObserverKey


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _backends(value: object) -> object:
    return parse_backends(value) if isinstance(value, str) else value  # a default comes parsed


def _base_url(value: str) -> str:
    parts = urlsplit(value)
    if value and (
        parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment
    ):
        raise ValueError("must be http://host:port")
    return value.rstrip("/")


Names = Annotated[list[str], NoDecode, BeforeValidator(_split)]
Backends = Annotated[tuple[Backend, ...], NoDecode, BeforeValidator(_backends)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
DatabaseUrl = Annotated[str, AfterValidator(check_url)]
Seconds = Annotated[float, Field(gt=0)]


class DatabaseSettings(BaseSettings):
    """Where the accounts database is: all that its migrations need. An empty variable counts as unset."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_", env_ignore_empty=True, frozen=True)

    state: Path = Path(".penstock")
    """Folder of what the gateway keeps: `api-key`, `gateway/accounts.db`."""
    accounts_db: DatabaseUrl = ""
    """`postgresql://user:password@host/name`; unset: SQLite in the state folder."""

    def accounts_url(self) -> str:
        """Return the URL of the accounts database."""
        return self.accounts_db or f"sqlite:///{(self.state / 'gateway' / 'accounts.db').absolute()}"


class Settings(DatabaseSettings, KafkaSettings, BackendKey, ObserverKey):
    """All settings of the gateway. Sizes in bytes, times in seconds."""

    gateway_host: str = "127.0.0.1"
    gateway_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port of the REST API; 0 picks a free one."""
    instance: str = "gateway-0"
    """Name of this replica; it decides the home partition."""
    first_key_file: Path | None = None
    """File with the first API key, an operator's, which is only read; unset: one is made in the state."""
    models: Names = Field(default_factory=list)
    """Names of the models on offer; unset: the backends are asked."""
    backends: Backends = parse_backends(LOCAL)
    answers: AnswersFrom = "model"
    """What answers rest on where no request, store or tenant says so: documents, model or quote."""
    ingestion: BaseUrl = ""
    """Where the ingestion service answers for `/v1/files` and `/v1/vector_stores`; unset: they answer 503."""
    observer: BaseUrl = ""
    """Where the observer service answers for `/console/api`; unset: most of the console shows nothing."""
    key_cache_s: Seconds = 10
    """For how long a key's or session's caller is remembered, and so may a revoked key still work."""
    console_session_s: Seconds = 43_200
    """For how long a sign-in to the console lasts."""
    trusted_proxies: str = ""
    """Addresses and networks of reverse proxies, with commas, whose `X-Forwarded-For` and `-Proto` count."""
    request_timeout_s: Seconds = 120
    """A request's deadline, from its arrival."""
    request_grace_s: Seconds = 5
    """For how long after its deadline a request's end is waited for."""
    ack_timeout_s: Seconds = 10
    """For how long a request may wait for the log to confirm it."""
    keep_alive_s: Seconds = 15
    """Silence in a stream after which a comment is sent."""
    body_timeout_s: Seconds = 30
    """For how long a request's body may take to arrive."""
    send_timeout_s: Seconds = 60
    """For how long a client may take nothing before its connection is dropped."""
    disconnect_grace_s: Annotated[float, Field(ge=0, le=3600)] = 10
    """For how long a client that has gone is waited for, unless its request says otherwise."""
    retention_hours: Annotated[float, Field(gt=0)] = 168
    """How old a request may be whose answer is still looked for in the log."""
    drain_s: Seconds = 5
    """For how long open answers may go on after SIGTERM."""
    max_body_bytes: Annotated[int, Field(gt=0)] = 1 << 20
    max_buffered_bytes: Annotated[int, Field(gt=0)] = 64 << 20
    """Bodies that are being received, together."""
    max_upload_bytes: Annotated[int, Field(gt=0)] = (50 << 20) + (64 << 10)
    """Body of one upload: a file of 50 MiB and what multipart puts around it."""
    max_uploads: Annotated[int, Field(gt=0)] = 32
    """Uploads at once."""
    max_open_requests: Annotated[int, Field(gt=0)] = 1024
    max_console_requests: Annotated[int, Field(gt=0)] = 64
    """The console's streams at once, and as many of its other requests."""
    max_recalls: Annotated[int, Field(gt=0)] = 2048
    """Requests that are being looked for in the log, together."""
    max_answer_chars: Annotated[int, Field(gt=0)] = 1 << 18
