"""Credentials of model servers: settings of their own, so that each goes to the servers it is for alone."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from penstock.streaming.credentials import read_token


class BackendKey(BaseSettings):
    """The key of the servers in `PENSTOCK_BACKENDS`."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_", env_ignore_empty=True, extra="ignore")

    backend_key: SecretStr | None = None
    """Sent to each of them as a bearer token; unset: none is."""
    backend_key_file: Path | None = None
    """A file that holds the key; white space at its end does not count."""

    @cached_property
    def key_of_backends(self) -> SecretStr | None:
        """Return the key; its file is read once."""
        return read_token("PENSTOCK_BACKEND_KEY", self.backend_key, self.backend_key_file)

    @model_validator(mode="after")
    def _backend_key_can_be_used(self) -> Self:
        _ = self.key_of_backends
        return self


class EmbeddingsKey(BaseSettings):
    """The key of the server in `PENSTOCK_EMBEDDINGS`."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_", env_ignore_empty=True, extra="ignore")

    embeddings_key: SecretStr | None = None
    """Sent to it as a bearer token; unset: none is."""
    embeddings_key_file: Path | None = None
    """A file that holds the key; white space at its end does not count."""

    @cached_property
    def key_of_embeddings(self) -> SecretStr | None:
        """Return the key; its file is read once."""
        return read_token("PENSTOCK_EMBEDDINGS_KEY", self.embeddings_key, self.embeddings_key_file)

    @model_validator(mode="after")
    def _embeddings_key_can_be_used(self) -> Self:
        _ = self.key_of_embeddings
        return self


def _embeddings_url(url: str) -> str:
    plain = url.strip().removeprefix("tei+").rstrip("/")
    if not plain.startswith(("http://", "https://")):
        raise ValueError("must be the URL of an embeddings server, like http://host:port")
    if urlsplit(plain).username is not None:
        raise ValueError("must hold no user or password: PENSTOCK_EMBEDDINGS_KEY is for that")
    return plain


class EmbeddingsServer(EmbeddingsKey):
    """That server, and its key."""

    embeddings: Annotated[str, AfterValidator(_embeddings_url)] = "http://127.0.0.1:8081/tei"
    """URL of a server that speaks Text Embeddings Inference's dialect; `tei+http://…` is taken, too."""
