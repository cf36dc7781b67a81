"""What counts as breaking: for a new reader of old records, or for an old reader of new ones."""

from copy import deepcopy
from typing import Any

import msgspec
import pytest
from rendering.breaking import breaking_operations, breaking_schemas, breaking_topics
from rendering.schemas import schemas

from penstock.messages.event import Event, Part

Schema = dict[str, Any]


class Line(Part, frozen=True, kw_only=True):
    """A line."""

    title: str
    count: int = 0


class Ordered(Event, frozen=True, kw_only=True):
    """An order."""

    buyer: str
    lines: tuple[Line, ...]
    note: str | None = None


def _schema(cls: type[Event] = Ordered) -> Schema:
    return msgspec.json.schema(cls)


def _fields(schema: Schema, name: str = "Ordered") -> Schema:
    fields: Schema = schema["$defs"][name]["properties"]
    return fields


def _found(old: Schema, new: Schema) -> list[str]:
    return breaking_schemas({"shop.ordered.v1.json": old}, {"shop.ordered.v1.json": new})


def test_nothing_changed_breaks_nothing() -> None:
    assert breaking_schemas(schemas(), schemas()) == []


def test_a_new_event_breaks_nothing() -> None:
    assert breaking_schemas({}, {"shop.ordered.v1.json": _schema()}) == []


def test_an_event_that_is_gone_or_renamed_breaks() -> None:
    assert breaking_schemas({"shop.ordered.v1.json": _schema()}, {"shop.bought.v1.json": _schema()}) == [
        "shop.ordered.v1: the event is gone (breaking: make a new version)"
    ]


def test_a_new_optional_field_and_new_words_break_nothing() -> None:
    new = _schema()
    new["$defs"]["Ordered"]["description"] = "Somebody ordered something."
    _fields(new)["title"] = {"type": "string", "default": ""}
    _fields(new, "Line")["colour"] = {"type": "string", "description": "As named.", "default": "none"}

    assert _found(_schema(), new) == []


def test_a_part_under_another_name_breaks_nothing() -> None:
    new = _schema()
    new["$defs"]["Item"] = new["$defs"].pop("Line")
    _fields(new)["lines"]["items"]["$ref"] = "#/$defs/Item"

    assert _found(_schema(), new) == []


def test_a_new_required_field_breaks() -> None:
    new = _schema()
    _fields(new)["price"] = {"type": "integer"}
    new["$defs"]["Ordered"]["required"].append("price")

    assert _found(_schema(), new) == [
        "shop.ordered.v1: $.price is newly required: old records lack it (breaking: make a new version)"
    ]


@pytest.mark.parametrize("gone", [True, False])
def test_a_required_field_that_is_gone_or_optional_breaks(gone: bool) -> None:
    new = _schema()
    new["$defs"]["Line"]["required"].remove("title")
    if gone:
        del _fields(new, "Line")["title"]

    assert _found(_schema(), new) == [
        (
            "shop.ordered.v1: $.lines[].title is no longer required: old readers fail without it "
            "(breaking: make a new version)"
        )
    ]


def test_an_optional_field_that_is_gone_breaks_nothing() -> None:
    new = _schema()
    del _fields(new)["note"]

    assert _found(_schema(), new) == []


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        ({"type": "string"}, {"type": "integer"}, "type was string, is integer"),
        ({"type": "string"}, {"type": "string", "maxLength": 9}, "maxLength was None, is 9"),
        ({"type": "string", "maxLength": 9}, {"type": "string"}, "maxLength was 9, is None"),
        ({"enum": ["a", "b"]}, {"enum": ["a"]}, "enum was ['a', 'b'], is ['a']"),
        ({"enum": ["a"]}, {"enum": ["a", "b"]}, "enum was ['a'], is ['a', 'b']"),
        ({"type": "integer", "default": 1}, {"type": "integer", "default": 2}, "default was 1, is 2"),
    ],
)
def test_a_field_that_takes_other_values_breaks(old: Schema, new: Schema, change: str) -> None:
    before, after = _schema(), _schema()
    _fields(before, "Line")["title"] = old
    _fields(after, "Line")["title"] = new

    assert _found(before, after) == [
        f"shop.ordered.v1: $.lines[].title {change} (breaking: make a new version)"
    ]


def test_a_field_that_may_no_longer_be_null_breaks() -> None:
    new = _schema()
    _fields(new)["note"] = {"type": "string", "default": None}

    assert len(_found(_schema(), new)) == 2  # no anyOf any more, a type instead


TOPICS: Schema = {
    "topics": [{"name": "shop.orders", "key": "subject", "partition": "hash", "events": ["a.v1", "b.v1"]}]
}


def test_topics_break_when_they_go_or_lose_an_event_or_change_their_key() -> None:
    more, changed = deepcopy(TOPICS), deepcopy(TOPICS)
    more["topics"][0]["events"].append("c.v1")
    more["topics"].append({"name": "shop.bills"})
    changed["topics"][0].update(key="tenant", partition="header", events=["b.v1"])

    assert breaking_topics({}, TOPICS) == []
    assert breaking_topics(TOPICS, more) == []
    assert breaking_topics(TOPICS, {"topics": []}) == ["shop.orders: the topic is gone (breaking)"]
    assert breaking_topics(TOPICS, changed) == [
        "shop.orders: key was subject, is tenant (breaking)",
        "shop.orders: partition was hash, is header (breaking)",
        "shop.orders: a.v1 is no longer in it (breaking)",
    ]


def test_an_http_operation_that_is_gone_breaks() -> None:
    old: Schema = {"paths": {"/v1/models": {"get": {}, "parameters": []}, "/livez": {"get": {}}}}
    new: Schema = {"paths": {"/v1/models": {"post": {}}, "/livez": {"get": {}}}}

    assert breaking_operations(old, new) == ["GET /v1/models: the operation is gone (breaking)"]
    assert breaking_operations({}, new) == []
