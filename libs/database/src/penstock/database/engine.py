"""Opening a database: its URL, its driver, and what SQLite must be told."""

from pathlib import Path

from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

READING = "penstock_reading"
"""Execution option of a connection whose transactions change nothing."""
EXAMPLE = "postgresql+asyncpg://user:password@host/name"
_CONNECT_S = 10.0
_BUSY_MS = 15_000
_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",  # as many hosts of databases name it
    "postgresql": "postgresql+asyncpg",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgresql+asyncpg": "postgresql+asyncpg",
}


def parse_url(text: str) -> URL:
    """Return the URL, with its driver where it names none. Raises ValueError, which shows nothing of it.

    `sslmode`, as libpq calls it, becomes asyncpg's `ssl`, which takes the same words.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError(f"it is no address of a database, for example {EXAMPLE}") from None
    driver = _DRIVERS.get(url.drivername)
    if driver is None:
        raise ValueError(f"databases are SQLite or PostgreSQL, not {url.drivername}, for example {EXAMPLE}")
    if driver == "postgresql+asyncpg" and "sslmode" in url.query:
        mode = url.query["sslmode"]
        url = url.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})
    return url.set(drivername=driver)


def check_url(text: str) -> str:
    """Return the text if it is such a URL, or empty: for settings. Raises ValueError."""
    if text:
        parse_url(text)
    return text


def shown(url: URL) -> str:
    """Return the URL for people: without password, and a file as its path."""
    if file := file_of(url):
        return str(file)
    return url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)


def file_of(url: URL) -> Path | None:
    """Return SQLite's file, None if there is none."""
    return Path(url.database) if is_sqlite(url) and url.database else None


def is_sqlite(url: URL) -> bool:
    """Return whether nobody but its service can migrate this database."""
    return url.get_backend_name() == "sqlite"


def open_engine(url: URL, *, foreign_keys: bool = True) -> AsyncEngine:
    """Return an engine; nothing is connected yet.

    `foreign_keys` is about SQLite alone, which changes a table by making it anew: the rows that refer to
    it must survive the moment in which it is not there (sqlite.org/lang_altertable.html).
    """
    if not is_sqlite(url):
        # A statement that was prepared before a migration fails once after it, if that has changed a type.
        connect = {"timeout": _CONNECT_S, "prepared_statement_cache_size": 0}
        return create_async_engine(url, pool_pre_ping=True, hide_parameters=True, connect_args=connect)
    engine = create_async_engine(url, hide_parameters=True)

    def set_up(connection: object, _entry: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]  # DBAPI connections have no common type
        cursor = connection.cursor()  # type: ignore[attr-defined]
        # Readers go on while one writes; several processes wait for each other. A power cut may take the
        # last commits, as it takes the last records of a broker that keeps no copies.
        for pragma in (
            f"busy_timeout={_BUSY_MS}",
            "journal_mode=WAL",
            f"foreign_keys={'ON' if foreign_keys else 'OFF'}",
            "synchronous=NORMAL",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine.sync_engine, "connect", set_up)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    """Take the write lock at once: a transaction that reads first cannot wait for it later."""
    reading = connection.get_execution_options().get(READING)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
