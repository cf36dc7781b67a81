"""``python -m e2e.stub [--port N] [--first-ms N] …``: serves the stub until SIGTERM or SIGINT.

Prints its URL, one line, as soon as it answers; with ``--port 0`` on any free port.
"""

from __future__ import annotations

import argparse
import sys

import msgspec

from e2e.stub.backend import Stub
from e2e.stub.serving import StubServer
from e2e.stub.wire import Behaviour


def main() -> None:
    """Serve."""
    defaults = Behaviour()
    parser = argparse.ArgumentParser(prog="python -m e2e.stub", description="A model server without a model.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0, the default, picks a free one")
    parser.add_argument("--first-ms", type=float, default=defaults.first_ms, help="to the first token")
    parser.add_argument("--inter-ms", type=float, default=defaults.inter_ms, help="between two tokens")
    parser.add_argument("--tokens", type=int, default=defaults.tokens, help="longest answer")
    parser.add_argument("--slots", type=int, default=defaults.slots, help="answers at once; more get 429")
    parser.add_argument("--model-id", default="stub", help="the name in /info")
    given = parser.parse_args()
    try:
        behaviour = msgspec.convert(vars(given), Behaviour)
    except msgspec.ValidationError as error:
        parser.error(str(error))
    StubServer(Stub(behaviour, given.model_id), _say, given.host, given.port).run()


def _say(url: str) -> None:
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
