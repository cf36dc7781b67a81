"""Which stack a command is about: that of the state folder."""

from __future__ import annotations

from penstock.devstack.errors import DevstackError
from penstock.devstack.security import Security
from penstock.devstack.settings import StackSettings, read_settings
from penstock.devstack.state import StackStatus, StateDir
from penstock.streaming.connection import KafkaConnection


def here() -> tuple[StackSettings, StateDir]:
    """The settings, and the state folder that they name."""
    settings = read_settings()
    return settings, StateDir(settings.state_folder())


def running_here(state: StateDir) -> StackStatus:
    """The stack that runs with this folder; DevstackError if none does."""
    status = state.read()
    if status is None:
        raise DevstackError("No stack runs here: start one with `penstock up`")
    return status


def cluster_here() -> KafkaConnection:
    """The Kafka of the stack that runs here, as its admin, or the one in PENSTOCK_KAFKA if none does."""
    settings, state = here()
    status = state.read()
    if status is None and settings.kafka:
        return settings.reaching(settings.kafka)
    status = running_here(state)
    if status.secure:
        return Security(state.security).connection(status.kafka)
    return KafkaConnection(status.kafka) if status.kafka_is_ours else settings.reaching(status.kafka)


def observer_here() -> tuple[str, str]:
    """Base URL and key of the observer of the stack that runs here. DevstackError if there is no such key."""
    _, state = here()
    url = running_here(state).observer
    try:
        return url, state.observer_key.read_text(encoding="ascii")
    except OSError as error:
        raise DevstackError(
            f"The observer's key: {state.observer_key}: {error.strerror}."
            " A stack of an older release has none: `penstock down`, then `penstock up`"
        ) from error


def gateway_here(url: str | None, key: str | None) -> tuple[str, str]:
    """The base URL and API key to use: those that were given, else the running stack's."""
    _, state = here()
    base = (url or running_here(state).gateway).rstrip("/").removesuffix("/v1")
    return base, read_key(state) if key is None else key


def read_key(state: StateDir) -> str:
    """The API key that the gateway has made at its first start, or an empty string."""
    try:
        return state.api_key.read_text(encoding="ascii").strip()
    except OSError:
        return ""
