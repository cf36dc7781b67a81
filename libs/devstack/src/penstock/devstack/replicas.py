"""How many processes of each service: what a user may ask for, and what they are called."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.devstack.errors import DevstackError

RETRIEVAL = "retrieval"
GATEWAY = "gateway"
INGESTION = "ingestion"
OBSERVER = "observer"
WORKER = "ingestion-worker"
SCALABLE = ("tokenization", RETRIEVAL, "generation", "postprocessing", WORKER, GATEWAY)
MOST = 16

_INSTEAD = {
    INGESTION: f"its work is done by {WORKER}, of which there may be several",
    OBSERVER: "one sees everything",
    "inference": "start another server yourself, and name both in PENSTOCK_BACKENDS before `penstock up`",
    "kafka": "use a cluster of your own, and name it in PENSTOCK_KAFKA before `penstock up`",
}


def parse_replicas(texts: Sequence[str]) -> dict[str, int]:
    """The numbers in texts like ``generation=3`` or ``generation=3,gateway=2``.

    DevstackError, one line, for a name or a number that cannot be.
    """
    counts: dict[str, int] = {}
    for part in (part.strip() for text in texts for part in text.split(",")):
        service, equals, number = (piece.strip() for piece in part.partition("="))
        if not (service and equals and number):
            raise DevstackError(f"Say SERVICE=N, for example generation=3, not {part!r}")
        _check_service(service)
        if service in counts:
            raise DevstackError(f"{service} is named twice")
        counts[service] = _number(service, number)
    return counts


def _check_service(service: str) -> None:
    if service in _INSTEAD:
        raise DevstackError(f"{service} cannot be scaled: {_INSTEAD[service]}")
    if service not in SCALABLE:
        raise DevstackError(f"No service {service!r}; there are: {', '.join(SCALABLE)}")


def _number(service: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST):
        raise DevstackError(f"{service} may have 1 to {MOST} replicas, not {text}")
    return int(text)


def replica_names(service: str, count: int) -> list[str]:
    """The names of a service's replicas: ``generation``, ``generation-2``, …"""
    return [service, *(f"{service}-{number}" for number in range(2, count + 1))]


def service_of(name: str) -> str:
    """The service of a replica's name."""
    service, dash, number = name.rpartition("-")
    return service if dash and number.isdigit() else name
