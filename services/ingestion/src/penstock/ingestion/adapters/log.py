"""The connection to Kafka that a process writes by: opened when there is a broker, and again if it fails."""

import asyncio

import structlog

from penstock.messages.flows import FLOWS
from penstock.streaming.adapters.kafka import open_producer
from penstock.streaming.clock import BrokerClock
from penstock.streaming.connection import Cluster
from penstock.streaming.ports import BrokerError, Producer
from penstock.streaming.worker import topics_awaited
from penstock.telemetry.readiness import Readiness

KAFKA = "kafka"
_FLOW = FLOWS["ingestion"]
_TOPICS = [topic.name for topic in _FLOW.writes]
_RETRY_SECONDS = 0.5
log = structlog.get_logger()


class Connection:
    """`producer` is None while there is none; one that has given a record up is replaced."""

    def __init__(self, cluster: Cluster, readiness: Readiness, clock: BrokerClock) -> None:
        self.producer: Producer | None = None
        self._cluster = cluster
        self._readiness = readiness
        self._clock = clock

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
        if reason := await topics_awaited(self._cluster, _FLOW):
            raise BrokerError(reason)
        producer = await open_producer(self._cluster, _TOPICS, self._clock)
        self.producer = producer
        self._readiness.ready(KAFKA)
        try:
            while not producer.broken:  # noqa: ASYNC110  # it tells nobody
                await asyncio.sleep(_RETRY_SECONDS)
        finally:
            self.producer = None
            await producer.close()
