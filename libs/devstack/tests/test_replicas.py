"""What may be asked of `--replicas` and `scale`, and the files by which requests reach the supervisor."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from unittest.mock import Mock

import pytest

from penstock.devstack.errors import DevstackError
from penstock.devstack.replicas import parse_replicas, replica_names, service_of
from penstock.devstack.scaling import Scaler, ScaleRequests, refusal_of


def test_numbers_are_read_with_commas_and_as_several_words() -> None:
    assert parse_replicas(["generation=3,gateway=2", " retrieval = 1"]) == {
        "generation": 3,
        "gateway": 2,
        "retrieval": 1,
    }
    assert parse_replicas([]) == {}
    assert parse_replicas(["gateway=16"]) == {"gateway": 16}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("generation=0", "generation may have 1 to 16 replicas, not 0"),
        ("generation=17", "generation may have 1 to 16 replicas, not 17"),
        ("generation=-1", "generation may have 1 to 16 replicas, not -1"),
        ("generation=two", "generation may have 1 to 16 replicas, not two"),
        ("generation=٣", "generation may have 1 to 16 replicas"),
        ("generation", "Say SERVICE=N, for example generation=3, not 'generation'"),
        ("=3", "Say SERVICE=N"),
        ("", "Say SERVICE=N"),
        ("generation=2,generation=3", "generation is named twice"),
        ("generator=2", "No service 'generator'; there are: tokenization, retrieval, generation"),
        ("generation-2=2", "No service 'generation-2'"),
        ("inference=2", "inference cannot be scaled: .*PENSTOCK_BACKENDS"),
        ("kafka=3", "kafka cannot be scaled: .*PENSTOCK_KAFKA"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(DevstackError, match=message) as refused:
        parse_replicas([text])
    assert "\n" not in str(refused.value)


def test_the_first_replica_keeps_the_services_name() -> None:
    names = replica_names("generation", 3)
    assert names == ["generation", "generation-2", "generation-3"]
    assert {service_of(name) for name in names} == {"generation"}


def test_requests_are_taken_in_order_and_once_and_are_their_owners_alone(tmp_path: Path) -> None:
    requests = ScaleRequests(tmp_path / "requests")
    assert requests.take() is None
    requests.clear()
    requests.add({"generation": 3})
    requests.add({"gateway": 2})
    for file in (tmp_path / "requests").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    taken = [request.replicas for _ in range(2) if (request := requests.take())]
    assert taken == [{"generation": 3}, {"gateway": 2}]
    assert requests.take() is None
    requests.add({"gateway": 4})
    requests.clear()
    assert requests.take() is None


@pytest.mark.parametrize("content", ["{", '{"generation": 0}', '{"generator": 2}'])
async def test_a_request_that_cannot_be_fulfilled_is_refused_at_once(tmp_path: Path, content: str) -> None:
    file = tmp_path / "0.json"
    file.write_text(content)
    said = asyncio.Queue[str]()
    scaler = Scaler(Mock(), Mock(), ScaleRequests(tmp_path))
    running = asyncio.create_task(scaler.run(said.put_nowait))
    assert (await asyncio.wait_for(said.get(), 5)).startswith("not scaled: ")
    reason = refusal_of(file)
    assert reason
    assert refusal_of(file) is None
    assert not running.done()
    running.cancel()
