"""Where a chat request searches: both forms, what they become, and how mistakes are named."""

import asyncio
import json
from typing import Any

import pytest

from penstock.gateway.domain.chat_request import parse, question_of
from penstock.gateway.domain.errors import ApiError
from penstock.gateway.domain.request_info import fingerprint
from penstock.messages.chat import ChatRequested
from penstock.messages.search import Filter, Search

EQ = {"type": "eq", "key": "year", "value": 2024}


def accept(kit: Any, **more: Any) -> ChatRequested:
    return question_of(parse(json.dumps(kit.body(**more)).encode()))


def tool(**more: Any) -> list[Any]:
    return [{"type": "file_search", **more}]


def test_nothing_named_is_the_default_store(kit: Any) -> None:
    for more in ({}, {"vector_store_ids": []}, {"tools": []}, {"tools": tool()}, {"tools": None}):
        assert accept(kit, **more).search == Search()


def test_our_own_fields_say_where_to_search(kit: Any) -> None:
    search = accept(kit, vector_store_ids=["vs_a", "vs_b", "vs_a"], filters=EQ).search
    assert search == Search(stores=("vs_a", "vs_b"), filters=Filter(type="eq", key="year", value=2024))


def test_the_tool_says_where_and_how_to_search(kit: Any) -> None:
    filters = {
        "type": "and",
        "filters": [EQ, {"type": "or", "filters": [{"type": "in", "key": "lang", "value": ["de", "en"]}]}],
    }
    search = accept(
        kit,
        tools=tool(
            vector_store_ids=["vs_a"],
            filters=filters,
            max_num_results=50,
            ranking_options={"ranker": "auto", "score_threshold": 0.25},
        ),
    ).search
    lang = Filter(type="in", key="lang", value=("de", "en"))
    both = Filter(type="eq", key="year", value=2024), Filter(type="or", filters=(lang,))
    assert search == Search(
        stores=("vs_a",), filters=Filter(type="and", filters=both), max_results=50, min_score=0.25
    )


@pytest.mark.parametrize("choice", ["auto", "required", {"type": "file_search"}, None])
def test_the_tool_may_be_chosen(kit: Any, choice: Any) -> None:
    assert accept(kit, tools=tool(vector_store_ids=["v"]), tool_choice=choice).search.stores == ("v",)


def nested(depth: int) -> Any:
    return EQ if depth == 1 else {"type": "and", "filters": [nested(depth - 1)]}


MANY = {"type": "in", "key": "k", "value": list(range(257))}


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"vector_store_ids": "vs_a"}, "vector_store_ids", "invalid_value"),
        ({"vector_store_ids": [""]}, "vector_store_ids[0]", "invalid_value"),
        ({"vector_store_ids": ["x" * 257]}, "vector_store_ids[0]", "invalid_value"),
        ({"vector_store_ids": ["v"] * 17}, "vector_store_ids", "invalid_value"),
        ({"filters": {"type": "like", "key": "a", "value": 1}}, "filters.type", "invalid_value"),
        ({"filters": {"type": "eq", "key": "a"}}, "filters", "invalid_value"),
        ({"filters": {"type": "gt", "key": "a", "value": "x"}}, "filters", "invalid_value"),
        ({"filters": {"type": "eq", "key": "", "value": 1}}, "filters.key", "invalid_value"),
        ({"filters": {"type": "eq", "key": "a", "value": 2**63}}, "filters.value", "invalid_value"),
        ({"filters": {"type": "eq", "key": "a", "value": "x" * 513}}, "filters.value", "invalid_value"),
        (
            {"filters": {"type": "or", "filters": [EQ, MANY]}},
            "filters.filters[1].value",
            "invalid_value",
        ),
        ({"filters": {"type": "and", "filters": [{"type": "eq"}]}}, "filters.filters[0]", "invalid_value"),
        ({"filters": nested(5)}, "filters", "invalid_value"),
        ({"filters": nested(300)}, None, "invalid_value"),
        (
            {"tools": tool(filters={"type": "eq", "key": 1, "value": 1})},
            "tools[0].filters.key",
            "invalid_value",
        ),
        ({"tools": tool(filters={"type": "or", "filters": []})}, "tools[0].filters", "invalid_value"),
        ({"tools": tool(filters={**EQ, "value": 10**30})}, "tools[0].filters.value", "invalid_value"),
        ({"tools": tool(vector_store_ids=["a", 5])}, "tools[0].vector_store_ids[1]", "invalid_value"),
        ({"tools": tool(max_num_results=51)}, "tools[0].max_num_results", "invalid_value"),
        ({"tools": tool(max_num_results=0)}, "tools[0].max_num_results", "invalid_value"),
        (
            {"tools": tool(ranking_options={"score_threshold": 1.5})},
            "tools[0].ranking_options.score_threshold",
            "invalid_value",
        ),
        (
            {"tools": tool(ranking_options={"ranker": "best"})},
            "tools[0].ranking_options.ranker",
            "invalid_value",
        ),
        ({"tools": tool(max_results=5)}, "tools[0].max_results", "unknown_parameter"),
        ({"tools": tool(ranking_options={"x": 5})}, "tools[0].ranking_options.x", "unknown_parameter"),
        ({"tools": tool() * 2}, "tools", "invalid_value"),
        ({"tools": [*tool(), {"type": "function"}]}, "tools", "unsupported_parameter"),
        ({"tools": [{"type": "web_search"}]}, "tools", "unsupported_parameter"),
        ({"tools": {"type": "file_search"}}, "tools", "unsupported_parameter"),
        ({"tools": {}}, "tools", "unsupported_parameter"),
        ({"tools": [5]}, "tools", "unsupported_parameter"),
        ({"tools": tool(), "tool_choice": "none"}, "tool_choice", "unsupported_parameter"),
        ({"tools": tool(), "tool_choice": {"type": "function"}}, "tool_choice", "unsupported_parameter"),
        ({"tool_choice": {"type": "file_search"}}, "tool_choice", "unsupported_parameter"),
        ({"tools": tool(), "vector_store_ids": ["v"]}, "vector_store_ids", "invalid_value"),
        ({"tools": tool(), "filters": EQ}, "filters", "invalid_value"),
    ],
)
def test_mistakes_are_named(kit: Any, change: dict[str, Any], param: str | None, code: str) -> None:
    with pytest.raises(ApiError) as raised:
        accept(kit, **change)
    error = raised.value
    assert (error.status, error.code) == (400, code)
    assert error.param == param if param else error.param and error.param.startswith("filters.")


def test_where_to_search_belongs_to_the_request(kit: Any) -> None:
    """Under one idempotency key another store, filter or threshold is another request; spelling is not."""
    bodies: list[dict[str, Any]] = [
        {},
        {"vector_store_ids": ["vs_a"]},
        {"vector_store_ids": ["vs_b"]},
        {"filters": EQ},
        {"filters": {**EQ, "value": 2025}},
        {"tools": tool(max_num_results=3)},
        {"tools": tool(ranking_options={"score_threshold": 0.5})},
    ]
    assert len({fingerprint(accept(kit, **body)) for body in bodies}) == len(bodies)
    as_tool = accept(kit, tools=tool(filters=dict(reversed(EQ.items())), vector_store_ids=["vs_a"]))
    assert fingerprint(as_tool) == fingerprint(accept(kit, vector_store_ids=["vs_a"], filters=EQ))


async def test_where_to_search_reaches_the_log(stand: Any, kit: Any) -> None:
    asking = asyncio.create_task(stand.ask(kit.body(vector_store_ids=["vs_a"], filters=EQ)))
    asked = await stand.question()
    assert isinstance(asked.event, ChatRequested)
    assert asked.event.search.stores == ("vs_a",)
    assert asked.event.search.filters == Filter(type="eq", key="year", value=2024)
    await stand.say(asked.envelope, *kit.events("x", citations=(kit.citation,)))
    assert (await asking).status_code == 200


async def test_another_search_under_the_same_key_is_refused(stand: Any, kit: Any) -> None:
    headers = {"idempotency-key": "k"}
    asking = asyncio.create_task(stand.ask(kit.body(vector_store_ids=["vs_a"]), headers=headers))
    await stand.answer("once")
    assert (await asking).status_code == 200
    other = await stand.ask(kit.body(vector_store_ids=["vs_b"]), headers=headers)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")
