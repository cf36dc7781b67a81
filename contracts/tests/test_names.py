"""No module, class or public function is called by a word that docs/glossary.md has replaced."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "libs/clients",
    "libs/database",
    "libs/lora",
    "libs/messages",
    "libs/streaming",
    "libs/telemetry",
    "services/gateway",
    "services/generation",
    "services/inference",
    "services/ingestion",
    "services/postprocessing",
    "services/retrieval",
    "services/tokenization",
)
"""Those whose names have been gone through."""
REPLACED = frozenset(
    [
        "told",
        "tell",
        "means",
        "wish",
        "wishes",
        "letter",
        "letters",
        "scene",
        "aloud",
        "lows",
        "low",
        "about",
        "place",
        "written",
        "take_over",
        "again",
        "upkeep",
        "death",
        "where",
        "plain",
        "talk",
        "look",
        "viewer",
        "needs",
        "patient",
        "timely",
        "patience",
        "asking",
        "asked",
        "accept",
        "follow",
        "join",
        "metric",
        "metrics",
        "meters",
        "metering",
        "stage_metrics",
    ]
)


def _names(path: Path) -> Iterator[str]:
    yield path.stem
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name


@pytest.mark.parametrize("package", PACKAGES)
def test_no_name_is_a_replaced_word(package: str) -> None:
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / package / "src").rglob("*.py")
        for name in _names(path)
        if name.lower() in REPLACED
    }
    assert found == set()


def test_every_package_is_there() -> None:
    assert [package for package in PACKAGES if not (ROOT / package / "src").is_dir()] == []
