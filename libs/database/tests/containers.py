"""The servers of tests in containers (`make test-containers`), by the images that the compose stack uses.

`PENSTOCK_IMAGE_KAFKA` and so on name others. Where no registry answers, the stand-ins of compose/offline
serve. What cannot be had is left out, and said so first.
"""

import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libs.database.tests.ports import free_port, listens

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

_ROOT = Path(__file__).parents[3]
_COMPOSE = (_ROOT / "compose" / "compose.yaml", _ROOT / "compose" / "offline" / "compose.offline.yaml")
PARTS = ("kafka", "postgres", "redis", "qdrant")
_HOST = "127.0.0.1"
_SECONDS = 120
_USER = "penstock"


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A server, until the block ends; its URL without a database."""
    password = secrets.token_hex()
    file = folder / "password"
    file.write_text(password)
    file.chmod(0o644)  # the server there has a user of its own
    port = free_port()
    container = _container("postgres").with_bind_ports(5432, port)
    container.with_volume_mapping(str(file), "/run/secrets/password", "ro")
    container.with_envs(POSTGRES_USER=_USER, POSTGRES_PASSWORD_FILE="/run/secrets/password")  # noqa: S106  # a path
    asked = ["pg_isready", "--quiet", "--host=127.0.0.1", f"--username={_USER}"]
    with _running(container, lambda: container.exec(asked).exit_code == 0):
        yield f"postgresql+asyncpg://{_USER}:{password}@{_HOST}:{port}"


@contextmanager
def redis() -> Iterator[str]:
    """A server, until the block ends; its URL."""
    port = free_port()
    container = _container("redis").with_bind_ports(6379, port)
    with _running(container, lambda: container.exec(["redis-cli", "ping"]).exit_code == 0):
        yield f"redis://{_HOST}:{port}/0"


@contextmanager
def kafka() -> Iterator[str]:
    """A broker that is its own controller, until the block ends; its bootstrap address."""
    port = free_port()  # it tells its clients where it is, so that has to be known before
    container = _container("kafka").with_bind_ports(9092, port)
    container.with_envs(
        CLUSTER_ID="cGVuc3RvY2stdGVzdHMtMQ",
        KAFKA_NODE_ID="1",
        KAFKA_PROCESS_ROLES="broker,controller",
        KAFKA_CONTROLLER_QUORUM_VOTERS="1@127.0.0.1:9093",
        KAFKA_LISTENERS="PLAINTEXT://:9092,CONTROLLER://127.0.0.1:9093",
        KAFKA_ADVERTISED_LISTENERS=f"PLAINTEXT://{_HOST}:{port}",
        KAFKA_LISTENER_SECURITY_PROTOCOL_MAP="PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        KAFKA_CONTROLLER_LISTENER_NAMES="CONTROLLER",
        KAFKA_INTER_BROKER_LISTENER_NAME="PLAINTEXT",
        KAFKA_AUTO_CREATE_TOPICS_ENABLE="false",
        KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR="1",
        KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS="4",
        KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS="1000",
        KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS="0",
        KAFKA_LOG_DIRS="/var/lib/kafka/data",
        KAFKA_HEAP_OPTS="-Xms128m -Xmx512m",
    )
    with _running(container, lambda: "Kafka Server started" in b"".join(container.get_logs()).decode()):
        yield f"{_HOST}:{port}"


@contextmanager
def qdrant() -> Iterator[str]:
    """A server of vectors, until the block ends; its URL."""
    port = free_port()
    container = _container("qdrant").with_bind_ports(6333, port)
    with _running(container, lambda: listens(port)):
        yield f"http://{_HOST}:{port}"


@cache
def engine_answers() -> bool:
    """Whether there is a Docker engine."""
    import docker
    from docker.errors import DockerException

    try:
        return bool(docker.from_env(timeout=5).ping())
    except DockerException:
        return False


@cache
def image_of(part: str) -> str | None:
    """Return the image of a part: what a setting names, else compose's, else the stand-in; or none."""
    names = [name for file in _COMPOSE for name in _images(file, part)]
    return next((name for name in names if _is_here(name)), None) or _pulled(names[0])


def told() -> list[str]:
    """Return a line on the image of each part."""
    why = "left out: none is here or can be pulled, PENSTOCK_IMAGE_{} names another"
    return [f"{part}: {image_of(part) or why.format(part.upper())}" for part in PARTS]


def _images(compose: Path, part: str) -> list[str]:
    setting = f"PENSTOCK_IMAGE_{part.upper()}"
    if given := os.environ.get(setting):
        return [given]
    return re.findall(rf"\$\{{{setting}:-([^}}]+)\}}", compose.read_text("utf-8"))


def _is_here(image: str) -> bool:
    import docker
    from docker.errors import ImageNotFound

    try:
        docker.from_env().images.get(image)
    except ImageNotFound:
        return False
    return True


def _pulled(image: str) -> str | None:
    import docker
    from docker.errors import DockerException

    try:
        docker.from_env().images.pull(image)
    except DockerException:
        return None
    return image


def _container(part: str) -> "DockerContainer":
    image = image_of(part)
    if image is None:
        pytest.skip(f"no image of {part} can be had")
    from testcontainers.core.config import testcontainers_config
    from testcontainers.core.container import DockerContainer

    testcontainers_config.ryuk_disabled = not _is_here(testcontainers_config.ryuk_image)
    return DockerContainer(image)


@contextmanager
def _running(container: "DockerContainer", is_ready: Callable[[], bool]) -> Iterator[None]:
    with container:
        deadline = time.monotonic() + _SECONDS
        while not is_ready():
            assert time.monotonic() < deadline, container.get_logs()
            time.sleep(0.2)
        yield
