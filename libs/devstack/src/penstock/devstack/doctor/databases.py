"""Databases: that they can be read, have the tables of this version, and no work in them that lies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from pydantic import ValidationError
from pydantic_settings import BaseSettings
from sqlalchemy import URL, Row, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from penstock.devstack.doctor.finding import Finding, error, warning
from penstock.devstack.doctor.runner import in_thread
from penstock.devstack.doctor.scene import Scene
from penstock.devstack.doctor.words import age, many

_OFTEN = 5
_JOBS = text(
    "SELECT (SELECT count(*) FROM jobs WHERE owner <> '' AND lease_until >= :now) AS held,"
    " (SELECT count(*) FROM jobs WHERE attempts >= :often) AS often,"
    " count(*) AS lying, min(CASE WHEN owner = '' THEN not_before ELSE lease_until END) AS since FROM jobs"
    " WHERE (owner = '' AND not_before < :late) OR (owner <> '' AND lease_until < :late)"
)
SettingsT = TypeVar("SettingsT", bound=BaseSettings)


@dataclass(frozen=True)
class Database:
    """One service's database, and the newest of its migrations."""

    service: str
    setting: str
    url: str
    newest: str


async def look(scene: Scene) -> list[Finding]:
    """The databases of gateway and ingestion."""
    databases = await in_thread(_databases, scene)
    found = await asyncio.gather(*(_one(scene, database) for database in databases))
    return [finding for findings in found for finding in findings]


def _databases(scene: Scene) -> list[Database]:
    from penstock.gateway.adapters import accounts
    from penstock.gateway.settings import Settings as GatewaySettings
    from penstock.ingestion.adapters.records import database
    from penstock.ingestion.settings import IngestionSettings

    gateway, ingestion = _settings(GatewaySettings, scene), _settings(IngestionSettings, scene)
    return [
        Database("gateway", "PENSTOCK_ACCOUNTS_DB", gateway.accounts_url(), accounts.VERSION),
        Database("ingestion", "PENSTOCK_DOCUMENTS_DB", ingestion.database_url(), database.VERSION),
    ]


def _settings(kind: type[SettingsT], scene: Scene) -> SettingsT:
    """A service's settings with this state folder; its defaults if the environment cannot be used."""
    try:
        return kind(state=scene.state.folder)
    except ValidationError:
        return kind.model_construct(state=scene.state.folder)


async def _one(scene: Scene, database: Database) -> list[Finding]:
    try:
        url = make_url(database.url)
    except ArgumentError:
        to_do = f"Correct {database.setting}, for example postgresql+asyncpg://user:password@host/name."
        return [error("databases.unreadable", database.setting, "It is no address of a database.", to_do)]
    file = Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
    if file is not None and not file.exists():
        return list(_absent(scene, database, file))
    where = f"database of {database.service} ({file or url.render_as_string(hide_password=True)})"
    engine = create_async_engine(_reading_only(url, file), hide_parameters=True)
    try:
        async with asyncio.timeout(2 * scene.needs.reply_s), engine.connect() as connection:
            version = await _version(connection)
            findings = list(_outdated(database, where, version))
            if database.service == "ingestion" and not findings and scene.status is not None:
                findings += await _jobs(scene, connection, where)
            return findings
    except (SQLAlchemyError, OSError, TimeoutError) as failure:
        # The error's own text may show parts of the statement or the address, so only its class is told.
        told = f"It cannot be read ({type(getattr(failure, 'orig', None) or failure).__name__})."
        return [error("databases.unreadable", where, told, _restore(database, file))]
    finally:
        await engine.dispose()


def _reading_only(url: URL, file: Path | None) -> URL:
    if file is None:
        return url
    # SQLite makes files beside a database in WAL mode that nobody has open, unless told that it is alone.
    alone = not file.with_name(f"{file.name}-wal").exists()
    options = {"uri": "true", "mode": "ro"} | ({"immutable": "1"} if alone else {})
    return url.set(database=f"file:{quote(str(file))}", query=options)


def _restore(database: Database, file: Path | None) -> str:
    if file is None:
        return f"See that its server runs and lets this user in; its address is {database.setting}."
    return f"Stop the stack and put an older copy back, or move {file} away: a new, empty one is made."


def _absent(scene: Scene, database: Database, file: Path) -> Iterator[Finding]:
    service = scene.service(database.service)
    if service is not None and service.state == "ready":
        text_ = "Its file is not there, though the service runs: it was removed."
        to_do = "`penstock down`, put the file back if you can, `penstock up`: else a new one is made."
        yield error("databases.unreadable", f"database of {database.service} ({file})", text_, to_do)


async def _version(connection: AsyncConnection) -> str:
    row = (await connection.execute(text("SELECT version_num FROM alembic_version"))).first()
    return "" if row is None else str(row[0])


def _outdated(database: Database, where: str, version: str) -> Iterator[Finding]:
    if version == database.newest:
        return
    if version > database.newest:
        told = f"It is of version {version}, newer than this Penstock's {database.newest}."
        to_do = "Use the Penstock that wrote it, or newer."
    else:
        told = f"It is of version {version or 'none'}, this Penstock's is {database.newest}."
        to_do = (
            f"`penstock down`, then `penstock up`: {database.service} brings it up to date when it starts."
        )
    yield error("databases.version", where, told, to_do)


async def _jobs(scene: Scene, connection: AsyncConnection, where: str) -> list[Finding]:
    """Work that is free but not taken while no worker holds any, and work that was begun too often."""
    now = scene.now_ms()
    late = now - round(scene.needs.stuck_job_s * 1000)
    row = (await connection.execute(_JOBS, {"now": now, "late": late, "often": _OFTEN})).one()
    return list(_told(row, where, now))


def _told(row: Row[tuple[int, int, int, int]], where: str, now: int) -> Iterator[Finding]:
    if row.lying and not row.held:
        since = age((now - row.since) / 1000)
        yield error(
            "databases.jobs",
            where,
            f"{many(row.lying, 'document')} to be worked on, the first for {since}, and no worker takes any.",
            "See why ingestion-worker does not: `penstock logs ingestion-worker`.",
        )
    if row.often:
        yield warning(
            "databases.jobs",
            where,
            f"{many(row.often, 'document')} begun {_OFTEN} times or more and still not in the index.",
            "`penstock documents list` names them; the logs of ingestion-worker and retrieval say why.",
        )
