"""``python -m e2e.bench.relay CLIENT SERVERS FROM TO``: passes every record of one topic on to another.

It does what a stage does with its consumer and its producer, and nothing else. It prints a line when it has
its partition, and relays until it is killed.
"""

from __future__ import annotations

import sys
from typing import cast

import uvloop

from penstock.streaming.adapters.kafka import open_consumer, open_producer
from penstock.streaming.connection import Client, KafkaConnection

_POLL_S = 1.0


async def relay(client: Client, servers: str, source: str, target: str) -> None:
    """Relay for ever."""
    cluster = KafkaConnection(servers, client=client)
    producer = await open_producer(cluster, [target])
    consumer = await open_consumer(cluster, f"relay-{source}", [source], lambda _: None)
    while True:
        polled = await consumer.poll(_POLL_S)
        for record in polled.records:
            producer.send(target, record.key, record.value, record.headers)
        if polled.assigned:
            sys.stdout.write("ready\n")
            sys.stdout.flush()


if __name__ == "__main__":
    chosen, *others = sys.argv[1:]
    uvloop.run(relay(cast(Client, chosen), *others))
