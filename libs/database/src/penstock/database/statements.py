"""SQL that both databases have and SQLAlchemy spells differently for each."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Executable, inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningInsert


def insert_unless_there(connection: AsyncConnection, table: Any, **values: Any) -> Executable:
    """Return an INSERT that does nothing, and has a row count of 0, if a unique value of it is taken."""
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement: Executable = dialect.insert(table).values(values).on_conflict_do_nothing()
    return statement


def insert_or_replace(
    connection: AsyncConnection, table: Any, where: ColumnElement[bool], rows: Sequence[Mapping[str, object]]
) -> ReturningInsert[Any]:
    """Return an INSERT of rows that replaces one of the same primary key if that fits `where`.

    It returns the primary keys of the rows that it has written. No two of `rows` may have the same one.
    """
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    key = inspect(table).primary_key
    insert = dialect.insert(table).values(rows)
    new = {column: insert.excluded[column] for column in rows[0]}
    statement: ReturningInsert[Any] = insert.on_conflict_do_update(
        index_elements=key, set_=new, where=where
    ).returning(*key)
    return statement
