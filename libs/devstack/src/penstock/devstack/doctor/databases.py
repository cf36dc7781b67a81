"""Databases: that they can be read, have the tables of this version, and no work in them that lies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pydantic import ValidationError
from sqlalchemy import URL, Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from penstock.database.engine import file_of, is_sqlite, parse_url, shown
from penstock.database.errors import FAILURES, reason_of
from penstock.database.schema import Found, Schema, Standing, check_schema
from penstock.devstack.db import SETTINGS
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


@dataclass(frozen=True)
class Database:
    """One service's database, and the tables that this version has there."""

    service: str
    url: URL
    schema: Schema


async def look(scene: Scene) -> list[Finding]:
    """The databases of gateway and ingestion."""
    databases = await in_thread(_databases, scene)
    found = await asyncio.gather(*(_one(scene, database) for database in databases))
    return [finding for findings in found for finding in findings]


def _databases(scene: Scene) -> list[Database]:
    """Those whose setting can be used; what is wrong with another one is told with the settings."""
    from penstock.gateway.adapters.tables import SCHEMA as ACCOUNTS
    from penstock.gateway.settings import DatabaseSettings as GatewaySettings
    from penstock.ingestion.adapters.tables import SCHEMA as DOCUMENTS
    from penstock.ingestion.settings import DatabaseSettings as IngestionSettings

    databases = []
    state = scene.state.folder
    with suppress(ValidationError):
        databases.append(
            Database("gateway", parse_url(GatewaySettings(state=state).accounts_url()), ACCOUNTS)
        )
    with suppress(ValidationError):
        url = parse_url(IngestionSettings(state=state).database_url())
        databases.append(Database("ingestion", url, DOCUMENTS))
    return databases


async def _one(scene: Scene, database: Database) -> list[Finding]:
    url, file = database.url, file_of(database.url)
    if file is not None and not file.exists():
        return list(_absent(scene, database, file))
    where = f"database of {database.service} ({shown(url)})"
    engine = create_async_engine(_reading_only(url, file), hide_parameters=True)
    try:
        async with asyncio.timeout(2 * scene.needs.reply_s), engine.connect() as connection:
            found = await connection.run_sync(check_schema, database.schema)
            findings = list(_outdated(database, where, found))
            works = not any(finding.severity == "error" for finding in findings)
            if database.service == "ingestion" and works and scene.status is not None:
                findings += await _jobs(scene, connection, where)
            return findings
    except (*FAILURES, TimeoutError) as failure:
        told = f"It cannot be read ({reason_of(failure)})."
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
        return f"See that its server runs and lets this user in; its address is {SETTINGS[database.service]}."
    return f"Stop the stack and put an older copy back, or move {file} away: a new, empty one is made."


def _absent(scene: Scene, database: Database, file: Path) -> Iterator[Finding]:
    service = scene.service(database.service)
    if service is not None and service.state == "ready":
        text_ = "Its file is not there, though the service runs: it was removed."
        to_do = "`penstock down`, put the file back if you can, `penstock up`: else a new one is made."
        yield error("databases.unreadable", f"database of {database.service} ({file})", text_, to_do)


def _outdated(database: Database, where: str, found: Found) -> Iterator[Finding]:
    newest = database.schema.head
    if found.problem:
        told = f"It cannot be used: {found.problem}."
        to_do = f"Let {SETTINGS[database.service]} name another database, or use the Penstock that wrote it."
        yield error("databases.version", where, told, to_do)
    elif found.standing is Standing.AHEAD:
        told = f"It is of version {found.revision}, newer than this Penstock's {newest}; it still fits."
        to_do = "Finish the upgrade: use the Penstock that has migrated it, or newer."
        yield warning("databases.version", where, told, to_do)
    elif found.standing is Standing.BEHIND:
        told = f"It is of version {found.revision or 'none'}, this Penstock's is {newest}."
        to_do = f"`penstock db upgrade`: {database.service} waits for it."
        if is_sqlite(database.url):
            to_do = f"`penstock down`, `penstock up`: {database.service} brings it up to date when it starts."
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
