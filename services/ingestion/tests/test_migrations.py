"""A documents database of an earlier version becomes one of this, and loses nothing."""

import pytest
from sqlalchemy import text

from libs.database.tests.stairs import Rows, climb, differences
from penstock.database.database import Database
from penstock.database.engine import parse_url
from penstock.database.migrate import upgrade
from penstock.ingestion.adapters.records.all import Records
from penstock.ingestion.adapters.tables import SCHEMA
from penstock.ingestion.ports import RecordsAway
from penstock.messages.search import DEFAULT_STORE

STORE = "INSERT INTO stores VALUES ('acme', 'vs_default', 'Default', 1, 1, NULL, '{}')"
FILE = "INSERT INTO files VALUES (:file, 'acme', 'a.md', 'assistants', 1, 'd', 1, true)"
DOCUMENT = (
    "INSERT INTO documents VALUES (:document, 'acme', 'vs_default', :file, 'a.md', 'd', 1, :version, 1,"
    " :state, '{}', NULL, NULL, '', 3, 2, 0, '', '', 'content')"
)
JOB = "INSERT INTO jobs VALUES ('doc-1', :version, 1, '', 0, 9999999999999, 1, 0, 2)"
STATES = ("completed", "indexing", "failed")
VERSION = 1_763_000_000_000


FILE_ROW = {
    "id": "file-1",
    "tenant": "acme",
    "name": "a.md",
    "purpose": "assistants",
    "size": 5_000_000_000,
    "digest": "d",
    "created_at": 1,
    "ready": True,
}
STORE_ROW = {
    "tenant": "acme",
    "id": "vs_default",
    "name": "Default",
    "created_at": 1,
    "last_active_at": 1,
    "details": {"team": "\u00e4"},
}
DOCUMENT_ROW = {
    "id": "doc-1",
    "tenant": "acme",
    "store_id": "vs_default",
    "file_id": "file-1",
    "file_name": "a.md",
    "digest": "d",
    "size": 1,
    "version": VERSION,
    "created_at": 1,
    "state": "completed",
    "attributes": {"year": 2026},
    "batch_id": "b",
    "attempt": 3,
    "chunks": 2,
    "pages": 0,
    "code": "",
    "message": "",
    "content": "c",
}
JOB_ROW = {
    "document_id": "doc-2",
    "version": VERSION,
    "queued_at": 1,
    "owner": "w",
    "lease_until": 9,
    "not_before": 7,
    "attempts": 1,
    "failures": 0,
    "parts": 2,
}
BATCH_ROW = {"id": "b", "tenant": "acme", "store_id": "vs_default", "created_at": 1, "cancelled": False}
ROWS: dict[str, Rows] = {
    "0001": {
        "files": [FILE_ROW],
        "stores": [STORE_ROW],
        "documents": [DOCUMENT_ROW, DOCUMENT_ROW | {"id": "doc-2", "state": "indexing"}],
        "jobs": [JOB_ROW],
        "indexed_parts": [{"document_id": "doc-1", "version": VERSION, "part": 0}],
        "batches": [BATCH_ROW],
        "outbox": [{"number": 1, "tenant": "acme", "subject": "doc-1", "type": "t", "body": "{}"}],
        "garbage": [{"kind": "file", "tenant": "acme", "key": "d"}],
    },
    "0002": {
        "log_parts": [
            {
                "document_id": "doc-1",
                "version": VERSION,
                "part": 0,
                "tenant": "acme",
                "due": 0,
                "again": False,
            }
        ]
    },
    "0003": {
        "files": [FILE_ROW | {"id": "file-2", "traceparent": "00-a-b-01"}],
        "outbox": [
            {
                "number": 2,
                "tenant": "a",
                "subject": "d",
                "type": "t",
                "body": "{}",
                "traceparent": "00-a-b-01",
            }
        ],
    },
    "0004": {"stores": [STORE_ROW | {"id": "vs_2", "answers": "documents"}]},
}
REWRITTEN = {"documents": ("state", "attempt"), "jobs": ("parts", "not_before")}
"""By 0002, which has every document published once more."""


async def test_every_revision_keeps_what_there_is(database_url: str) -> None:
    await climb(database_url, SCHEMA, ROWS, REWRITTEN)


async def test_the_tables_are_those_of_the_code(database_url: str) -> None:
    assert await differences(database_url, SCHEMA) == []


@pytest.fixture
async def earlier(database_url: str) -> str:
    """A database of version 1: a document that is indexed, one that waits for the index, one that failed."""
    await upgrade(parse_url(database_url), SCHEMA, "0001")
    database = Database(database_url, SCHEMA, RecordsAway)
    async with database.writing() as connection:
        await connection.execute(text(STORE))
        for n, state in enumerate(STATES):
            names = {"file": f"file-{n}", "document": f"doc-{n}", "state": state, "version": VERSION + n}
            await connection.execute(text(FILE), names)
            await connection.execute(text(DOCUMENT), names)
        await connection.execute(text(JOB), {"version": VERSION + 1})
    await database.close()
    return database_url


async def test_documents_from_before_the_log_was_compacted_are_published_once_more(
    earlier: str, clock
) -> None:
    records = Records(earlier, clock)
    await upgrade(parse_url(earlier), SCHEMA)
    await records.database.open()
    claimed = []
    while (job := await records.jobs.claim("w1")) is not None:
        await records.jobs.publishing(job, 1)
        await records.jobs.published(job, "content", 2, 0, 1)
        claimed.append((job.document.id, job.document.version))
    # The same versions: an index that has them needs to do nothing.
    assert sorted(claimed) == [("doc-0", VERSION), ("doc-1", VERSION + 1)]
    await records.jobs.indexed([(identity, version, 0) for identity, version in claimed])
    for n, state in enumerate(("completed", "completed", "failed")):
        assert (await records.documents.get("acme", DEFAULT_STORE, f"file-{n}")).state == state
    await records.database.close()
