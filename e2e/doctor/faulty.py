"""Brokers in which something is wrong, for `penstock doctor` to find: version, disk, address, a lost node."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from penstock.devstack.death import die_with_parent
from penstock.devstack.kafka import Broker, broker_in
from penstock.devstack.network import broker_answers, free_ports

CLUSTER = "oXaXGgxRTcyRWzUbnlaZ8w"
START_S = 120.0


@dataclass
class Faulty:
    """The first node of a cluster; `small` if its disk could be made so."""

    broker: Broker
    small: bool

    @property
    def servers(self) -> str:
        return self.broker.bootstrap


def can_have_own_disks() -> bool:
    """Whether a user may mount something in a namespace of their own here."""
    try:
        done = subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=False)  # noqa: S607
    except FileNotFoundError:
        return False
    return done.returncode == 0


@contextmanager
def running(node: Broker, *options: str, before: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """A broker that is formatted with these options and run in one shell, after the command `before`."""
    node.write_properties()
    words = ("format", "-c", str(node.properties), f"--cluster-id={CLUSTER}", *options)
    tool = " ".join(node.java_command("kafka.tools.StorageTool", *words))
    server = " ".join(node.java_command("kafka.Kafka", str(node.properties)))
    own = ["unshare", "-rm"] if before else []
    script = f"{before or 'true'} && {tool} >&2 && exec {server}"
    said = node.folder / "out.txt"
    with said.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603  # our own Java command
            [*own, "sh", "-c", script],
            stdout=out,
            stderr=out,
            start_new_session=True,
            preexec_fn=die_with_parent(os.getpid()),
        )
    try:
        deadline = time.monotonic() + START_S
        while not broker_answers("127.0.0.1", node.port):
            assert process.poll() is None, said.read_text()
            assert time.monotonic() < deadline, said.read_text()
            time.sleep(0.1)
        yield process
    finally:
        _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
    process.kill()
    process.wait()


@contextmanager
def faulty_broker(folder: Path, release: str) -> Iterator[Faulty]:
    """A broker of an old version of Kafka's metadata, on a disk of 160 MB where one can be made."""
    node = broker_in(folder)
    small = can_have_own_disks()
    data = folder / "data"
    data.mkdir()
    mount = f"mount -t tmpfs -o size=160m tmpfs {data}" if small else ""
    with running(node, f"--release-version={release}", before=mount):
        yield Faulty(node, small)


def second_node(first: Broker, folder: Path) -> Broker:
    """A node that is only a broker, and tells clients an address where nobody listens."""

    class Second(Broker):
        def write_properties(self) -> None:
            super().write_properties()
            text = self.properties.read_text()
            for old, new in (
                ("process.roles=broker,controller", "process.roles=broker"),
                ("node.id=1", "node.id=2"),
                (f"1@127.0.0.1:{self.controller_port}", f"1@127.0.0.1:{first.controller_port}"),
                (f",CONTROLLER://127.0.0.1:{self.controller_port}", ""),
                (
                    f"advertised.listeners=PLAINTEXT://127.0.0.1:{self.port}",
                    f"advertised.listeners=PLAINTEXT://127.0.0.1:{self.dead}",
                ),
            ):
                assert old in text
                text = text.replace(old, new)
            self.properties.write_text(text)

        dead = free_ports(1)[0]

    port, controller = free_ports(2)
    folder = folder / "second"
    folder.mkdir()
    return Second(folder, port, controller, folder / "kafka.log", first.root)
