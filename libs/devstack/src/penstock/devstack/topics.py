"""``penstock topics``: makes the topics of the contract at any broker, and says how they stand.

The supervisor makes them as well, as soon as its broker answers. How many partitions a topic has is part of
the contract (``contracts/topics.yaml``) and no option: the services reckon with it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from rich.table import Table
from rich.text import Text

from penstock.devstack.errors import DevstackError
from penstock.devstack.screen import make_console
from penstock.devstack.security import USERS, Security
from penstock.devstack.where import cluster_here, here
from penstock.messages.topics import TOPICS
from penstock.streaming.connection import Cluster, as_connection
from penstock.streaming.ports import BrokerError

if TYPE_CHECKING:
    from penstock.streaming.admin.inspection import Inspection

commands = typer.Typer(
    help="Kafka's topics: made as the contract says, compared with it.", no_args_is_help=True
)
_ANSWER_S = 10.0


def create_topics(
    cluster: Cluster, retention_hours: float | None = None, security: Security | None = None
) -> None:
    """Blocks until every topic stands, and before that the users and ACLs of a secured embedded broker.

    DevstackError says what does not.
    """
    from penstock.streaming.admin.access import all_grants, apply, set_passwords
    from penstock.streaming.admin.topics import ensure_topics

    try:
        if security is not None:
            passwords = {user: security.password(user) for user in USERS}
            set_passwords(security.bootstrap(as_connection(cluster).servers), passwords)
            apply(cluster, all_grants())
        asyncio.run(ensure_topics(cluster, retention_hours=retention_hours))
    except BrokerError as error:
        raise DevstackError(str(error)) from error


class Line(NamedTuple):
    """How one topic stands: ``found`` has its partitions, 0 if it is missing; ``differs`` what is wrong."""

    name: str
    wanted: int
    found: int
    copies: int
    differs: tuple[str, ...]


@commands.command("list")
def show() -> None:
    """Show the topics, and how they differ from the contract. Exit code 1: one is missing or differs."""
    settings, _ = here()
    lines = _survey(cluster_here(), settings.retention_hours)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("topic", "partitions", "copies", "state"):
        table.add_column(heading, overflow="fold")
    for line in lines:
        right = line.found and not line.differs
        state = "as it should be" if right else "; ".join(line.differs) or "missing"
        numbers = (str(line.found or line.wanted), str(line.copies or "-"))
        table.add_row(line.name, *numbers, Text(state, style="" if right else "yellow"))
    make_console().print(table)
    raise typer.Exit(0 if all(line.found and not line.differs for line in lines) else 1)


@commands.command()
def create(
    replication_factor: Annotated[
        int | None,
        typer.Option(
            min=1, max=100, help="Brokers that keep a copy of a new topic; else the brokers' default."
        ),
    ] = None,
) -> None:
    """Make the topics that are missing, and set the settings that differ. Does nothing if all is right.

    How long requests and answers are kept is PENSTOCK_RETENTION_HOURS.
    """
    from penstock.streaming.admin.topics import ensure_topics

    settings, _ = here()
    cluster, console = cluster_here(), make_console()
    before = _survey(cluster, settings.retention_hours)
    making = ensure_topics(cluster, retention_hours=settings.retention_hours, replication=replication_factor)
    try:
        made = asyncio.run(making)
    except BrokerError as error:
        raise DevstackError(f"Kafka: {error}") from error
    for name in made:
        console.print(f"    {name}: made")
    changed = [line for line in before if line.found and line.differs]
    for line in changed:
        console.print(f"    {line.name}: set anew, was {'; '.join(line.differs)}", markup=False)
    right = len(before) - len(made) - len(changed)
    console.print(f"{len(made)} topics made, {len(changed)} changed, {right} were as they should be.")


def _survey(cluster: Cluster, retention_hours: float) -> list[Line]:
    from penstock.streaming.admin.inspection import inspecting

    try:
        with inspecting(cluster, _ANSWER_S) as broker:
            return _lines(broker, retention_hours)
    except BrokerError as error:
        raise DevstackError(f"Kafka: {error}") from error


def _lines(broker: Inspection, retention_hours: float) -> list[Line]:
    from penstock.streaming.admin.topics import wanted_configs, wanted_partitions

    wanted, configs = wanted_partitions(TOPICS), wanted_configs(TOPICS, retention_hours)
    standing = broker.topics()
    told = broker.topic_configs({name: configs[name] for name in wanted if name in standing})
    lines = []
    for name, count in wanted.items():
        there = standing.get(name, {})
        values = told.get(name, {})
        differs = [
            f"{key}={values.get(key)} (not {value})"
            for key, value in configs[name].items()
            if there and values.get(key) != value
        ]
        if there and len(there) != count:
            differs.append(f"{len(there)} partitions (not {count})")
        copies = min((partition.replicas for partition in there.values()), default=0)
        lines.append(Line(name, count, len(there), copies, tuple(differs)))
    return lines
