"""The OpenAPI document: every reference leads somewhere, and it names what a client calls first."""

from collections.abc import Iterator
from typing import Any

from rendering.openapi import openapi


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def test_every_reference_resolves() -> None:
    document = openapi()

    references = set(_references(document))
    assert references
    for reference in references:
        node: Any = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]
        assert node


def test_it_describes_chat_completions_and_models_behind_a_key() -> None:
    paths = openapi()["paths"]

    assert paths["/v1/chat/completions"]["post"]["security"]
    assert paths["/v1/models"]["get"]["security"]
