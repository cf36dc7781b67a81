"""How often one client may be wrong about its key, and what counts as one client."""

import pytest

from penstock.gateway.attempts import CLIENTS, LIMIT, WINDOW_S, Attempts, client_of
from penstock.gateway.domain.errors import ApiError


class Clock:
    """A clock that goes when told."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def refused(attempts: Attempts, address: str) -> bool:
    try:
        attempts.begin(address)
    except ApiError as error:
        return error.status == 429 and 0 < error.retry_after_s <= WINDOW_S
    return False


def test_a_client_may_try_again_after_a_while(clock: Clock) -> None:
    attempts = Attempts(clock)
    assert not any(refused(attempts, "192.0.2.1") for _ in range(LIMIT))
    assert refused(attempts, "192.0.2.1")
    assert not refused(attempts, "192.0.2.2")
    clock.seconds = WINDOW_S - 1
    assert refused(attempts, "192.0.2.1")
    clock.seconds = WINDOW_S
    assert not any(refused(attempts, "192.0.2.1") for _ in range(LIMIT))
    assert refused(attempts, "192.0.2.1")


def test_what_was_right_does_not_count(clock: Clock) -> None:
    attempts = Attempts(clock)
    for _ in range(3 * LIMIT):
        attempts.begin("192.0.2.1")
        attempts.forgive("192.0.2.1")
    attempts.forgive("192.0.2.1")
    assert not any(refused(attempts, "192.0.2.1") for _ in range(LIMIT))
    assert refused(attempts, "192.0.2.1")


def test_memory_for_attempts_is_bounded(clock: Clock) -> None:
    attempts = Attempts(clock)
    for n in range(CLIENTS + 10):
        for _ in range(LIMIT):
            attempts.begin(f"10.0.{n // 256}.{n % 256}")
    assert len(attempts._windows) == CLIENTS
    assert refused(attempts, "10.0.16.9")  # the last one
    assert not refused(attempts, "10.0.0.0")  # the first one, whose place was taken


def test_a_network_of_ipv6_is_one_client() -> None:
    assert client_of("2001:db8::1") == client_of("2001:db8::ffff:2") != client_of("2001:db8:0:1::1")
    assert client_of("::ffff:192.0.2.1") == client_of("192.0.2.1") != client_of("192.0.2.2")
    assert client_of("") == ""
