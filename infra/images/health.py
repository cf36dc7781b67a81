#!/opt/penstock/bin/python -IS
"""Whether the container's service is alive (`/livez` on its port), or with `--ready` can serve (`/readyz`).

PENSTOCK_IMAGE_PORT is that port. Exit code 0 or 1; what was answered goes to standard output, which the
engine keeps. It runs every few seconds in every container: a bare socket loads faster than http.client.
"""

import os
import socket
import sys

_SECONDS = 4.0
_LONGEST = 4096


def ask(port: int, path: str) -> tuple[bool, str]:
    """Return whether the answer's status is 200, and the answer or why there is none, in one line."""
    try:
        with socket.create_connection(("127.0.0.1", port), _SECONDS) as connection:
            connection.settimeout(_SECONDS)
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            answer = b""
            while len(answer) < _LONGEST and (piece := connection.recv(_LONGEST)):
                answer += piece
    except OSError as error:
        return False, f"{path}: {error}"
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].decode(errors="replace")
    return status.split(" ")[1:2] == ["200"], f"{path}: {status} {body.decode(errors='replace')}"


def main() -> int:
    """Ask once."""
    path = "/readyz" if "--ready" in sys.argv[1:] else "/livez"
    port = int(os.environ["PENSTOCK_IMAGE_PORT"])
    if not port:
        return 0  # a command, which runs and ends
    good, said = ask(port, path)
    sys.stdout.write(f"{said}\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
