"""The records: files, stores, documents and their jobs, on every database that there is."""

import pytest

from penstock.ingestion.adapters.records.all import Records
from penstock.ingestion.adapters.records.jobs import INDEX_WAIT_MS, LEASE_MS
from penstock.ingestion.domain.model import (
    Chunking,
    Document,
    File,
    Job,
    LeaseLost,
    NotFound,
    Store,
    content_blob,
    file_blob,
)
from penstock.ingestion.handler.open_work import OpenWork
from penstock.ingestion.ports import Attachment, Page
from penstock.messages.documents import DocumentDeleted, DocumentStateChanged
from penstock.messages.search import DEFAULT_STORE
from penstock.telemetry.metric_catalog import JOBS, OLDEST_JOB
from penstock.telemetry.names import PENSTOCK_STATE

TENANT = "acme"
ALL = Page(limit=100, descending=False)


async def file(records: Records, name: str = "a.md", tenant: str = TENANT, digest: str = "d1") -> File:
    number = len(await records.files.page(tenant, ALL))
    made = File(f"file-{tenant}-{number}", tenant, name, "assistants", 10, digest, 1_764_000_000 + number)
    await records.files.begin(made)
    await records.files.finish(made)
    return made


async def attach(records: Records, one: File, store: str = DEFAULT_STORE, **attributes: str) -> Document:
    [document] = await records.documents.attach(one.tenant, store, [Attachment(one.id, attributes, None)])
    return document


async def claimed(records: Records, owner: str = "w1") -> Job:
    job = await records.jobs.claim(owner)
    assert job is not None
    return job


async def events(records: Records) -> list[object]:
    return [one.event for one in await records.outbox.next(1000)]


async def states(records: Records) -> list[str]:
    return [event.state for event in await events(records) if isinstance(event, DocumentStateChanged)]


async def test_a_document_goes_from_queued_to_completed(records: Records) -> None:
    document = await attach(records, await file(records), team="core")
    assert document.status == "in_progress"
    job = await claimed(records)
    await records.jobs.state(job, "parsing")
    await records.jobs.published(job, "content-1", chunks=3, pages=2, parts=2)
    parts = [(document.id, document.version, 0), (document.id, document.version, 1)]
    await records.jobs.indexed(parts[:1])
    await records.jobs.indexed(parts[:1])  # told twice
    assert (await records.documents.get(TENANT, DEFAULT_STORE, document.file_id)).state == "indexing"
    await records.jobs.indexed(parts)
    done = await records.documents.get(TENANT, DEFAULT_STORE, document.file_id)
    assert (done.state, done.chunks, done.pages, done.attributes) == ("completed", 3, 2, {"team": "core"})
    assert await states(records) == ["queued", "parsing", "indexing", "completed"]
    assert await records.jobs.claim("w1") is None
    store = await records.stores.get(TENANT, DEFAULT_STORE)
    assert (store.counts.completed, store.counts.total, store.usage_bytes) == (1, 1, 10)


async def test_open_work_is_counted_by_state_and_aged(records: Records, clock) -> None:
    work = OpenWork(records.jobs, clock)

    async def told() -> tuple[dict[str, float], float]:
        await work.once()
        reads = work.reads()
        [(oldest, _)] = reads[OLDEST_JOB]()
        return {str(about[PENSTOCK_STATE]): count for count, about in reads[JOBS]()}, round(oldest)

    assert await told() == ({"queued": 0, "parsing": 0, "embedding": 0, "indexing": 0}, 0)
    first = await attach(records, await file(records))
    clock.pass_s(5)
    await attach(records, await file(records, "b.md", digest="d2"))
    job = await claimed(records)
    assert job.document.id == first.id
    await records.jobs.state(job, "parsing")
    assert await told() == ({"queued": 1, "parsing": 1, "embedding": 0, "indexing": 0}, 5)
    await records.jobs.fail(job, "server_error", "No.")
    assert await told() == ({"queued": 1, "parsing": 0, "embedding": 0, "indexing": 0}, 0)


async def test_parts_that_are_indexed_before_all_are_published_count(records: Records) -> None:
    document = await attach(records, await file(records))
    job = await claimed(records)
    await records.jobs.indexed([(document.id, document.version, 0)])
    await records.jobs.published(job, "c", chunks=1, pages=0, parts=1)
    assert (await records.documents.get(TENANT, DEFAULT_STORE, document.file_id)).state == "completed"


async def test_a_job_has_one_owner_until_it_is_silent_for_too_long(records: Records, clock) -> None:
    await attach(records, await file(records))
    first = await claimed(records, "w1")
    assert await records.jobs.claim("w2") is None
    clock.pass_s(LEASE_MS / 1000 - 1)
    await records.jobs.beat(first)
    clock.pass_s(LEASE_MS / 1000 - 1)
    assert await records.jobs.claim("w2") is None
    clock.pass_s(2)
    assert await records.jobs.waiting()
    second = await claimed(records, "w2")
    assert (second.failures, second.document.attempt) == (1, 2)
    for late in (records.jobs.beat(first), records.jobs.published(first, "c", 1, 1, 1)):
        with pytest.raises(LeaseLost):
            await late


async def test_what_is_put_back_comes_again_after_its_pause(records: Records, clock) -> None:
    await attach(records, await file(records))
    await records.jobs.put_back(await claimed(records), 30, fault=True)
    assert await records.jobs.claim("w1") is None
    clock.pass_s(31)
    assert (await claimed(records)).failures == 1


async def test_a_document_that_the_index_never_confirms_is_published_anew(records: Records, clock) -> None:
    document = await attach(records, await file(records))
    await records.jobs.published(await claimed(records), "c", chunks=1, pages=0, parts=1)
    assert await records.jobs.claim("w1") is None
    clock.pass_s(INDEX_WAIT_MS / 1000 + 1)
    again = await claimed(records)
    assert again.document.version > document.version
    assert again.failures == 0
    await records.jobs.indexed([(document.id, document.version, 0)])  # of the version before
    await records.jobs.published(again, "c", chunks=1, pages=0, parts=1)
    await records.jobs.indexed([(document.id, again.document.version, 0)])
    assert (await records.documents.get(TENANT, DEFAULT_STORE, document.file_id)).state == "completed"


async def test_a_failed_document_says_why_and_may_be_attached_again(records: Records) -> None:
    one = await file(records)
    await attach(records, one)
    await records.jobs.fail(await claimed(records), "invalid_file", "It is empty.")
    failed = await records.documents.get(TENANT, DEFAULT_STORE, one.id)
    assert (failed.status, failed.code, failed.message) == ("failed", "invalid_file", "It is empty.")
    assert (await attach(records, one)).state == "queued"


async def test_attaching_the_same_again_does_nothing_and_differently_does(records: Records) -> None:
    one = await file(records)
    first = await attach(records, one, team="a")
    assert (await attach(records, one, team="a")).version == first.version
    assert (await attach(records, one, team="b")).version > first.version
    [recut] = await records.documents.attach(
        TENANT, DEFAULT_STORE, [Attachment(one.id, {"team": "b"}, Chunking(100, 10))]
    )
    assert recut.chunking == Chunking(100, 10)
    job = await claimed(records)
    assert job.document.version == recut.version
    assert await records.jobs.claim("w2") is None  # one job, for the last version


async def test_a_worker_of_a_replaced_version_has_no_say(records: Records) -> None:
    one = await file(records)
    await attach(records, one)
    job = await claimed(records)
    changed = await records.documents.change(TENANT, DEFAULT_STORE, one.id, {"team": "b"})
    with pytest.raises(LeaseLost):
        await records.jobs.published(job, "c", 1, 1, 1)
    assert (await claimed(records)).document.version == changed.version


async def test_deleting_a_file_tells_the_index_and_leaves_nothing(records: Records) -> None:
    one = await file(records)
    document = await attach(records, one)
    await records.jobs.published(await claimed(records), "content-1", chunks=1, pages=0, parts=1)
    await records.files.delete(TENANT, one.id)
    told = await events(records)
    assert DocumentDeleted(document_id=document.id, version=document.version) in told
    for gone in (records.files.get(TENANT, one.id), records.documents.get(TENANT, DEFAULT_STORE, one.id)):
        with pytest.raises(NotFound):
            await gone
    assert await garbage(records) == {file_blob(TENANT, "d1"), content_blob("content-1")}


async def garbage(records: Records) -> set[str]:
    found = set()
    while True:
        async with records.garbage.next() as name:
            if name is None:
                return found
            if name:
                found.add(name)


async def test_a_blob_that_another_file_shares_stays(records: Records) -> None:
    one, other = await file(records), await file(records)
    await records.files.delete(TENANT, one.id)
    assert await garbage(records) == set()
    await records.files.delete(TENANT, other.id)
    assert await garbage(records) == {file_blob(TENANT, "d1")}


async def test_an_upload_that_never_ended_is_forgotten(records: Records) -> None:
    await records.files.begin(File("file-x", TENANT, "a", "assistants", 1, "d9", 100))
    with pytest.raises(NotFound):
        await records.files.get(TENANT, "file-x")
    assert await records.files.forget_abandoned(100) == 0
    assert await records.files.forget_abandoned(101) == 1
    assert await garbage(records) == {file_blob(TENANT, "d9")}


async def test_a_batch_counts_and_can_be_cancelled(records: Records) -> None:
    files = [await file(records, f"{n}.md") for n in range(3)]
    attachments = [Attachment(one.id, {}, None) for one in files]
    await records.documents.attach(TENANT, DEFAULT_STORE, attachments, "vsfb_1")
    job = await claimed(records)
    await records.jobs.fail(job, "unsupported_file", "No.")
    batch = await records.documents.batch(TENANT, DEFAULT_STORE, "vsfb_1")
    assert (batch.status, batch.counts.in_progress, batch.counts.failed) == ("in_progress", 2, 1)
    ended = await records.documents.cancel(TENANT, DEFAULT_STORE, "vsfb_1")
    assert (ended.status, ended.counts.cancelled, ended.counts.failed) == ("cancelled", 2, 1)
    assert await records.jobs.claim("w1") is None
    listed = await records.documents.page(TENANT, DEFAULT_STORE, ALL, "cancelled", "vsfb_1")
    assert len(listed) == 2


async def test_a_batch_with_an_unknown_file_attaches_none(records: Records) -> None:
    one = await file(records)
    attachments = [Attachment(one.id, {}, None), Attachment("file-none", {}, None)]
    with pytest.raises(NotFound, match="file-none"):
        await records.documents.attach(TENANT, DEFAULT_STORE, attachments, "vsfb_1")
    assert await records.documents.page(TENANT, DEFAULT_STORE, ALL) == []
    with pytest.raises(NotFound):
        await records.documents.batch(TENANT, DEFAULT_STORE, "vsfb_1")


async def test_stores_are_made_changed_used_expired_and_deleted(records: Records, clock) -> None:
    now = clock.now // 1000
    await records.stores.create(Store(TENANT, "vs_1", "one", now, now, 1))
    changed = await records.stores.change(TENANT, "vs_1", {"name": "two", "metadata": {"a": "b"}})
    assert (changed.name, changed.metadata, changed.expires_at) == ("two", {"a": "b"}, now + 86_400)
    one = await file(records)
    document = await attach(records, one, "vs_1")
    clock.pass_s(86_000)
    await records.stores.touch(TENANT, "vs_1")
    clock.pass_s(86_000)
    assert await records.stores.expired() == []
    clock.pass_s(1000)
    assert [store.id for store in await records.stores.expired()] == ["vs_1"]
    await records.stores.delete(TENANT, "vs_1")
    assert DocumentDeleted(document_id=document.id, version=document.version) in await events(records)
    assert (await records.files.get(TENANT, one.id)).id == one.id
    with pytest.raises(NotFound):
        await records.stores.get(TENANT, "vs_1")


@pytest.mark.parametrize("descending", [True, False])
async def test_lists_are_read_page_by_page_both_ways(records: Records, *, descending: bool) -> None:
    ids = [(await file(records, f"{n}")).id for n in range(7)]
    ids = ids[::-1] if descending else ids
    found: list[str] = []
    after = ""
    while True:
        page = Page(3, descending, after)
        rows = await records.files.page(TENANT, page)
        found += [row.id for row in rows[:3]]
        if len(rows) <= 3:
            break
        after = found[-1]
    assert found == ids
    before = await records.files.page(TENANT, Page(2, descending, before=ids[4]))
    assert [row.id for row in before][-2:] == ids[2:4]
    assert [row.name for row in await records.files.page(TENANT, ALL, name="3")] == ["3"]


async def test_events_wait_in_order_until_they_are_written(records: Records) -> None:
    await attach(records, await file(records, "a"))
    await attach(records, await file(records, "b"))
    written = await records.outbox.next(10)
    assert [one.number for one in written] == sorted(one.number for one in written)
    await records.outbox.done([written[0].number])
    assert [one.number for one in await records.outbox.next(10)] == [one.number for one in written[1:]]


async def test_earlier_contents_of_a_name_are_found_for_the_tenant_only(records: Records) -> None:
    old = await attach(records, await file(records, "a.md"))
    await records.jobs.published(await claimed(records), "content-1", 1, 0, 1)
    new = await attach(records, await file(records, "a.md", digest="d2"))
    assert await records.documents.siblings(new) == ["content-1"]
    strange = await attach(records, await file(records, "a.md", tenant="other"))
    assert await records.documents.siblings(strange) == []
    assert old.id != new.id
