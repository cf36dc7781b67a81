"""Filters on attributes, as OpenAI's API defines them: which files pass, whatever index holds them."""

import operator
import sys
from collections.abc import Callable, Mapping
from typing import assert_never

from penstock.messages.search import Filter, Scalar

_ORDER: Mapping[str, Callable[[float, float], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def number(value: Scalar) -> float | None:
    """Return a number as every index compares it (as a float), None for what is no number.

    True is no number. An integer beyond the floats counts as the largest of them.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) + 0.0  # which is 0.0 for -0.0, too
    except OverflowError:
        return sys.float_info.max if value > 0 else -sys.float_info.max


def passes(attributes: Mapping[str, Scalar], condition: Filter) -> bool:
    """Return whether a file with these attributes passes; one without the attribute passes ne and nin only.

    Values of different kinds (text, numbers, true and false) are never equal.
    """
    match condition.type:
        case "and":
            return all(passes(attributes, each) for each in condition.filters)
        case "or":
            return any(passes(attributes, each) for each in condition.filters)
        case "ne" | "nin":
            return not _is_one_of(attributes, condition)
        case "eq" | "in":
            return _is_one_of(attributes, condition)
        case "gt" | "gte" | "lt" | "lte":
            return _is_in_order(attributes, condition)
        case _:
            assert_never(condition.type)


def values_of(condition: Filter) -> tuple[Scalar, ...]:
    """Return what a comparison compares with."""
    value = condition.value
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)


def _is_one_of(attributes: Mapping[str, Scalar], condition: Filter) -> bool:
    mine = attributes.get(condition.key or "")
    return mine is not None and any(_equal(mine, value) for value in values_of(condition))


def _equal(one: Scalar, other: Scalar) -> bool:
    if number(one) is None or number(other) is None:
        return type(one) is type(other) and one == other
    return number(one) == number(other)


def _is_in_order(attributes: Mapping[str, Scalar], condition: Filter) -> bool:
    mine = attributes.get(condition.key or "")
    left = None if mine is None else number(mine)
    rights = [number(value) for value in values_of(condition)]
    return left is not None and all(
        right is not None and _ORDER[condition.type](left, right) for right in rights
    )
