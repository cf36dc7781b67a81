"""No sequence of calls by one tenant returns, lists, deletes, changes or counts anything of another."""

from collections.abc import Awaitable
from typing import NamedTuple
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.ingestion.adapters.records.all import Records
from penstock.ingestion.domain.model import File, NotFound, Store
from penstock.ingestion.ports import Attachment, Page
from penstock.messages.search import DEFAULT_STORE

ALL = Page(limit=100)
CALLS = (
    "upload",
    "create",
    "attach",
    "attach",
    "delete file",
    "delete store",
    "detach",
    "change",
    "read",
    "cancel",
)
steps = st.lists(
    st.tuples(st.sampled_from(CALLS), st.sampled_from("ab"), st.integers(0, 7), st.integers(0, 7)),
    max_size=25,
)


class _Mine(NamedTuple):
    """What of a call's ids is the caller's own."""

    file: bool
    store: bool
    in_store: bool

    @property
    def document(self) -> bool:
        return self.file and self.store and self.in_store


class World:
    """What there should be: ids with their owners, and which file is in which store."""

    def __init__(self, records: Records, suffix: str) -> None:
        self.records = records
        self.suffix = suffix
        self.count = 0
        self.files: dict[str, str] = {}
        self.stores: dict[str, str] = {}
        self.documents: set[tuple[str, str]] = set()
        self.batches: dict[str, tuple[str, str]] = {}

    async def step(self, call: str, who: str, first: int, second: int) -> None:
        tenant = who + self.suffix
        self.count += 1
        number = self.count
        if call == "upload":
            file = File(f"file-{number}{self.suffix}", tenant, "same.md", "assistants", 1, "same", number)
            await self.records.files.begin(file)
            await self.records.files.finish(file)
            self.files[file.id] = tenant
        elif call == "create":
            store = Store(tenant, f"vs_{number}{self.suffix}", "same", number, number)
            await self.records.stores.create(store)
            self.stores[store.id] = tenant
        elif self.files and self.stores:
            files, stores = sorted(self.files), sorted(self.stores)
            await self._with(
                call,
                tenant,
                files[first % len(files)],
                stores[second % len(stores)],
                f"b{number}{self.suffix}",
            )

    async def _with(self, call: str, tenant: str, file: str, store: str, batch: str) -> None:
        mine = _Mine(
            self.files[file] == tenant, self.stores[store] == tenant, (store, file) in self.documents
        )
        documents = self.records.documents
        if call == "attach":
            done = await allowed(documents.attach(tenant, store, [Attachment(file, {}, None)], batch))
            assert done is (mine.file and mine.store)
            if done:
                self.documents.add((store, file))
                self.batches[batch] = (tenant, store)
        elif call == "detach":
            assert await allowed(documents.detach(tenant, store, file)) is mine.document
            self.documents -= {(store, file)} if mine.document else set()
        elif call == "change":
            assert await allowed(documents.change(tenant, store, file, {"x": 1})) is mine.document
        elif call == "cancel":
            for name, (owner, of) in self.batches.items():
                assert owner == tenant or not await allowed(documents.cancel(tenant, of, name))
        elif call == "read":
            assert await allowed(documents.get(tenant, store, file)) is mine.document
            assert await allowed(self.records.files.get(tenant, file)) is mine.file
            assert await allowed(self.records.stores.get(tenant, store)) is mine.store
        else:
            await self._delete(call, tenant, file, store, mine)

    async def _delete(self, call: str, tenant: str, file: str, store: str, mine: "_Mine") -> None:
        if call == "delete file":
            assert await allowed(self.records.files.delete(tenant, file)) is mine.file
            if mine.file:
                del self.files[file]
                self.documents = {(s, f) for s, f in self.documents if f != file}
            return
        assert await allowed(self.records.stores.delete(tenant, store)) is mine.store
        if mine.store:
            del self.stores[store]
            self.documents = {(s, f) for s, f in self.documents if s != store}

    async def check(self) -> None:
        """What each tenant lists and counts is its own, and all of it."""
        for tenant in ("a" + self.suffix, "b" + self.suffix):
            files = await self.records.files.page(tenant, ALL)
            assert {f.id for f in files} == {i for i, owner in self.files.items() if owner == tenant}
            stores = await self.records.stores.page(tenant, ALL)
            assert {s.id for s in stores} == {i for i, owner in self.stores.items() if owner == tenant}
            for store in stores:
                inside = {f for s, f in self.documents if s == store.id}
                listed = await self.records.documents.page(tenant, store.id, ALL)
                assert {d.file_id for d in listed} == inside
                assert store.counts.total == len(inside)
                assert {d.tenant for d in listed} <= {tenant}
            assert (await self.records.stores.get(tenant, DEFAULT_STORE)).counts.total == 0
            await self.records.stores.delete(tenant, DEFAULT_STORE)


async def allowed(call: Awaitable[object]) -> bool:
    """Whether a call found what it names."""
    try:
        await call
    except NotFound:
        return False
    return True


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=steps)
async def test_tenants_never_meet(records: Records, sequence: list[tuple[str, str, int, int]]) -> None:
    """Examples share a database, so each has tenants of its own."""
    world = World(records, uuid4().hex)
    for step in sequence:
        await world.step(*step)
    await world.check()
