"""Three real Kafka nodes on this machine, each broker and controller (KRaft), which can be killed one by one.

Every topic has a copy on each, also the groups' own; a record counts when two have it. So one node may
be away at any time.
"""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kafka
from kafka.errors import KafkaError

from penstock.devstack.death import die_with_parent
from penstock.devstack.jars import ensure_jars
from penstock.devstack.kafka import HOST, Broker
from penstock.devstack.network import broker_answers, free_ports
from penstock.devstack.root import find_root

NODES = (1, 2, 3)
OFFSETS = "__consumer_offsets"
_OFFSETS_PARTITIONS = 8
_READY_S = 300.0
_LOOK_S = 0.2
_PROPERTIES = """\
process.roles=broker,controller
node.id={number}
controller.quorum.voters={voters}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
offsets.topic.num.partitions={offsets_partitions}
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
share.coordinator.state.topic.num.partitions=1
# A killed node is noticed after three seconds instead of nine, and leads again soon after it is back.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
auto.leader.rebalance.enable=true
leader.imbalance.check.interval.seconds=5
leader.imbalance.per.broker.percentage=0
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=16777216
log.index.size.max.bytes=1048576
"""


class ClusterError(Exception):
    """The nodes do not do what they are told; one line says what."""


@dataclass
class Node:
    """One node; `process` is None while it is down."""

    number: int
    broker: Broker
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it (again)."""
        self.process = subprocess.Popen(  # noqa: S603  # ours
            self.broker.java_command("kafka.Kafka", str(self.broker.properties)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_parent(os.getpid()),
        )

    def kill(self) -> None:
        """End it at once, as kill -9 does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@dataclass(frozen=True)
class State:
    """What the cluster says of itself: each partition's leader, and those that are short of a copy."""

    leaders: dict[tuple[str, int], int]
    short: frozenset[tuple[str, int]]

    def coordinator(self, group: str) -> int:
        """The node that coordinates a group: the leader of the partition that keeps its offsets."""
        return self.leaders[OFFSETS, abs(_java_hash(group)) % _OFFSETS_PARTITIONS]


class Cluster:
    """The nodes in a folder, formatted for one cluster."""

    def __init__(self, folder: Path) -> None:
        root = find_root()
        ensure_jars(root)
        ports = free_ports(2 * len(NODES))
        places = dict(zip(NODES, zip(ports[::2], ports[1::2], strict=True), strict=True))
        self._id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        voters = ",".join(f"{number}@{HOST}:{controller}" for number, (_, controller) in places.items())
        self.nodes: dict[int, Node] = {}
        for number, (port, controller) in places.items():
            home = folder / f"node-{number}"
            home.mkdir(parents=True)
            broker = Broker(home, port, controller, home / "kafka.log", root)
            broker.properties.write_text(
                _PROPERTIES.format(
                    number=number,
                    voters=voters,
                    host=HOST,
                    port=port,
                    controller_port=controller,
                    data=home / "data",
                    offsets_partitions=_OFFSETS_PARTITIONS,
                ),
                encoding="utf-8",
            )
            self.nodes[number] = Node(number, broker)

    @property
    def servers(self) -> str:
        """All nodes, as `PENSTOCK_KAFKA` wants them."""
        return ",".join(node.broker.bootstrap for node in self.nodes.values())

    def format(self) -> None:
        """Make each node's storage."""
        for node in self.nodes.values():
            command = node.broker.java_command(
                *("kafka.tools.StorageTool", "format", f"--cluster-id={self._id}"),
                *("-c", str(node.broker.properties)),
            )
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # ours
            if done.returncode:
                raise ClusterError(f"node {node.number} could not be formatted: {done.stdout}{done.stderr}")

    async def until_whole(self) -> State:
        """Wait until all nodes answer and no partition is short of a copy. Raises ClusterError."""
        deadline = time.monotonic() + _READY_S
        while True:
            answering = [broker_answers(HOST, node.broker.port) for node in self.nodes.values()]
            if all(answering):
                state = await asyncio.to_thread(self._look)
                if state is not None and not state.short:
                    return state
            if time.monotonic() > deadline:
                raise ClusterError(f"not whole after {_READY_S:.0f} s; answering: {answering}")
            await asyncio.sleep(_LOOK_S)

    def _look(self) -> State | None:
        try:
            with _admin(self.servers) as admin:
                found = admin.describe_topics()
        except KafkaError:
            return None  # in the middle of an election
        partitions = {
            (topic["name"], partition["partition_index"]): partition
            for topic in found
            for partition in topic["partitions"]
        }
        return State(
            {at: partition["leader_id"] for at, partition in partitions.items()},
            frozenset(at for at, one in partitions.items() if len(one["isr_nodes"]) < len(NODES)),
        )


@contextmanager
def _admin(servers: str) -> Iterator[Any]:
    admin = kafka.KafkaAdminClient(
        bootstrap_servers=servers, bootstrap_timeout_ms=5_000, request_timeout_ms=10_000
    )
    try:
        yield admin
    finally:
        admin.close()


@asynccontextmanager
async def running_cluster(folder: Path) -> AsyncIterator[Cluster]:
    """A whole cluster without topics."""
    cluster = Cluster(folder)
    cluster.format()
    try:
        for node in cluster.nodes.values():
            node.start()
        await cluster.until_whole()
        yield cluster
    finally:
        for node in cluster.nodes.values():
            node.kill()


def _java_hash(text: str) -> int:
    """`String.hashCode`, by which Kafka chooses where a group's offsets are kept."""
    value = 0
    for character in text:
        value = (31 * value + ord(character)) & 0xFFFFFFFF
    return value - (1 << 32) if value & 1 << 31 else value
