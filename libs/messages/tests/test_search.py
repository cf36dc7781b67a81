"""Filters say what is wrong with them before anything is searched."""

import msgspec
import pytest

from penstock.messages.search import MAX_FILTER_DEPTH, MAX_FILTERS, Filter

EQ = {"type": "eq", "key": "team", "value": "core"}


def read(value: object) -> Filter:
    return msgspec.convert(value, Filter)


@pytest.mark.parametrize(
    "value",
    [
        EQ,
        {"type": "gte", "key": "year", "value": 2025},
        {"type": "nin", "key": "year", "value": [2024, "old"]},
        {"type": "or", "filters": [EQ, {"type": "and", "filters": [EQ, EQ]}]},
    ],
)
def test_filters_of_openais_dialect_are_read(value: dict[str, object]) -> None:
    assert read(value).type == value["type"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"type": "and"}, "takes filters"),
        ({"type": "and", "filters": []}, "takes filters"),
        ({**EQ, "filters": [EQ]}, "takes a key and a value"),
        ({"type": "eq", "key": "team"}, "takes a key and a value"),
        ({"type": "eq", "key": "team", "value": ["core"]}, "takes one value"),
        ({"type": "in", "key": "team", "value": "core"}, "takes a list"),
        ({"type": "gt", "key": "year", "value": "2025"}, "takes a number"),
        ({"type": "gt", "key": "year", "value": True}, "takes a number"),
        ({"type": "or", "filters": [EQ] * MAX_FILTERS}, "number"),
    ],
)
def test_a_filter_that_means_nothing_is_refused(value: object, reason: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=reason):
        read(value)


def test_filters_nest_only_so_deep() -> None:
    value: dict[str, object] = EQ
    for _ in range(MAX_FILTER_DEPTH - 1):
        value = {"type": "and", "filters": [value]}
    read(value)
    with pytest.raises(msgspec.ValidationError, match="deep"):
        read({"type": "and", "filters": [value]})
