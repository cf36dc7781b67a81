"""Free ports on this machine, and whether a Kafka broker answers on one."""

from __future__ import annotations

import socket
import struct

_METADATA_V0_ALL_TOPICS = struct.pack(">hhihi", 3, 0, 1, -1, 0)
"""Header (Metadata, version 0, correlation id 1, no client id) and an empty list of topics."""


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """True if this process could listen on the port now."""
    return listen_error(port, host) is None


def listen_error(port: int, host: str) -> OSError | None:
    """Why this process cannot listen there now, or None if it can."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as probe:
            # As servers do: a port whose last connections are in TIME_WAIT counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error
    return None


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """``count`` different ports that nobody listens on at this moment."""
    probes = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((host, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def preferred_port(preferred: int, host: str = "127.0.0.1") -> int:
    """The preferred port if it is free, else any free one."""
    return preferred if port_is_free(preferred, host) else free_ports(1, host)[0]


def listens(host: str, port: int, timeout: float = 1.0) -> bool:
    """True if somebody takes connections there."""
    try:
        socket.create_connection((host, port), timeout=timeout).close()
    except OSError:
        return False
    return True


def broker_answers(host: str, port: int, timeout: float = 1.0) -> bool:
    """True once the broker answers a Metadata request and names at least one live broker.

    An open port is not enough: in KRaft a broker is reachable shortly before the controller lets it hold
    topics.
    """
    try:
        with socket.create_connection((host, port), timeout=timeout) as connection:
            connection.settimeout(timeout)
            connection.sendall(struct.pack(">i", len(_METADATA_V0_ALL_TOPICS)) + _METADATA_V0_ALL_TOPICS)
            head = _receive(connection, 12)  # size, correlation id, number of brokers
    except OSError:
        return False
    if head is None:
        return False
    _, correlation, brokers = struct.unpack(">iii", head)
    return bool(correlation == 1 and brokers >= 1)


def _receive(connection: socket.socket, count: int) -> bytes | None:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            return None
        data += part
    return data
