"""Which metrics and labels an expression of PromQL names: enough of its grammar to check that there are such.

That an expression is well-formed is for Prometheus's own parser to say (`make test-alerts`).
"""

import re
from collections.abc import Iterator

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_RANGE = re.compile(r"\[[^\]]*\]")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_SELECTOR = re.compile(r"(?<![\w:])([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\{[^}]*\})?(\s*\()?")
_MATCHER = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]*)\s*(?:=~|!~|!=|=)")
_WORDS = frozenset({"and", "or", "unless", "bool", "offset", "inf", "nan", "by", "without"})


def metrics_in(expression: str) -> dict[str, set[str]]:
    """Return the names of all series that an expression selects, each with the labels it is selected by."""
    found: dict[str, set[str]] = {}
    for name, labels in _selectors(_bare(expression)):
        found.setdefault(name, set()).update(labels)
    return found


def grouped_by(expression: str) -> set[str]:
    """Return the labels by which an expression groups or joins."""
    groups = _GROUPING.findall(_bare(expression))
    return {label.strip() for group in groups for label in group.split(",") if label.strip()}


def _bare(expression: str) -> str:
    return _RANGE.sub("", _STRING.sub('""', expression))


def _selectors(bare: str) -> Iterator[tuple[str, list[str]]]:
    for name, matchers, call in _SELECTOR.findall(_GROUPING.sub("", bare)):
        if call or name.lower() in _WORDS:
            continue
        yield name, _MATCHER.findall(matchers)
