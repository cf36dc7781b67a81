"""Request ids: what they carry comes back, and they are UUIDv7 as RFC 9562 lays it out."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.messages.ids import (
    MAX_PARTITIONS,
    created_ms,
    new_request_id,
    reply_partition,
    request_id_of,
    shown_id,
)

partitions = st.integers(0, MAX_PARTITIONS - 1)
times = st.integers(0, 2**48 - 1)
random_bits = st.integers(0, 2**62 - 1)


@given(partitions, times, random_bits)
def test_partition_and_time_come_back(partition: int, now_ms: int, bits: int) -> None:
    request_id = new_request_id(partition, now_ms, lambda _: bits)

    assert reply_partition(request_id) == partition
    assert created_ms(request_id) == now_ms
    assert request_id_of(shown_id(request_id)) == request_id_of(request_id) == request_id


@given(partitions, times, random_bits)
def test_layout_is_rfc_9562_section_5_7(partition: int, now_ms: int, bits: int) -> None:
    value = UUID(new_request_id(partition, now_ms, lambda _: bits)).int

    assert f"{value:0128b}" == f"{now_ms:048b}" + "0111" + f"{partition:012b}" + "10" + f"{bits:062b}"


def test_an_id_known_bit_by_bit() -> None:
    assert new_request_id(0xABC, 0x017F22E279B0, lambda _: 0x18C4DC0C0C07398F) == (
        "017f22e2-79b0-7abc-98c4-dc0c0c07398f"  # the example of RFC 9562, appendix A.6, with rand_a abc
    )


@given(times, times, partitions, partitions)
def test_ids_sort_by_time_whatever_the_partition(early: int, late: int, one: int, other: int) -> None:
    if early > late:
        early, late = late, early
    first, second = new_request_id(one, early), new_request_id(other, late)

    assert early == late or first < second


def test_ids_of_one_millisecond_differ() -> None:
    assert len({new_request_id(3, 1_700_000_000_000) for _ in range(1000)}) == 1000


@pytest.mark.parametrize("partition", [-1, MAX_PARTITIONS])
def test_a_partition_that_does_not_fit_is_refused(partition: int) -> None:
    with pytest.raises(ValueError, match=f"reply partition must be 0..4095, got {partition}"):
        new_request_id(partition, 0)


@pytest.mark.parametrize("now_ms", [-1, 2**48])
def test_a_time_that_does_not_fit_is_refused(now_ms: int) -> None:
    with pytest.raises(ValueError, match="time must fit 48 bits"):
        new_request_id(0, now_ms)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "chat-1",
        "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d",  # version 4
        "017f22e2-79b0-7cc3-18c4-dc0c0c07398f",  # version 7, but the variant bits are of NCS
        "017F22E2-79B0-7CC3-98C4-DC0C0C07398F",  # the same id in capitals would be another key
        "017f22e279b07cc398c4dc0c0c07398f",
        "{017f22e2-79b0-7cc3-98c4-dc0c0c07398f}",
        "urn:uuid:017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
    ],
)
def test_what_is_no_id_of_ours_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"UUID"):
        reply_partition(text)
    with pytest.raises(ValueError, match=r"UUID"):
        created_ms(text)


@given(st.text())
def test_any_text_gives_a_partition_or_value_error(text: str) -> None:
    try:
        partition = reply_partition(text)
    except ValueError:
        return
    assert 0 <= partition < MAX_PARTITIONS
