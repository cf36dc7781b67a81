"""Going by the broker's clock, whatever this machine's says."""

import pytest

from penstock.streaming.clock import BrokerClock, steady_ms


@pytest.mark.parametrize("off", [-300_000, 0, 300_000])
def test_an_acknowledgement_tells_the_brokers_time(off: int) -> None:
    clock = BrokerClock(lambda: 1_000_000_000 + off)
    clock.acknowledged(1_000_000_000 - 3)
    assert clock() == 1_000_000_000 - 3


def test_a_late_acknowledgement_does_not_set_the_clock_back() -> None:
    now = [1_000]
    clock = BrokerClock(lambda: now[0])
    clock.acknowledged(1_000)
    now[0] = 11_000
    clock.acknowledged(1_500)  # it took ten seconds
    assert clock() == 11_000


def test_before_that_the_youngest_record_serves() -> None:
    clock = BrokerClock(lambda: 500_000)  # five minutes ahead
    clock.read(100_000)
    clock.read(200_000)
    clock.read(150_000)
    assert clock() == 200_000
    clock.acknowledged(201_000)
    clock.read(700_000)
    assert clock() == 201_000


def test_the_likeliest_time_is_this_machines_until_an_acknowledgement_tells_more() -> None:
    clock = BrokerClock(lambda: 500_000)
    clock.read(100_000)  # an old record
    assert clock.likely() == 500_000
    clock.acknowledged(200_000)
    assert clock.likely() == 200_000


def test_when_somebody_sets_this_machines_clock_nothing_changes() -> None:
    wall, monotonic = [1_000_000_000_000_000], [5_000_000_000]
    clock = BrokerClock(steady_ms(lambda: wall[0], lambda: monotonic[0]))
    clock.acknowledged(900_000_000)
    wall[0] += 300 * 1_000_000_000  # five minutes ahead
    monotonic[0] += 2_000_000_000
    assert clock() == 900_002_000


def test_a_brokers_clock_that_is_set_back_is_followed_with_the_next_acknowledgement() -> None:
    clock = BrokerClock(lambda: 1_000_000)
    clock.acknowledged(1_300_000)
    clock.acknowledged(1_000_000)
    assert clock() == 1_000_000
