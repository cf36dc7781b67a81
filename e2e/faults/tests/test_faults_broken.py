"""The builds that are broken on purpose are broken in what they say, and run otherwise."""

import inspect

import pytest

from e2e.faults import broken
from penstock.messages.reading import Fence, Splice
from penstock.streaming.offsets import Offsets
from penstock.streaming.ports import Partition, Position
from penstock.streaming.watermark import UNKNOWN

HERE = Partition("topic", 0)


@pytest.mark.parametrize(
    ("variant", "owner", "name"),
    [
        ("no-epoch-check", Fence, "admits"),
        ("commit-before-acknowledge", Offsets, "add"),
        ("no-trimming", Splice, "add"),
    ],
)
def test_what_is_broken_is_called_as_before(
    monkeypatch: pytest.MonkeyPatch, variant: str, owner: type, name: str
) -> None:
    whole = getattr(owner, name)
    monkeypatch.setattr(owner, name, whole)  # put back in the end
    broken.apply(variant)
    replaced = getattr(owner, name)
    assert replaced is not whole
    assert list(inspect.signature(replaced).parameters)[1:] == list(inspect.signature(whole).parameters)[1:]


def test_what_is_only_read_is_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Offsets, "add", Offsets.add)
    broken.apply("commit-before-acknowledge")
    offsets = Offsets()
    offsets.begin(HERE, Position(0))
    offsets.add(HERE, 0, UNKNOWN)
    assert offsets.take_news() == {HERE: Position(1)}
