"""Kafka behind the ports, by librdkafka (confluent-kafka): the default of all that is on a request's way.

Each client is polled by one thread of ours, which hands whole batches to the event loop; all network work
is done by librdkafka's own threads, without Python's lock.
"""

from penstock.streaming.adapters.librdkafka.consumer import open_consumer
from penstock.streaming.adapters.librdkafka.producer import open_producer
from penstock.streaming.adapters.librdkafka.reader import open_reader

__all__ = ["open_consumer", "open_producer", "open_reader"]
