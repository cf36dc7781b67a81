"""`penstock topics grow`: more partitions for topics that stand, while no request is open."""

from __future__ import annotations

from penstock.devstack.errors import DevstackError
from penstock.devstack.screen import make_console
from penstock.devstack.where import cluster_here
from penstock.streaming.ports import BrokerError


def grow() -> None:
    """Give topics the partitions that this version's contract adds. Refused while requests are open.

    Run it in the new version, with its number in libs/messages, before the services of that version start.
    """
    from penstock.streaming.admin import growing

    console = make_console()
    try:
        grown = growing.grow(cluster_here())
    except BrokerError as error:
        raise DevstackError(f"Kafka: {error}") from error
    for name, before, after in grown:
        console.print(f"    {name}: {before} -> {after} partitions")
    console.print(f"{len(grown)} topics grown." if grown else "No topic has too few partitions.")
