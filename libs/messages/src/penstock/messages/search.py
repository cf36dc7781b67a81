"""Where a question looks for passages: vector stores, and filters on attributes (OpenAI's file search)."""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from penstock.messages.event import Part

DEFAULT_STORE = "vs_default"
"""The store that every tenant has; a store's id is known only together with its tenant."""
MAX_FILTER_DEPTH = 4
MAX_FILTERS = 64

Name = Annotated[str, Meta(min_length=1, max_length=256)]
Scalar: TypeAlias = str | int | float | bool
Key = Annotated[str, Meta(min_length=1, max_length=64)]
Attributes = Annotated[
    dict[Key, Annotated[str, Meta(max_length=512)] | int | float | bool], Meta(max_length=16)
]
"""What a user has noted about a file in a store; at most 16."""
Comparison = Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]


class Filter(Part, frozen=True, kw_only=True):
    """A condition on attributes: a comparison of `key` with `value`, or `filters` joined by and / or.

    As in OpenAI's API. A file without the attribute passes `ne` and `nin` only.
    """

    type: Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "and", "or"]
    key: Key | None = None
    value: Scalar | tuple[Scalar, ...] | None = None
    filters: "tuple[Filter, ...]" = ()

    def __post_init__(self) -> None:
        if self.type in ("and", "or"):
            if self.key is not None or self.value is not None or not self.filters:
                raise ValueError(f"'{self.type}' takes filters, and no key or value")
            if _depth(self) > MAX_FILTER_DEPTH or _count(self) > MAX_FILTERS:
                raise ValueError(
                    f"filters may be nested {MAX_FILTER_DEPTH} deep and number {MAX_FILTERS} in all"
                )
            return
        if self.key is None or self.value is None or self.filters:
            raise ValueError(f"'{self.type}' takes a key and a value, and no filters")
        if isinstance(self.value, tuple) != (self.type in ("in", "nin")):
            raise ValueError(f"'{self.type}' takes {'a list' if self.type in ('in', 'nin') else 'one value'}")
        if self.type in ("gt", "gte", "lt", "lte") and not _is_number(self.value):
            raise ValueError(f"'{self.type}' takes a number")


class Search(Part, frozen=True, kw_only=True):
    """Where and how to search. No stores: the tenant's default store."""

    stores: Annotated[tuple[Name, ...], Meta(max_length=16)] = ()
    filters: Filter | None = None
    max_results: Annotated[int, Meta(ge=1, le=50)] | None = None
    min_score: Annotated[float, Meta(ge=0, le=1)] | None = None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _depth(one: Filter) -> int:
    return 1 + max((_depth(each) for each in one.filters), default=0)


def _count(one: Filter) -> int:
    return 1 + sum(_count(each) for each in one.filters)
