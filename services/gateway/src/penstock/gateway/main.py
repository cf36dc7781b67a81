"""Start of the gateway process, and its OpenAPI document."""

import sys

from penstock.gateway.adapters.http.app import create_app
from penstock.gateway.runtime import serve
from penstock.gateway.settings import Settings
from penstock.streaming.event_loop import run_loop
from penstock.streaming.settings import read_settings
from penstock.telemetry.setup import set_up


def main() -> None:
    """Serve until SIGTERM or SIGINT. Exit code 1: it cannot listen; 2: a setting is wrong."""
    settings = read_settings(Settings)
    set_up("gateway")
    try:
        run_loop(serve(settings))
    except OSError as error:
        where = f"{settings.gateway_host}:{settings.gateway_port}"
        sys.stderr.write(
            f"The gateway cannot listen on {where}: {error.strerror}. Set PENSTOCK_GATEWAY_PORT.\n"
        )
        raise SystemExit(1) from None


def openapi() -> dict[str, object]:
    """Return the OpenAPI document of the REST API; nothing is started or read."""
    return create_app().openapi()


if __name__ == "__main__":
    main()
