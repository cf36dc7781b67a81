"""Which processes a stack has, with which addresses, worked out from the settings."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from penstock.devstack.errors import DevstackError
from penstock.devstack.jars import class_path, jars_folder
from penstock.devstack.java import find_java
from penstock.devstack.network import free_ports, listen_error, preferred_port
from penstock.devstack.readiness import KafkaProbe, http_probe
from penstock.devstack.replicas import (
    GATEWAY,
    INGESTION,
    OBSERVER,
    RETRIEVAL,
    SCALABLE,
    replica_names,
    service_of,
)
from penstock.devstack.root import find_root
from penstock.devstack.security import PLAIN_ENVIRONMENT, Security, make_secret
from penstock.devstack.service import ServiceSpec
from penstock.devstack.settings import StackSettings
from penstock.devstack.state import StateDir
from penstock.messages.flows import SERVICES
from penstock.streaming.connection import Cluster, KafkaConnection

HOST = "127.0.0.1"
KAFKA_PORT = 9092
_TRIES = 8


@dataclass(frozen=True)
class Addresses:
    """Where everything of one stack listens; URLs and ``host:port`` as the services expect them."""

    kafka: str
    kafka_is_ours: bool
    cluster: KafkaConnection
    """Kafka as the command itself reaches it."""
    inference_port: int | None
    backends: str
    embeddings: str
    gateway_host: str
    gateway_port: int
    ingestion_port: int
    search_port: int
    observer_port: int

    @property
    def gateway(self) -> str:
        """Base URL of the REST API for a client on this machine."""
        return self.gateway_at(self.gateway_port)

    @property
    def observer(self) -> str:
        """Base URL of the observer."""
        return f"http://{HOST}:{self.observer_port}"

    def gateway_at(self, port: int) -> str:
        """Base URL of the gateway replica that listens on ``port``."""
        everywhere = self.gateway_host in ("0.0.0.0", "::", "")  # noqa: S104 compared, not bound
        host = HOST if everywhere else self.gateway_host
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def choose_addresses(settings: StackSettings, security: Security | None = None) -> Addresses:
    """Picks the ports; DevstackError if the gateway's is taken or a setting cannot be read."""
    gateway_free, inference, ingestion, search, observer = free_ports(5)
    port = settings.gateway_port or gateway_free
    if not 0 < port < 65536:
        raise DevstackError(f"PENSTOCK_GATEWAY_PORT is not a port: {port}")
    problem = listen_error(port, settings.gateway_host)
    if problem is not None and problem.errno == errno.EADDRINUSE:
        raise DevstackError(
            f"Port {port} on {settings.gateway_host} is taken: set PENSTOCK_GATEWAY_PORT (0 picks a free one)"
        )
    if problem is not None:
        raise DevstackError(
            f"The gateway cannot listen on {settings.gateway_host}:{port} ({problem.strerror}):"
            " set PENSTOCK_GATEWAY_HOST and PENSTOCK_GATEWAY_PORT"
        )
    local = not (settings.backends and settings.embeddings)
    kafka = _checked_servers(settings.kafka) if settings.kafka else f"{HOST}:{_kafka_port(settings)}"
    own = security.connection(kafka) if security else KafkaConnection(kafka)
    return Addresses(
        kafka=kafka,
        kafka_is_ours=settings.kafka is None,
        cluster=settings.reaching(kafka) if settings.kafka else own,
        inference_port=inference if local else None,
        backends=settings.backends or f"tgi+http://{HOST}:{inference}",
        embeddings=settings.embeddings or f"http://{HOST}:{inference}/tei",
        gateway_host=settings.gateway_host,
        gateway_port=port,
        ingestion_port=ingestion,
        search_port=search,
        observer_port=observer,
    )


def _kafka_port(settings: StackSettings) -> int:
    """Kafka's own port for the stack of the checkout; others, which may start together, take any free one."""
    return preferred_port(KAFKA_PORT) if settings.state is None else free_ports(1)[0]


@dataclass
class Plan:
    """Makes the specs of one stack's processes, also of replicas that are added while it runs.

    ``gateways`` holds the base URLs of the gateway replicas by their names, ``indexes`` those of the
    retrieval replicas' search API.
    """

    addresses: Addresses
    state: StateDir
    create_topics: Callable[[Cluster], None]
    security: Security | None = None
    gateways: dict[str, str] = field(default_factory=dict)
    indexes: dict[str, str] = field(default_factory=dict)
    _given: set[int] = field(default_factory=set)

    def specs(self, replicas: Mapping[str, int]) -> list[ServiceSpec]:
        """The processes in the order in which they are shown; services that are not named have one."""
        addresses = self.addresses
        specs = [self._kafka(KafkaProbe(addresses.cluster, self.create_topics))]
        if addresses.inference_port is not None:
            own = {"PENSTOCK_INFERENCE_PORT": str(addresses.inference_port)}
            url = f"http://{HOST}:{addresses.inference_port}"
            specs.append(self._service("inference", own, url, stop_last=True))
        specs.append(self.replica(INGESTION))
        for service in SCALABLE:
            specs += [self.replica(name) for name in replica_names(service, replicas.get(service, 1))]
        own = {"PENSTOCK_OBSERVER_PORT": str(addresses.observer_port), **self._observer_key()}
        specs.append(self._service(OBSERVER, own, addresses.observer))
        return specs

    def replica(self, name: str) -> ServiceSpec:
        """One replica of a service, on a port of its own. Its log starts afresh."""
        if service_of(name) == GATEWAY:
            first = name == GATEWAY
            port = self.addresses.gateway_port if first else self._new_port(self.addresses.gateway_host)
            self.gateways[name] = self.addresses.gateway_at(port)
            own = {"PENSTOCK_GATEWAY_PORT": str(port), **self._observer_key()}
            return self._service(name, own, self.gateways[name])
        port = self._new_port(HOST)
        own = {"PENSTOCK_HEALTH_PORT": str(port)}
        if service_of(name) == RETRIEVAL:
            # Ingestion asks the first one.
            search_port = self.addresses.search_port if name == RETRIEVAL else self._new_port(HOST)
            own["PENSTOCK_SEARCH_PORT"] = str(search_port)
            self.indexes[name] = f"http://{HOST}:{search_port}"
        return self._service(name, own, f"http://{HOST}:{port}")

    def _new_port(self, host: str) -> int:
        """A free port that no other process of this stack was given; it may not listen on its own yet."""
        addresses = self.addresses
        taken = self._given | {
            addresses.gateway_port,
            addresses.inference_port,
            addresses.ingestion_port,
            addresses.search_port,
            addresses.observer_port,
        }
        for port in free_ports(_TRIES):
            if port not in taken and listen_error(port, host) is None:
                self._given.add(port)
                return port
        raise DevstackError(f"No free port was found on {host}")

    def _observer_key(self) -> dict[str, str]:
        """The key by which a gateway may call the observer; no other service has it."""
        make_secret(self.state.observer_key)
        return {"PENSTOCK_OBSERVER_KEY": "", "PENSTOCK_OBSERVER_KEY_FILE": str(self.state.observer_key)}

    def _service(self, name: str, own: dict[str, str], url: str, *, stop_last: bool = False) -> ServiceSpec:
        return ServiceSpec(
            name=name,
            # Its entry point, beside our Python.
            command=(str(Path(sys.executable).with_name(f"penstock-{service_of(name)}")),),
            probe=http_probe(url),
            log_file=self.state.fresh_log(name),
            env=_environment(self.addresses, self.state)
            | self._access(service_of(name))
            | {"PENSTOCK_INSTANCE": name}
            | own,
            stop_last=stop_last,
        )

    def _access(self, service: str) -> dict[str, str]:
        """How a service speaks to Kafka; to one that is not ours as the user has set it for all."""
        if not self.addresses.kafka_is_ours:
            return {}
        # A service's worker is the same user.
        user = next((name for name in SERVICES if service in (name, f"{name}-worker")), None)
        if self.security is None or user is None:
            return PLAIN_ENVIRONMENT
        return self.security.environment(user)

    def _kafka(self, probe: KafkaProbe) -> ServiceSpec:
        addresses, state = self.addresses, self.state
        if not addresses.kafka_is_ours:
            return ServiceSpec("kafka", (), probe, state.log_file("kafka"))
        find_java()  # one clear line now, not a crash loop later
        class_path(jars_folder(find_root()))
        log = state.fresh_log("kafka")
        port = addresses.kafka.rpartition(":")[2]
        command = [sys.executable, "-m", "penstock.devstack.kafka"]
        command += ["--dir", str(state.folder / "kafka"), "--port", port, "--log-file", str(log)]
        if self.security is not None:
            command += ["--security", str(self.security.folder)]
        return ServiceSpec("kafka", tuple(command), probe, log, stop_last=True)


def _environment(addresses: Addresses, state: StateDir) -> dict[str, str]:
    env = {
        "PENSTOCK_STATE": str(state.folder),
        "PENSTOCK_KAFKA": addresses.kafka,
        "PENSTOCK_BACKENDS": addresses.backends,
        "PENSTOCK_EMBEDDINGS": addresses.embeddings,
        "PENSTOCK_MODEL_CACHE": os.environ.get("PENSTOCK_MODEL_CACHE") or str(state.folder / "models"),
        "PENSTOCK_GATEWAY_HOST": addresses.gateway_host,
        "PENSTOCK_INGESTION": f"http://{HOST}:{addresses.ingestion_port}",
        "PENSTOCK_INGESTION_PORT": str(addresses.ingestion_port),
        "PENSTOCK_RETRIEVAL": f"http://{HOST}:{addresses.search_port}",
        "PENSTOCK_OBSERVER": addresses.observer,
        "PYTHONUNBUFFERED": "1",
    }
    if addresses.kafka_is_ours:
        # Our broker allows it: a killed replica's partitions move after 1.5 seconds. A foreign one may not.
        env["PENSTOCK_SESSION_TIMEOUT_MS"] = os.environ.get("PENSTOCK_SESSION_TIMEOUT_MS") or "1500"
    return env


def _checked_servers(text: str) -> str:
    for server in text.split(","):
        host, colon, port = server.strip().rpartition(":")
        if not (host and colon and port.isdigit() and 0 < int(port) < 65536):
            raise DevstackError(f"PENSTOCK_KAFKA must be host:port[,host:port], not {text!r}")
    return text
