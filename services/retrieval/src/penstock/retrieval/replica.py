"""One replica: its index is opened, filled and searched; on demand a new one is made and takes its place."""

import asyncio
from dataclasses import dataclass, field

import structlog

from penstock.messages.flows import FLOWS
from penstock.retrieval.adapters.http import Progress
from penstock.retrieval.adapters.progress import CatchUp
from penstock.retrieval.ahead import Ahead
from penstock.retrieval.ports import Embedder, Home, IndexUnusable, Opened
from penstock.retrieval.relevance_floor import RelevanceFloor
from penstock.retrieval.searching import CurrentIndex, Searcher
from penstock.retrieval.settings import FIRST, Settings
from penstock.retrieval.stages import SERVICE, documents, questions
from penstock.streaming import worker
from penstock.streaming.adapters.kafka import open_reader
from penstock.streaming.errors import TransientError
from penstock.streaming.stage import Stage
from penstock.telemetry.readiness import Readiness

INDEX = "index"
DOCUMENTS = "documents"

_OPENING_SECONDS = 10.0
_FLOW = FLOWS[SERVICE]
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Filling:
    """An index that follows the log, until `halt` is set."""

    opened: Opened
    stage: Stage
    task: asyncio.Task[None]
    halt: asyncio.Event = field(default_factory=asyncio.Event)


class _PartOf(Readiness):
    """What one consumer group waits for, told beside what the others wait for, under its own name."""

    def __init__(self, whole: Readiness, name: str) -> None:
        super().__init__()
        self._whole = whole
        self._name = name

    def waiting(self, part: str, reason: str) -> None:
        self._whole.waiting(f"{self._name} {part}", reason)

    def ready(self, part: str) -> None:
        self._whole.ready(f"{self._name} {part}")


class Replica:
    """Runs until `stop` is set (port of the HTTP app: Reindexing)."""

    def __init__(
        self,
        settings: Settings,
        embedder: Embedder,
        home: Home,
        current: CurrentIndex,
        searcher: Searcher,
        floor: RelevanceFloor,
        readiness: Readiness,
        stop: asyncio.Event,
    ) -> None:
        # Another server of the process tells its health: those of its groups get any port.
        self._settings = settings.model_copy(update={"health_port": 0})
        self._embedder = embedder
        self._home = home
        self._current = current
        self._searcher = searcher
        self._floor = floor
        self._readiness = readiness
        self._stop = stop
        self._tasks = asyncio.TaskGroup()
        self._fillings: list[_Filling] = []
        self._progress = Progress(running=False)

    async def run(self) -> None:
        """Open the index, answer questions from it, and keep it at the log's end. Raises IndexUnusable."""
        try:
            opened = await self._open()
            if opened is None:
                return
            async with self._tasks:
                if self._settings.indexes:
                    self._fill(opened, _PartOf(self._readiness, DOCUMENTS))
                self._tasks.create_task(self._answer(opened))
                await self._stop.wait()
                for filling in self._fillings:
                    filling.halt.set()
        finally:
            await self._home.close()

    def begin(self) -> bool:
        if self._progress.running or not self._fillings or self._stop.is_set():
            return False
        self._progress = Progress(running=True)
        self._tasks.create_task(self._rebuild())
        return True

    @property
    def progress(self) -> Progress:
        return self._progress

    async def _open(self) -> Opened | None:
        """Return the index, or None if stopped; the process before may need a moment to let go of it."""
        clock = asyncio.get_running_loop().time
        give_up = clock() + _OPENING_SECONDS
        found: list[Opened] = []

        async def attempt() -> str | None:
            try:
                found.append(await self._home.open())
            except TransientError as error:
                return str(error)
            except IndexUnusable as error:
                if clock() > give_up:
                    raise
                return str(error)
            return None

        await worker.wait_for(INDEX, attempt, self._readiness, self._stop)
        return found[0] if found else None

    async def _answer(self, opened: Opened) -> None:
        """Take a share of the questions, but not before the index holds all documents that there are now.

        The first replica does not wait: alone, it answers from what it has rather than not at all. Nor does
        one that fills no index of its own.
        """
        if self._settings.instance != FIRST and self._fillings:
            self._readiness.waiting(INDEX, "it is not known yet how far it is behind")
            if not await self._caught_up(self._fillings[0].stage, self._readiness):
                return
        self._current.become(opened.index)
        ahead = Ahead(self._searcher, lambda: open_reader(self._settings.cluster))
        stage = questions(self._searcher, self._floor, ahead, self._settings)
        reading = self._tasks.create_task(ahead.run())
        await worker.serve((stage,), _FLOW, self._settings, self._readiness, self._stop)
        reading.cancel()

    def _fill(self, opened: Opened, readiness: Readiness) -> _Filling:
        stage = documents(self._embedder, opened, self._settings)
        halt = asyncio.Event()
        task = self._tasks.create_task(worker.serve((stage,), _FLOW, self._settings, readiness, halt))
        filling = _Filling(opened, stage, task, halt)
        self._fillings.append(filling)
        return filling

    async def _rebuild(self) -> None:
        try:
            await self._replace(self._fillings[0])
        except (TransientError, IndexUnusable) as error:
            log.error("reindex_failed", error=str(error))
            self._progress = Progress(running=False, error=str(error))

    async def _replace(self, old: _Filling) -> None:
        """Fill a new index from the beginning of the log, and let it take the old one's place.

        Both follow the log meanwhile, and both tell what they have indexed: a part is told twice rather
        than never.
        """
        begun = await self._home.begin()
        log.info("reindex_begun", index=begun.id)
        new = self._fill(begun, Readiness(worker.KAFKA))
        try:
            # The second look takes in what has come during the first.
            for _ in range(2):
                if not await self._caught_up(new.stage, Readiness(INDEX)):
                    return
            await self._home.adopt(begun)
        except TransientError:
            await self._retire(new)
            raise
        self._current.become(begun.index)
        await self._retire(old)
        self._progress = Progress(running=False, done=self._progress.total, total=self._progress.total)
        log.info("reindexed", index=begun.id, instead_of=old.opened.id)

    async def _retire(self, filling: _Filling) -> None:
        """Let an index follow the log no more, and remove it."""
        self._fillings.remove(filling)
        filling.halt.set()
        await filling.task
        await self._home.discard(filling.opened)

    async def _caught_up(self, stage: Stage, readiness: Readiness) -> bool:
        """Wait until a stage has handled all records that there are now; return False if stopped before."""
        catch_up = CatchUp(self._settings.cluster, stage.name, stage.inputs)

        async def behind() -> str | None:
            reason = await catch_up.reason()
            if self._progress.running:
                self._progress = Progress(running=True, done=catch_up.done, total=catch_up.total)
            return reason

        try:
            caught_up = await worker.wait_for(INDEX, behind, readiness, self._stop)
        finally:
            await catch_up.close()
        if caught_up:
            log.info("caught_up", group=stage.name)
        return caught_up
