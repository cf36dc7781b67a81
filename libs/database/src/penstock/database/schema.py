"""The tables of one service: which revision a database is of, and whether this version can work with it."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, MetaData, inspect, text
from sqlalchemy.engine.interfaces import ReflectedColumn

VERSION_TABLE = "alembic_version"


class Standing(Enum):
    """Where a database's revision stands, as seen by this version of the code."""

    BEHIND = "behind"
    """There are migrations to run."""
    HEAD = "head"
    AHEAD = "ahead"
    """This version does not know the revision: a newer one has migrated the database."""


@dataclass(frozen=True)
class Schema:
    """What a service keeps in its database."""

    name: str
    """Of the database, for people and traces: `accounts`."""
    command: str
    """Entry point that migrates it: `penstock-gateway-db`."""
    metadata: MetaData
    """The tables as the code has them."""
    migrations: Path
    """Folder of Alembic's revisions, one file each, `0001_what.py`: they are numbered, and each follows the
    one before."""

    @cached_property
    def revisions(self) -> tuple[str, ...]:
        """All revisions, oldest first. Their files' names tell: Alembic takes half a second to import."""
        names = (path.name.partition("_")[0] for path in self.migrations.glob("[0-9]*_*.py"))
        return tuple(sorted(names))

    @property
    def head(self) -> str:
        """The newest revision."""
        return self.revisions[-1]

    def standing(self, revision: str | None) -> Standing:
        """Return where a revision stands; None is a database without tables."""
        if revision == self.head:
            return Standing.HEAD
        known = revision is None or revision in self.revisions
        return Standing.BEHIND if known else Standing.AHEAD


class Found(NamedTuple):
    """A database as it is: its revision, None if it has none, and why it cannot be used, "" if it can."""

    revision: str | None
    standing: Standing
    problem: str = ""


def check_schema(connection: Connection, schema: Schema) -> Found:
    """Look at a database, without changing it. Raises SQLAlchemyError, OSError."""
    inspector = inspect(connection)
    if not inspector.has_table(VERSION_TABLE):
        return Found(None, Standing.BEHIND)
    query = text(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608  # a fixed word
    revision: str | None = connection.execute(query).scalar()
    standing = schema.standing(revision)
    if revision is None:
        return Found(revision, standing)
    if not set(inspector.get_table_names()) & set(schema.metadata.tables):
        problem = "it holds the tables of something else: every service needs a database of its own"
        return Found(revision, standing, problem)
    misfit = next(misfits(schema.metadata, connection), "") if standing is Standing.AHEAD else ""
    problem = f"it is of revision {revision}, and {misfit}: use a newer version" if misfit else ""
    return Found(revision, standing, problem)


def misfits(metadata: MetaData, connection: Connection) -> Iterator[str]:
    """Yield what code with these tables cannot work with: columns that are gone, new ones without default."""
    reflected = {name: columns for (_, name), columns in inspect(connection).get_multi_columns().items()}
    for table in metadata.tables.values():
        there = {column["name"]: column for column in reflected.get(table.name, [])}
        for column in table.columns:
            if column.name not in there:
                yield f"has no {table.name}.{column.name} any more"
        for name, new in there.items():
            if name not in table.columns and _must_be_given(new):
                yield f"{table.name}.{name} is new and has no default"


def _must_be_given(column: ReflectedColumn) -> bool:
    filled = column.get("default") is not None or column.get("identity") is not None
    return not (column["nullable"] or filled)
