"""All records of one process over one database."""

from collections.abc import Callable

import structlog

from penstock.database.database import Database
from penstock.ingestion.adapters.records.documents import SqlDocuments
from penstock.ingestion.adapters.records.files import SqlFiles
from penstock.ingestion.adapters.records.garbage import SqlGarbage
from penstock.ingestion.adapters.records.jobs import SqlJobs
from penstock.ingestion.adapters.records.log_parts import SqlLeftovers
from penstock.ingestion.adapters.records.outbox import SqlOutbox
from penstock.ingestion.adapters.records.stores import SqlStores
from penstock.ingestion.adapters.tables import SCHEMA
from penstock.ingestion.ports import RecordsAway

log = structlog.get_logger()


class Records:
    """`now_ms` gives Unix milliseconds."""

    def __init__(self, url: str, now_ms: Callable[[], int]) -> None:
        def now_s() -> int:
            return now_ms() // 1000

        self.database = Database(url, SCHEMA, RecordsAway)
        self._reason: str | None = None
        self.files = SqlFiles(self.database)
        self.stores = SqlStores(self.database, now_s)
        self.documents = SqlDocuments(self.database, now_ms)
        self.jobs = SqlJobs(self.database, now_ms)
        self.outbox = SqlOutbox(self.database)
        self.garbage = SqlGarbage(self.database)
        self.leftovers = SqlLeftovers(self.database, now_ms)

    async def opened(self) -> str | None:
        """Open the database; returns a reason to wait, or None. A reason is logged once."""
        try:
            await self.database.open()
        except RecordsAway as error:
            reason = str(error)
            if reason != self._reason:
                log.warning("database_not_ready", reason=reason)
            self._reason = reason
            return reason
        return None
