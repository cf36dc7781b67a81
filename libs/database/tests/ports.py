"""Ports of this machine, for servers of tests."""

import socket


def listens(port: int) -> bool:
    """Tell whether somebody takes connections on loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Return a port that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
