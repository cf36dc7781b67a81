"""SQL that both databases have and SQLAlchemy spells differently for each."""

from typing import Any

from sqlalchemy import ColumnElement, Executable, inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection


def insert_unless_there(connection: AsyncConnection, table: Any, **values: Any) -> Executable:
    """Return an INSERT that does nothing, and has a row count of 0, if a unique value of it is taken."""
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement: Executable = dialect.insert(table).values(values).on_conflict_do_nothing()
    return statement


def insert_or_replace(
    connection: AsyncConnection, table: Any, where: ColumnElement[bool], **values: Any
) -> Executable:
    """Return an INSERT that replaces a row of the same primary key if that fits `where`.

    Else it does nothing, and has a row count of 0.
    """
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement: Executable = (
        dialect.insert(table)
        .values(values)
        .on_conflict_do_update(index_elements=inspect(table).primary_key, set_=values, where=where)
    )
    return statement
