"""All records of one process over one database."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.database.database import Database
from penstock.ingestion.adapters.records.documents import SqlDocuments
from penstock.ingestion.adapters.records.files import SqlFiles
from penstock.ingestion.adapters.records.garbage import SqlGarbage
from penstock.ingestion.adapters.records.jobs import SqlJobs
from penstock.ingestion.adapters.records.log_parts import SqlLeftovers
from penstock.ingestion.adapters.records.outbox import NOTED, SqlOutbox
from penstock.ingestion.adapters.records.stores import SqlStores
from penstock.ingestion.adapters.tables import SCHEMA
from penstock.ingestion.ports import RecordsAway


class _Telling(Database):
    """Calls `noted` after each transaction that has put events into the outbox."""

    def __init__(self, url: str, noted: Callable[[], None]) -> None:
        super().__init__(url, SCHEMA, RecordsAway)
        self._noted = noted

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        async with super().writing() as connection:
            yield connection
            noted = connection.info.pop(NOTED, False)
        if noted:
            self._noted()


class Records:
    """`now_ms` gives Unix milliseconds; `noted` is called when events were put into the outbox here."""

    def __init__(self, url: str, now_ms: Callable[[], int], noted: Callable[[], None] = lambda: None) -> None:
        def now_s() -> int:
            return now_ms() // 1000

        self.database: Database = _Telling(url, noted)
        self.files = SqlFiles(self.database)
        self.stores = SqlStores(self.database, now_s)
        self.documents = SqlDocuments(self.database, now_ms)
        self.jobs = SqlJobs(self.database, now_ms)
        self.outbox = SqlOutbox(self.database)
        self.garbage = SqlGarbage(self.database)
        self.leftovers = SqlLeftovers(self.database, now_ms)

    async def opened(self) -> str | None:
        """Open the database; returns a reason to wait, or None."""
        try:
            await self.database.open()
        except RecordsAway as error:
            return str(error)
        return None
