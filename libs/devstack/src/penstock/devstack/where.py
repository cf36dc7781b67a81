"""Which stack a command is about: that of the state folder."""

from __future__ import annotations

from penstock.devstack.errors import DevstackError
from penstock.devstack.settings import StackSettings, read_settings
from penstock.devstack.state import StackStatus, StateDir


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


def bootstrap_here() -> str:
    """Bootstrap servers of the stack that runs here, or those in PENSTOCK_KAFKA if none does."""
    settings, state = here()
    status = state.read()
    if status is None and settings.kafka:
        return settings.kafka
    return running_here(state).kafka
