"""One embedded Kafka node: KRaft, combined broker and controller, on 127.0.0.1 only.

``python -m penstock.devstack.kafka --dir DIR [--port N] [--security DIR]`` formats DIR if it is new, prints
``127.0.0.1:PORT`` and becomes the Java process, so that whoever started it holds the broker itself and
needs no wrapper.

Measured on two cores: the quick compiler alone (TieredStopAtLevel=1, which JAVA_TOOL_OPTIONS can ask for)
saves half a second of a start, and six of 48 where the whole stack starts beside it. From the second minute
on a record costs the broker half as much again by it (1,335 ms of processor for 1,000 tokens of one stream,
not 808). So only tests have it, whose brokers live for a minute. A class-data archive would save one second
more and cost five at the first stop, so there is none.
"""

from __future__ import annotations

import argparse
import base64
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from penstock.devstack.death import die_with_parent
from penstock.devstack.errors import DevstackError
from penstock.devstack.jars import class_path, ensure_jars, jars_folder
from penstock.devstack.java import find_java
from penstock.devstack.network import broker_answers, free_ports, listens
from penstock.devstack.root import find_root
from penstock.devstack.security import Security
from penstock.streaming.connection import ADMIN

HOST = "127.0.0.1"
_START_TIMEOUT_S = 60.0
_HEAP = ("-Xms64m", "-Xmx256m")

_PROPERTIES = """\
# Written at every start.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners={protocol}://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners={protocol}://{host}:{port}
inter.broker.listener.name={protocol}
controller.listener.names=CONTROLLER
listener.security.protocol.map={protocol}:{protocol},CONTROLLER:{protocol}
log.dirs={data}
auto.create.topics.enable=false
# One node: nothing can be replicated.
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
# A killed consumer is noticed after 1.5 seconds (the consumers ask for 1500 ms), a group starts at once.
group.min.session.timeout.ms=1000
group.initial.rebalance.delay.ms=0
# A small machine: few threads, small buffers, small index files.
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=16777216
log.index.size.max.bytes=1048576
controlled.shutdown.max.retries=1
group.coordinator.threads=1
# Else the controller writes twice a second that it has nothing to write: a third of an idle broker's cost.
metadata.max.idle.interval.ms=0
"""

# Both listeners want TLS and a user. The services' users are SCRAM ones, which the admin makes (ADR 0013);
# the admin itself, as which the broker also reaches its controller, is known by these lines alone.
_SECURE = """\
ssl.keystore.type=PKCS12
ssl.keystore.location={keystore}
ssl.keystore.password={keystore_password}
ssl.truststore.type=PEM
ssl.truststore.location={authority}
ssl.enabled.protocols=TLSv1.3,TLSv1.2
sasl.mechanism.inter.broker.protocol=PLAIN
sasl.mechanism.controller.protocol=PLAIN
listener.name.sasl_ssl.sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={scram} required;
listener.name.sasl_ssl.plain.sasl.jaas.config={plain} required {admin};
listener.name.controller.sasl.enabled.mechanisms=PLAIN
listener.name.controller.plain.sasl.jaas.config={plain} required {admin};
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users=User:{user}
"""
_LOGIN = "org.apache.kafka.common.security"


@dataclass(frozen=True)
class Broker:
    """Where one embedded broker lives and listens; ``folder`` holds its data and its settings."""

    folder: Path
    port: int
    controller_port: int
    log_file: Path
    root: Path
    security: Security | None = None

    @property
    def bootstrap(self) -> str:
        """What clients connect to, ``host:port``."""
        return f"{HOST}:{self.port}"

    @property
    def properties(self) -> Path:
        return self.folder / "server.properties"

    def write_properties(self) -> None:
        """Writes the broker's settings; the ports may differ from those of the last start."""
        self.folder.mkdir(parents=True, exist_ok=True)
        text = _PROPERTIES.format(
            host=HOST,
            port=self.port,
            controller_port=self.controller_port,
            data=self.folder / "data",
            protocol="SASL_SSL" if self.security else "PLAINTEXT",
        )
        if self.security:
            text += _secured(self.security)
        # It may hold secrets.
        self.properties.unlink(missing_ok=True)
        self.properties.touch(mode=0o600)
        self.properties.write_text(text, encoding="utf-8")

    def java_command(self, *arguments: str) -> list[str]:
        """``java`` with the broker's class path, heap and log configuration, then ``arguments``."""
        log_config = self.root / "infra" / "kafka" / "log4j2.properties"
        return [
            find_java(),
            *_HEAP,
            "-XX:+UseSerialGC",
            "-XX:-UsePerfData",
            f"-Dlog4j2.configurationFile={log_config}",
            f"-Dpenstock.kafka.log={self.log_file}",
            "-cp",
            class_path(jars_folder(self.root)),
            *arguments,
        ]

    def format(self) -> None:
        """Formats the storage if it is new; its random cluster id stays in ``meta.properties``."""
        if (self.folder / "data" / "meta.properties").is_file():
            return
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # --ignore-formatted: an interrupted format may have left part of the folder behind.
        # One word with its option, since one id in 64 begins with a dash.
        tool = (
            "kafka.tools.StorageTool",
            "format",
            "--ignore-formatted",
            f"--cluster-id={cluster}",
            "-c",
            str(self.properties),
        )
        done = subprocess.run(  # noqa: S603 our own Java command
            self.java_command(*tool),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            preexec_fn=die_with_parent(os.getpid()),
        )
        if done.returncode != 0:
            reason = (done.stdout.strip().splitlines() or ["no output"])[-1]
            raise DevstackError(f"Kafka's storage in {self.folder} could not be formatted: {reason}")


def _secured(security: Security) -> str:
    """The settings that bring TLS, users and ACLs."""
    secret = security.password(ADMIN)
    return _SECURE.format(
        keystore=security.keystore,
        keystore_password=security.keystore_password,
        authority=security.authority,
        scram=f"{_LOGIN}.scram.ScramLoginModule",
        plain=f"{_LOGIN}.plain.PlainLoginModule",
        admin=f'username="{ADMIN}" password="{secret}" user_{ADMIN}="{secret}"',
        user=ADMIN,
    )


def broker_in(
    folder: Path,
    *,
    port: int = 0,
    log_file: Path | None = None,
    root: Path | None = None,
    security: Security | None = None,
) -> Broker:
    """A broker in ``folder``; port 0 picks a free one, the controller's port is always picked.

    With ``security``, which must be prepared, both of its listeners want TLS and a user.
    """
    free = free_ports(2)
    absolute = folder.absolute()
    log = (log_file or absolute / "kafka.log").absolute()
    log.parent.mkdir(parents=True, exist_ok=True)
    return Broker(absolute, port or free[0], free[1], log, root or find_root(), security)


@contextmanager
def running_broker(folder: Path, *, port: int = 0, security: Security | None = None) -> Iterator[Broker]:
    """A broker that answers, stopped at the end: for tests and for short scripts."""
    broker = broker_in(folder, port=port, security=security)
    ensure_jars(broker.root)
    broker.write_properties()
    broker.format()
    process = subprocess.Popen(  # noqa: S603 our own Java command
        broker.java_command("kafka.Kafka", str(broker.properties)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=die_with_parent(os.getpid()),
    )
    try:
        _wait_until_it_answers(broker, process)
        yield broker
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_answers(broker: Broker, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not _answers(broker):
        if process.poll() is not None:
            raise DevstackError(f"Kafka ended with code {process.returncode}; see {broker.log_file}")
        if time.monotonic() > deadline:
            raise DevstackError(
                f"Kafka did not answer within {_START_TIMEOUT_S:.0f} s; see {broker.log_file}"
            )
        time.sleep(0.05)


def _answers(broker: Broker) -> bool:
    # A secured one is asked by its users.
    return (listens if broker.security else broker_answers)(HOST, broker.port)


def main() -> None:
    """Formats if needed, prints the address and replaces this process by the broker."""
    parser = argparse.ArgumentParser(prog="python -m penstock.devstack.kafka", description=__doc__)
    parser.add_argument("--dir", required=True, type=Path, help="folder of the broker's data and settings")
    parser.add_argument("--port", type=int, default=0, help="clients' port; 0 picks a free one")
    parser.add_argument("--log-file", type=Path, default=None, help="default: kafka.log in the folder")
    parser.add_argument("--security", type=Path, default=None, help="folder of certificates and passwords")
    given = parser.parse_args()
    try:
        security = Security(given.security.absolute()) if given.security else None
        broker = broker_in(given.dir, port=given.port, log_file=given.log_file, security=security)
        broker.write_properties()
        broker.format()
        command = broker.java_command("kafka.Kafka", str(broker.properties))
    except DevstackError as error:
        sys.stderr.write(f"penstock: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.stdout.write(f"{broker.bootstrap}\n")
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 meant: this process becomes the broker


if __name__ == "__main__":
    main()
