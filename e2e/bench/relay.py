"""``python -m e2e.bench.relay CLIENT SERVERS FROM TO``: passes every record of one topic on to another.

It does what a stage does with its consumer and its producer, and nothing else. It prints a line when it has
its partition, and relays until it is killed.
"""

from __future__ import annotations

import sys

import uvloop

from e2e.bench.hops import connection
from penstock.streaming.adapters.kafka import open_consumer, open_producer

_POLL_S = 1.0


async def relay(client: str, servers: str, source: str, target: str) -> None:
    """Relay for ever."""
    cluster = connection(client, servers)
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
    uvloop.run(relay(*sys.argv[1:]))
