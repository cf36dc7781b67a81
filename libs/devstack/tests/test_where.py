"""Which Kafka a command talks to, and how."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.devstack.state import StackStatus, StateDir
from penstock.devstack.where import cluster_here
from penstock.streaming.connection import KafkaConnection


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StateDir]:
    """A folder whose stack runs, as far as anybody can see, in a shell that is set for a secured broker."""
    for name in [name for name in os.environ if name.startswith("PENSTOCK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PENSTOCK_STATE", str(tmp_path))
    monkeypatch.setenv("PENSTOCK_KAFKA_PROTOCOL", "SASL_PLAINTEXT")
    monkeypatch.setenv("PENSTOCK_KAFKA_USER", "admin")
    monkeypatch.setenv("PENSTOCK_KAFKA_PASSWORD", "secret")
    state = StateDir(tmp_path)
    with state.supervising():
        yield state


def running(state: StateDir, *, kafka_is_ours: bool) -> None:
    state.write(
        StackStatus(
            pid=os.getpid(),
            ready=True,
            kafka="127.0.0.1:1",
            kafka_is_ours=kafka_is_ours,
            gateway="",
            backends="",
            embeddings="",
        )
    )


def test_a_broker_of_others_is_reached_as_the_user_says(state: StateDir) -> None:
    running(state, kafka_is_ours=False)
    assert cluster_here().user == "admin"


def test_the_broker_that_the_stack_has_started_is_reached_as_it_was_started(state: StateDir) -> None:
    running(state, kafka_is_ours=True)
    assert cluster_here() == KafkaConnection("127.0.0.1:1")
