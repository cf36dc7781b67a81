"""Where a chat request searches: our own `vector_store_ids` and `filters`, or OpenAI's file search tool."""

from typing import Any

import msgspec

from penstock.gateway.domain.errors import ApiError, invalid, unsupported
from penstock.gateway.domain.fields import invalid_field
from penstock.gateway.domain.wire import INT64, ChatCompletionRequest, FileSearchTool
from penstock.messages.search import Filter, Scalar, Search

MAX_TEXT = 512
MAX_VALUES = 256
_TYPE = "file_search"
_NO_TOOL = (None, "none", "auto")
_TOOL = (None, "auto", "required", {"type": _TYPE})


def search_of(request: ChatCompletionRequest) -> Search:
    """Return where to search; no stores: the tenant's default one. Raises ApiError 400."""
    tool = _tool(request.tools)
    if request.tool_choice not in (_NO_TOOL if tool is None else _TOOL):
        raise unsupported("tool_choice", _why_not(tool))
    if tool is None:
        return Search(stores=_stores(request.vector_store_ids), filters=_checked(request.filters, "filters"))
    for name in ("vector_store_ids", "filters"):
        if getattr(request, name) is not None:
            raise invalid(name, f"Give '{name}' here or in the {_TYPE} tool, not in both.")
    ranking = tool.ranking_options
    return Search(
        stores=_stores(tool.vector_store_ids),
        filters=_checked(tool.filters, "tools[0].filters"),
        max_results=tool.max_num_results,
        min_score=None if ranking is None else ranking.score_threshold,
    )


def _tool(tools: Any) -> FileSearchTool | None:
    if not tools and isinstance(tools, list | None):
        return None
    if not isinstance(tools, list) or not all(isinstance(t, dict) and t.get("type") == _TYPE for t in tools):
        raise unsupported("tools", f"Of tools, this server supports '{_TYPE}' only. Leave others out.")
    if len(tools) > 1:
        raise invalid("tools", f"One {_TYPE} tool is enough: it takes several vector_store_ids.")
    try:
        return msgspec.convert(tools[0], FileSearchTool)
    except msgspec.ValidationError as error:
        raise invalid_field(str(error), "tools[0]") from None


def _why_not(tool: FileSearchTool | None) -> str:
    if tool is None:
        return f"This server does not support this value of 'tool_choice' without a {_TYPE} tool."
    return f"A {_TYPE} tool is always used: tool_choice is 'auto', 'required' or {{'type': '{_TYPE}'}}."


def _stores(given: list[str] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(given or ()))


def _checked(filters: Filter | None, where: str) -> Filter | None:
    """Return filters whose values every index can compare. Raises ApiError 400."""
    if filters is None:
        return None
    for i, each in enumerate(filters.filters):
        _checked(each, f"{where}.filters[{i}]")
    values = filters.value if isinstance(filters.value, tuple) else (filters.value,)
    if len(values) > MAX_VALUES:
        raise _bad_value(where, f"a list may have {MAX_VALUES} values")
    for value in values:
        _check_value(value, where)
    return filters


def _check_value(value: Scalar | None, where: str) -> None:
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise _bad_value(where, f"a text may have {MAX_TEXT} characters")
    if isinstance(value, int) and not -INT64 <= value < INT64:
        raise _bad_value(where, "a whole number must fit 64 bits")


def _bad_value(where: str, why: str) -> ApiError:
    return invalid(f"{where}.value", f"Invalid value for '{where}.value': {why}.")
