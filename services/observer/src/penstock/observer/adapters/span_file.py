"""The file that spans are kept in: SQLite, by the standard library. All of it blocks, and is for one thread.

A span is one row with its bytes as they came, next to what it is found by. Traces are numbered as they
arrive: the oldest leave first, and rows of one trace lie together. The file is a view of what has happened,
not the truth, so nothing waits for a disk: after a power cut it may be broken, and a new one is begun.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from penstock.observer.domain.sampling import Sampling
from penstock.observer.ports import SpanRow

VERSION = 1
_WAIT_S = 1.0  # for a lock that another process holds
_SOME = 500  # traces at a time, so that others get their turn
MAX_SHOWN_SPANS = 5_000
MAX_SHOWN_TRACES = 20
_SETTINGS = ("journal_mode=WAL", "synchronous=OFF", "journal_size_limit=8388608", "temp_store=MEMORY")
_TABLES = """
CREATE TABLE traces (
    id INTEGER PRIMARY KEY, trace_id BLOB NOT NULL UNIQUE,
    first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL,
    noted INTEGER NOT NULL, judged INTEGER NOT NULL
);
CREATE INDEX traces_unjudged ON traces (last_ms) WHERE NOT judged;
CREATE TABLE spans (
    trace INTEGER NOT NULL, span_id BLOB NOT NULL, request_id TEXT NOT NULL, tenant TEXT NOT NULL,
    service TEXT NOT NULL, instance TEXT NOT NULL, start_ns INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (trace, span_id)
) WITHOUT ROWID;
CREATE TABLE requests (
    request_id TEXT NOT NULL, trace INTEGER NOT NULL, PRIMARY KEY (request_id, trace)
) WITHOUT ROWID;
CREATE INDEX requests_by_trace ON requests (trace);
CREATE TABLE links (linked BLOB NOT NULL, trace INTEGER NOT NULL, PRIMARY KEY (linked, trace)) WITHOUT ROWID;
CREATE INDEX links_by_trace ON links (trace);
"""
_OF_A_TRACE = (("spans", "trace"), ("requests", "trace"), ("links", "trace"), ("traces", "id"))


class Bounds(NamedTuple):
    """How much is kept: for how long, in how many bytes, and which traces."""

    age_ms: int
    size_bytes: int
    sampling: Sampling


class Rows(NamedTuple):
    """The rows of one trace."""

    trace_id: bytes
    spans: Sequence[SpanRow]


class SpanFile:
    """One open file. Every call may raise sqlite3.Error."""

    def __init__(self, path: Path, bounds: Bounds) -> None:
        self._bounds = bounds
        path.parent.mkdir(parents=True, exist_ok=True)
        # Statements stand on their own; what belongs together is in `_in_one`.
        self._db = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)
        try:
            self._prepare()
        except sqlite3.Error:
            self._db.close()
            raise

    def _prepare(self) -> None:
        for setting in _SETTINGS:
            self._db.execute(f"PRAGMA {setting}")
        found = self._one("PRAGMA user_version")
        if found == 0:
            self._db.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version={VERSION}; COMMIT;")
        elif found != VERSION:
            raise sqlite3.DatabaseError(f"its version is {found}, not {VERSION}")
        for table, _ in _OF_A_TRACE:
            self._db.execute(f"SELECT 1 FROM {table} LIMIT 1")  # noqa: S608  # names of ours

    def close(self) -> None:
        """Close it."""
        self._db.close()

    def write(self, rows: Iterable[SpanRow], now_ms: int) -> None:
        """Write spans, all or none. One that is there already stays as it is."""
        by_trace: dict[bytes, list[SpanRow]] = {}
        for row in rows:
            by_trace.setdefault(row.trace_id, []).append(row)

        def write() -> None:
            for trace_id, spans in by_trace.items():
                self._write_trace(trace_id, spans, now_ms)

        self._in_one(write)

    def of_request(self, request_id: str) -> tuple[list[Rows], list[Rows]]:
        """Return the traces of a request by their arrival, and those that links join to them."""
        own = self._numbers(
            "SELECT trace FROM requests WHERE request_id = ? ORDER BY trace LIMIT ?",
            (request_id, MAX_SHOWN_TRACES),
        )
        joined: dict[int, None] = {}
        for number in own:
            joined |= dict.fromkeys(
                self._numbers(
                    "SELECT links.trace FROM links JOIN traces ON traces.trace_id = links.linked"
                    " WHERE traces.id = ?1 UNION SELECT traces.id FROM traces JOIN links"
                    " ON traces.trace_id = links.linked WHERE links.trace = ?1 LIMIT ?2",
                    (number, MAX_SHOWN_TRACES),
                )
            )
        others = [number for number in sorted(joined) if number not in own][:MAX_SHOWN_TRACES]
        return [self._rows(n, request_id) for n in own], [self._rows(n, request_id) for n in others]

    def tidy(self, now_ms: int) -> None:
        """Let go of what is too old, too much, or was drawn to go."""
        self._remove(
            self._numbers(
                "SELECT id FROM traces WHERE first_ms < ? LIMIT ?", (now_ms - self._bounds.age_ms, _SOME)
            )
        )
        if not self._bounds.sampling.keeps_all:
            self._judge(now_ms)
        while self.size > self._bounds.size_bytes:
            count = self._one("SELECT count(*) FROM traces")
            oldest = self._numbers(
                "SELECT id FROM traces ORDER BY id LIMIT ?", (max(1, min(_SOME, count // 20)),)
            )
            if not oldest:
                return
            self._remove(oldest)

    @property
    def size(self) -> int:
        """Return how many bytes of the file are in use. Room that became free is used again."""
        used = self._one("PRAGMA page_count") - self._one("PRAGMA freelist_count")
        return used * self._one("PRAGMA page_size")

    def _judge(self, now_ms: int) -> None:
        sampling = self._bounds.sampling
        quiet = self._db.execute(
            "SELECT id, trace_id, end_ns - start_ns, noted FROM traces"
            " WHERE NOT judged AND last_ms < ? LIMIT ?",
            (now_ms - sampling.quiet_ms, _SOME),
        ).fetchall()
        kept = [n for n, trace_id, took, noted in quiet if sampling.keeps(trace_id, took, noted=bool(noted))]
        self._remove([number for number, *_ in quiet if number not in set(kept)])
        self._in_one(
            lambda: self._db.executemany("UPDATE traces SET judged = 1 WHERE id = ?", [(n,) for n in kept])
        )

    def _write_trace(self, trace_id: bytes, spans: Sequence[SpanRow], now_ms: int) -> None:
        number = self._one(
            "INSERT INTO traces (trace_id, first_ms, last_ms, start_ns, end_ns, noted, judged)"
            " VALUES (?1, ?2, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (trace_id) DO UPDATE SET last_ms = ?2,"
            " start_ns = min(start_ns, ?3), end_ns = max(end_ns, ?4), noted = max(noted, ?5) RETURNING id",
            (
                trace_id,
                now_ms,
                min(span.start_ns for span in spans),
                max(span.end_ns for span in spans),
                any(span.noted for span in spans),
                self._bounds.sampling.keeps_all,
            ),
        )
        self._db.executemany(
            "INSERT OR IGNORE INTO spans VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (number, s.span_id, s.request_id, s.tenant, s.service, s.instance, s.start_ns, s.body)
                for s in spans
            ],
        )
        self._db.executemany(
            "INSERT OR IGNORE INTO requests VALUES (?, ?)",
            [(request_id, number) for request_id in {s.request_id for s in spans} if request_id],
        )
        self._db.executemany(
            "INSERT OR IGNORE INTO links VALUES (?, ?)",
            [(linked, number) for linked in {linked for s in spans for linked in s.linked}],
        )

    def _rows(self, number: int, request_id: str) -> Rows:
        (trace_id,) = self._db.execute("SELECT trace_id FROM traces WHERE id = ?", (number,)).fetchone()
        found = self._db.execute(
            "SELECT span_id, request_id, tenant, service, instance, start_ns, body FROM spans WHERE trace = ?"
            # The request's own first, where one trace holds too many.
            " ORDER BY request_id = ? DESC, start_ns LIMIT ?",
            (number, request_id, MAX_SHOWN_SPANS),
        )
        spans = [
            SpanRow(trace_id, span_id, whose, tenant, service, instance, start, start, False, (), body)
            for span_id, whose, tenant, service, instance, start, body in found
        ]
        return Rows(trace_id, sorted(spans, key=lambda span: span.start_ns))

    def _remove(self, numbers: Sequence[int]) -> None:
        def remove() -> None:
            marks = ",".join("?" * len(numbers))
            for table, column in _OF_A_TRACE:
                self._db.execute(f"DELETE FROM {table} WHERE {column} IN ({marks})", numbers)  # noqa: S608  # names of ours

        if numbers:
            self._in_one(remove)

    def _in_one(self, work: Callable[[], object]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            work()
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _numbers(self, sql: str, parameters: Sequence[object]) -> list[int]:
        return [number for (number,) in self._db.execute(sql, parameters)]

    def _one(self, sql: str, parameters: Sequence[object] = ()) -> int:
        (value,) = self._db.execute(sql, parameters).fetchone()
        return int(value)
