"""Makes the topics; the supervisor calls it as soon as the broker answers."""

from __future__ import annotations

import asyncio

from penstock.devstack.errors import DevstackError
from penstock.streaming.admin import ensure_topics
from penstock.streaming.ports import BrokerError


def create_topics(bootstrap: str, retention_hours: float | None = None) -> None:
    """Blocks until every topic stands; DevstackError says why one does not."""
    try:
        asyncio.run(ensure_topics(bootstrap, retention_hours=retention_hours))
    except BrokerError as error:
        raise DevstackError(str(error)) from error
