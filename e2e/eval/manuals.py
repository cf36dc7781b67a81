"""The manuals whose answers are measured, each with what it gives to ask about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from e2e.eval import postgresql_manual, python_manual
from e2e.eval.corpus import POSTGRESQL, PYTHON, Manual, Page
from e2e.eval.facts import Source


class Examined(NamedTuple):
    """A manual, what it is called, and how questions come of its pages."""

    manual: Manual
    title: str
    source: Callable[[Sequence[Page]], Source]


EXAMINED = {
    "python": Examined(PYTHON, "Python's documentation", python_manual.source),
    "postgresql": Examined(POSTGRESQL, "PostgreSQL's manual", postgresql_manual.source),
}
