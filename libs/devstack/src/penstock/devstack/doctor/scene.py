"""What the checks look at: the settings, the state folder, and the stack if one runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import httpx2
from pydantic import SecretStr, ValidationError

from penstock.clients.keys import BackendKey, EmbeddingsKey
from penstock.devstack.errors import DevstackError
from penstock.devstack.security import Security
from penstock.devstack.state import ServiceStatus, StackStatus, StateDir
from penstock.messages.backends import Backend, parse_backends
from penstock.streaming.connection import KafkaAccess, KafkaConnection

_MIB = 1 << 20


class Unchecked(Exception):
    """A check cannot be made; the text says why."""


@dataclass(frozen=True)
class Needs:
    """From where on something counts as too little or too slow. Sizes in bytes, times in seconds."""

    limit_s: float = 8.5
    """For a whole check."""
    disk_low: int = 1024 * _MIB
    disk_least: int = 200 * _MIB
    memory_low: int = 512 * _MIB
    memory_least: int = 128 * _MIB
    files: int = 1024
    """Open files that a process may have."""
    share: float = 0.85
    """Of a limit, from where on a process is near it."""
    answer_s: float = 5.0
    """For one token."""
    clock_s: float = 5.0
    look_again_s: float = 2.0
    """Between the two looks at what changes."""
    grown: int = 10
    """Records that more wait at the second look."""
    waiting_s: float = 30.0
    stuck_job_s: float = 60.0

    @property
    def reply_s(self) -> float:
        """For one answer of a server: a check may need two."""
        return 0.4 * self.limit_s


@dataclass(frozen=True)
class Scene:
    """Everything the checks are given; ``status`` is None if no stack runs. ``now_ms`` is Unix time."""

    environ: Mapping[str, str]
    root: Path
    state: StateDir
    status: StackStatus | None
    client: httpx2.AsyncClient
    now_ms: Callable[[], int]
    needs: Needs = field(default_factory=Needs)

    def given(self, name: str) -> str | None:
        """The user's ``PENSTOCK_<name>``, or None if it is unset or empty."""
        return self.environ.get(f"PENSTOCK_{name}") or None

    @property
    def kafka(self) -> str:
        """Bootstrap servers. Unchecked if there are none to look at."""
        servers = self.status.kafka if self.status else self.given("KAFKA")
        if servers is None:
            raise Unchecked("no stack runs, and PENSTOCK_KAFKA names no broker")
        return servers

    @cached_property
    def cluster(self) -> KafkaConnection:
        """How Kafka is reached. Unchecked if there is none to look at, or it is not known how."""
        if self.status and self.status.secure:
            try:
                return Security(self.state.security).connection(self.kafka)
            except DevstackError as error:
                raise Unchecked(str(error)) from error
        if self.kafka_is_ours:
            return KafkaConnection(self.kafka)
        try:
            return KafkaAccess().reaching(self.kafka)
        except ValidationError as error:
            raise Unchecked(error.errors()[0]["msg"]) from error

    @property
    def kafka_is_ours(self) -> bool:
        """Whether the broker is the one that the stack starts."""
        return self.status.kafka_is_ours if self.status else self.given("KAFKA") is None

    @property
    def inference_is_ours(self) -> bool:
        """Whether the stack has, or would have, the local inference service."""
        if self.status is None:
            return not (self.given("BACKENDS") and self.given("EMBEDDINGS"))
        return self.service("inference") is not None

    @property
    def backends(self) -> tuple[Backend, ...]:
        """The model servers. Unchecked if there are none to look at."""
        text = self.status.backends if self.status else self.given("BACKENDS")
        if text is None:
            raise Unchecked("no stack runs, and PENSTOCK_BACKENDS names no model server")
        try:
            return parse_backends(text)
        except ValueError as error:
            raise Unchecked(f"PENSTOCK_BACKENDS: {error}") from error

    @property
    def embeddings(self) -> str:
        """Base URL of the embeddings server. Unchecked if there is none to look at."""
        url = self.status.embeddings if self.status else self.given("EMBEDDINGS")
        if url is None:
            raise Unchecked("no stack runs, and PENSTOCK_EMBEDDINGS names no server")
        return url.strip().removeprefix("tei+").rstrip("/")

    @cached_property
    def backend_key(self) -> SecretStr | None:
        """The key of the model servers; None also if its setting is of no use, which is told elsewhere."""
        try:
            return BackendKey().key_of_backends
        except ValidationError:
            return None

    @cached_property
    def embeddings_key(self) -> SecretStr | None:
        """The same of the embeddings server."""
        try:
            return EmbeddingsKey().key_of_embeddings
        except ValidationError:
            return None

    def service(self, name: str) -> ServiceStatus | None:
        """One process of the running stack, by its name."""
        services = self.status.services if self.status else ()
        return next((service for service in services if service.name == name), None)
