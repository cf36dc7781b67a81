"""Fixtures that every member's tests may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Kafka broker, one for the whole test run: its bootstrap address, ``127.0.0.1:PORT``.

    It starts in about three seconds, creates no topics by itself, and is gone when the run ends, however it
    ends. Tests share it: use topic and group names of your own.
    """
    from penstock.devstack.kafka import running_broker

    with running_broker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker.bootstrap
