"""Presence: whether a request is to be cancelled, over all orders of leaving, joining and asking."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from penstock.generation.domain.presence import KEEP_MS, MAX_GRACE_MS, Presence, Verdict
from penstock.messages.chat import CancelRequested, ClientJoined, ClientLeft
from penstock.messages.event import Event

GRACE = 10_000


def left(connection: str = "first", grace_ms: int = GRACE) -> Event:
    return ClientLeft(connection=connection, grace_ms=grace_ms)


def joined(connection: str) -> Event:
    return ClientJoined(connection=connection)


def presence_of(*events: tuple[int, Event]) -> Presence:
    presence = Presence()
    for time_ms, event in events:
        presence.note("r", event, time_ms)
    return presence


def test_a_request_of_which_nothing_is_said_goes_on() -> None:
    assert Presence().verdict("r", 5) == Verdict(None, None)


def test_asked_for_it_is_cancelled_at_once() -> None:
    assert presence_of((5, CancelRequested())).verdict("r", 5) == Verdict("requested")


def test_when_the_last_client_has_left_it_is_cancelled_after_the_grace() -> None:
    presence = presence_of((5, left()))
    assert presence.verdict("r", 5) == Verdict(None, 5 + GRACE)
    assert presence.verdict("r", 4 + GRACE) == Verdict(None, 5 + GRACE)
    assert presence.verdict("r", 5 + GRACE) == Verdict("disconnected")
    assert presence.verdict("other", 5 + GRACE) == Verdict()


def test_a_client_that_joins_within_the_grace_keeps_it_alive_whichever_gateway_it_joins() -> None:
    presence = presence_of((5, left()), (9, joined("b")))
    assert presence.verdict("r", 10 * GRACE) == Verdict()
    presence.note("r", left("b", 50), 100_000)
    assert presence.verdict("r", 100_050) == Verdict("disconnected")


def test_a_client_that_joined_before_the_first_left_keeps_it_alive() -> None:
    assert presence_of((1, joined("b")), (5, left())).verdict("r", 10 * GRACE) == Verdict()


def test_a_client_that_joins_after_the_grace_comes_too_late() -> None:
    assert presence_of((5, left()), (5 + GRACE, joined("b"))).verdict("r", 6 + GRACE) == Verdict(
        "disconnected"
    )


def test_a_repeated_record_prolongs_no_grace() -> None:
    assert presence_of((5, left()), (500, left())).verdict("r", 600) == Verdict(None, 5 + GRACE)


def test_a_request_is_forgotten_ten_minutes_after_its_last_event_but_not_within_its_grace() -> None:
    presence = Presence()
    presence.note("asked", CancelRequested(), 1)
    presence.note("left", left(grace_ms=2 * KEEP_MS), 1)
    presence.forget(KEEP_MS)
    assert len(presence) == 2
    presence.forget(1 + KEEP_MS)
    assert len(presence) == 1
    assert presence.verdict("left", 1 + 2 * KEEP_MS) == Verdict("disconnected")
    presence.forget(1 + 3 * KEEP_MS)
    assert len(presence) == 0


class Step(NamedTuple):
    """What happens `after` milliseconds; `kind` 0 asks, 1 leaves, 2 joins, as client `client`."""

    after: int
    kind: int
    client: int
    grace_ms: int

    def event(self) -> Event:
        client = ["first", "b", "c"][self.client]
        return [CancelRequested(), left(client, self.grace_ms), joined(client)][self.kind]


steps = st.lists(
    st.builds(
        Step,
        st.integers(0, 30),
        st.sampled_from([0, 1, 1, 1, 2, 2]),
        st.integers(0, 2),
        st.one_of(st.integers(0, 40), st.just(2 * MAX_GRACE_MS)),
    ),
    max_size=12,
)


def model(history: list[tuple[int, Step]], now: int) -> Verdict:
    """Return the verdict, found in another way: millisecond by millisecond, as far as something happens."""
    clients, due = {0}, None
    for time, step in history:
        if due is not None and time >= due:
            return Verdict("disconnected")
        if step.kind == 0:
            return Verdict("requested")
        if step.kind == 2:
            clients, due = clients | {step.client}, None
        elif clients == {step.client}:
            clients, due = set(), time + min(step.grace_ms, MAX_GRACE_MS)
        else:
            clients = clients - {step.client}
    return Verdict("disconnected") if due is not None and now >= due else Verdict(None, due)


@given(steps, st.integers(0, 60))
def test_the_verdict_follows_the_rule(taken: list[Step], later: int) -> None:
    presence, now = Presence(), 1_000
    history: list[tuple[int, Step]] = []
    for step in taken:
        now += step.after
        history.append((now, step))
        presence.note("r", step.event(), now)
        assert presence.verdict("r", now) == model(history, now)
        presence.forget(now)
    assert presence.verdict("r", now + later) == model(history, now + later)


@given(steps, st.lists(st.integers(0, 60), max_size=5))
def test_a_cancelled_request_stays_cancelled_and_looking_changes_nothing_else(
    taken: list[Step], looks: list[int]
) -> None:
    presence, now, reason = Presence(), 1_000, None
    for step in taken:
        now += step.after
        presence.note("r", step.event(), now)
        found = presence.verdict("r", now).reason
        assert reason in (None, found)
        reason = found
    for look in sorted(looks):
        found = presence.verdict("r", now + look).reason
        assert reason in (None, found)
        reason = found


@given(steps)
def test_looking_again_at_the_named_time_is_enough(taken: list[Step]) -> None:
    presence, now = Presence(), 1_000
    for step in taken:
        now += step.after
        presence.note("r", step.event(), now)
    verdict = presence.verdict("r", now)
    if verdict.look_again_ms is not None:
        assert presence.verdict("r", verdict.look_again_ms - 1).reason is None
        assert presence.verdict("r", verdict.look_again_ms).reason == "disconnected"
