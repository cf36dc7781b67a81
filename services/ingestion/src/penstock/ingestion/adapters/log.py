"""The connection to Kafka that a process writes by: opened when there is a broker, and again if it fails."""

import asyncio

import structlog

from penstock.messages.flows import FLOWS
from penstock.streaming.adapters.kafka import open_producer
from penstock.streaming.admin import missing_topics
from penstock.streaming.clock import BrokerClock
from penstock.streaming.connection import Cluster
from penstock.streaming.ports import BrokerError, Producer
from penstock.telemetry.readiness import Readiness

KAFKA = "kafka"
_TOPICS = [topic.name for topic in FLOWS["ingestion"].writes]
_RETRY_SECONDS = 0.5
log = structlog.get_logger()


class Connection:
    """`producer` is None while there is none; `broken` has it opened anew."""

    def __init__(self, cluster: Cluster, readiness: Readiness, clock: BrokerClock) -> None:
        self.producer: Producer | None = None
        self._cluster = cluster
        self._readiness = readiness
        self._clock = clock
        self._broken = asyncio.Event()

    def broken(self) -> None:
        """Say that a write failed: a producer that has given up writes no more."""
        self._broken.set()

    async def run(self) -> None:
        """Keep a producer open until cancelled."""
        while True:
            try:
                await self._hold()
            except BrokerError as error:
                self._readiness.waiting(KAFKA, str(error))
                log.warning("broker_awaited", reason=str(error))
            await asyncio.sleep(_RETRY_SECONDS)

    async def _hold(self) -> None:
        missing = await missing_topics(self._cluster, _TOPICS)
        if missing:
            raise BrokerError(f"{self._cluster} has no {', '.join(missing)}")
        producer = await open_producer(self._cluster, _TOPICS, self._clock)
        self._broken.clear()
        self.producer = producer
        self._readiness.ready(KAFKA)
        try:
            await self._broken.wait()
        finally:
            self.producer = None
            await producer.close()
