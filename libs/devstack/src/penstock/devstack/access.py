"""``penstock acl``: what each service's user may do at Kafka, shown, and put in force."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from penstock.devstack.errors import DevstackError
from penstock.devstack.screen import make_console
from penstock.devstack.where import cluster_here
from penstock.messages.flows import SERVICES
from penstock.streaming.ports import BrokerError

if TYPE_CHECKING:
    from penstock.streaming.admin.access import Grant

commands = typer.Typer(help="What each service's user may do at Kafka (ACLs).", no_args_is_help=True)
ServiceOption = Annotated[str | None, typer.Option("--service", help="Only this one.")]


@commands.command()
def show(
    service: ServiceOption = None,
    as_commands: Annotated[
        bool, typer.Option("--commands", help="As calls of Kafka's kafka-acls.sh, for a cluster of your own.")
    ] = False,
    servers: Annotated[str, typer.Option(help="With --commands: the brokers in them.")] = "localhost:9092",
) -> None:
    """Print what the services need, and so all that they may. Asks no broker."""
    from penstock.streaming.admin.access import commands as as_calls

    wanted = _wanted(service)
    if as_commands:
        typer.echo("\n".join(as_calls(wanted, servers)))
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("user", "may", "names"):
        table.add_column(heading, overflow="fold")
    for (user, what), same in groupby(wanted, lambda grant: (grant.user, grant.may)):
        table.add_row(user, what, "\n".join(grant.name for grant in same))
    make_console().print(table)


@commands.command("apply")
def put(service: ServiceOption = None) -> None:
    """Give the services' users these rights at the broker, and take from them all others. Needs an admin."""
    from penstock.streaming.admin.access import apply

    cluster = cluster_here()
    try:
        done = apply(cluster, _wanted(service))
    except BrokerError as error:
        raise DevstackError(f"Kafka: {error}") from error
    make_console().print(f"{len(done.added)} rights given, {done.removed} taken back.")


def _wanted(service: str | None) -> list[Grant]:
    from penstock.streaming.admin.access import all_grants, grants

    if service is not None and service not in SERVICES:
        raise DevstackError(f"No service {service!r}; there are: {', '.join(SERVICES)}")
    return all_grants() if service is None else grants(service)
