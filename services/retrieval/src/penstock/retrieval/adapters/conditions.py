"""Attributes, and filters on them, as Qdrant keeps and reads them; they mean what `domain.filters` says."""

import json
from collections.abc import Mapping
from typing import assert_never

from penstock.messages.search import Filter, Scalar
from penstock.retrieval.adapters.points import FACTS, NUMBERS, Json, one_of
from penstock.retrieval.domain.filters import number, values_of


def facts_of(attributes: Mapping[str, Scalar]) -> list[str]:
    """Return each attribute and its value in one word; keys may hold dots, quotes or anything else."""
    return [_fact(key, value) for key, value in attributes.items()]


def numbers_of(attributes: Mapping[str, Scalar]) -> list[Json]:
    """Return the attributes that are numbers."""
    found = [(key, number(value)) for key, value in attributes.items()]
    return [{"key": key, "number": value} for key, value in found if value is not None]


def condition_of(wanted: Filter) -> Json:
    """Return the condition that passes the same points as the filter."""
    match wanted.type:
        case "and":
            return {"must": [condition_of(each) for each in wanted.filters]}
        case "or":
            return {"should": [condition_of(each) for each in wanted.filters]}
        case "ne" | "nin":
            return {"must_not": [_is_one_of(wanted)]}
        case "eq" | "in":
            return _is_one_of(wanted)
        case "gt" | "gte" | "lt" | "lte":
            return _is_in_order(wanted)
        case _:
            assert_never(wanted.type)


def _is_one_of(wanted: Filter) -> Json:
    return one_of(FACTS, [_fact(wanted.key, value) for value in values_of(wanted)])


def _is_in_order(wanted: Filter) -> Json:
    [limit] = (number(value) for value in values_of(wanted))
    within = [
        {"key": "key", "match": {"value": wanted.key}},
        {"key": "number", "range": {wanted.type: limit}},
    ]
    return {"nested": {"key": NUMBERS, "filter": {"must": within}}}


def _fact(key: str | None, value: Scalar) -> str:
    """Return a word that only an equal value of the same key has: 1 and 1.0 do, 1 and true do not."""
    as_number = number(value)
    return json.dumps([key, value if as_number is None else as_number])
