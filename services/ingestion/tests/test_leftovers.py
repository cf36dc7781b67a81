"""What no longer counts leaves the log, whatever happens in whatever order; what counts stays."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.ingestion.adapters.records.all import Records
from penstock.ingestion.adapters.records.log_parts import AGAIN_MS
from penstock.messages.topics import DOCUMENTS_CHUNKED
from services.ingestion.tests.world import STEPS, Part, World, parts_of

steps = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 5)), min_size=10, max_size=60)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=steps)
async def test_the_log_keeps_what_counts_and_nothing_else(
    records: Records, clock, sequence: list[tuple[str, int]]
) -> None:
    world = World(records, clock)
    await world.begin()
    for step, number in sequence:
        await getattr(world, step)(number)
        assert await world.counting() <= world.kept()  # a new index can be made at any time
    await world.settle()
    assert world.kept() == await world.counting()
    assert await world.noted() == world.kept()


async def test_a_part_is_taken_back_at_once_and_again_when_kafka_may_close_its_segment(
    records: Records, clock
) -> None:
    world = World(records, clock)
    await world.begin()
    await world.attach()
    await world.come_in()
    [document] = await world.documents()
    await world.delete()
    await world.tell_all()
    written = len(world.log())
    seen = []
    for seconds in (0, AGAIN_MS / 1000 - 10, 20, 7200):
        clock.pass_s(seconds)
        await world.sweep()
        seen.append(len(world.log()) - written)
    told = len(parts_of(document)) + 1  # and once under the key that its records had before
    assert seen == [told, told, 2 * told, 2 * told]


async def test_what_is_replaced_goes_when_the_new_version_is_found_and_not_before(
    records: Records, clock
) -> None:
    world = World(records, clock)
    await world.begin()
    await world.attach()
    await world.come_in()
    first = world.kept()
    await world.attach()
    await world.claim()
    while world.workers:
        await world.rest()
        assert first <= world.kept()
        await world.write()
    await world.rest()
    assert world.kept() == await world.counting()
    assert not first & world.kept()


async def test_what_a_worker_writes_long_after_its_document_is_gone_does_not_stay(
    records: Records, clock
) -> None:
    world = World(records, clock)
    await world.begin()
    await world.attach()
    await world.claim()
    [worker] = world.workers
    await world.delete()
    await world.rest()
    clock.pass_s(90 * 86_400)
    await world.write()
    assert world.kept() == {Part(worker.job.document.id, worker.job.document.version, 0)}
    await world.rest()
    assert world.kept() == set()


async def test_a_record_from_before_the_topic_was_compacted_goes_with_its_document(
    records: Records, clock
) -> None:
    world = World(records, clock)
    await world.begin()
    await world.attach()
    await world.come_in()
    [document] = await world.documents()
    [sent, *_] = world.log()
    key = document.id.encode()
    await world.broker.producer().send(DOCUMENTS_CHUNKED.name, key, sent.value, sent.headers)
    await world.delete()
    await world.rest()
    assert world.kept() == set()


async def test_a_part_that_comes_again_while_it_is_taken_back_is_taken_back_again(records: Records) -> None:
    part = ("acme", "doc", 7, 1)
    await records.leftovers.late([part])
    first = await records.leftovers.next(10)
    await records.leftovers.late([part])
    await records.leftovers.taken_back(first)
    [again] = await records.leftovers.next(10)
    assert (again.tenant, again.document_id, again.version, again.part) == part
    await records.leftovers.taken_back([again])
    assert await records.leftovers.next(10) == []
