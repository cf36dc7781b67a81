"""Kafka behind the ports, by kafka-python (3.x: each client runs an I/O thread of its own).

A consumer is not thread-safe, so each lives in a thread of its own, where its calls queue up; the producer
is, and its `send` only blocks on unknown metadata, which is fetched before the first one.
"""

from penstock.streaming.adapters.kafka.consumer import open_consumer
from penstock.streaming.adapters.kafka.producer import MAX_RECORD_BYTES, open_producer, partition_of
from penstock.streaming.adapters.kafka.reader import open_reader

__all__ = [
    "MAX_RECORD_BYTES",
    "open_consumer",
    "open_producer",
    "open_reader",
    "partition_of",
]
