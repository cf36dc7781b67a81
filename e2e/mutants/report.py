"""What is kept of a run, and the part of docs/mutants.md that it writes."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from e2e.bench.tables import Table, rewrite_between
from e2e.mutants.modules import MODULES, Module
from e2e.mutants.session import Mutant

BEGIN = "<!-- mutants:begin: written by make mutants -->"
END = "<!-- mutants:end -->"
GOAL = 0.9
_EQUIVALENT = Path(__file__).with_name("equivalent.toml")

Change = tuple[str, str, str]
"""Module, what the line was, what it becomes: it stays the same when lines are added above it."""


def keep(folder: Path, module: Module, mutants: Sequence[Mutant]) -> None:
    """Keep what came of a module, instead of what is kept of it."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps([asdict(one) for one in mutants], indent=1, ensure_ascii=False)
    (folder / f"{module.name}.json").write_text(text, encoding="utf-8")


def kept(folder: Path) -> dict[str, list[Mutant]]:
    """Return the mutants of every module of which something is kept, by its name."""
    files = {module.name: folder / f"{module.name}.json" for module in MODULES}
    return {
        name: [Mutant(**one) for one in json.loads(file.read_text(encoding="utf-8"))]
        for name, file in files.items()
        if file.is_file()
    }


def equivalent() -> dict[Change, str]:
    """Return why these changes change nothing that anybody could notice."""
    entries = tomllib.loads(_EQUIVALENT.read_text(encoding="utf-8"))
    return {
        (module, was, becomes): why
        for module, found in entries.items()
        for was, becomes, why in ((one["was"], one["becomes"], one["why"]) for one in found)
    }


class Tally:
    """The mutants of all modules, sorted."""

    def __init__(self, found: Mapping[str, Sequence[Mutant]], reasons: Mapping[Change, str]) -> None:
        self._found = found
        self._reasons = reasons

    def survived(self, name: str) -> list[Mutant]:
        """Return what nothing noticed, though it could have been."""
        return [one for one in self._unnoticed(name) if (name, one.was, one.becomes) not in self._reasons]

    def same(self, name: str) -> list[tuple[Mutant, str]]:
        """Return what could not be noticed, and why."""
        reasons = ((one, self._reasons.get((name, one.was, one.becomes))) for one in self._unnoticed(name))
        return [(one, why) for one, why in reasons if why is not None]

    @property
    def outdated(self) -> list[Change]:
        """The reasons that no mutant needs."""
        unnoticed = {(name, one.was, one.becomes) for name in self._found for one in self._unnoticed(name)}
        return [change for change in self._reasons if change[0] in self._found and change not in unnoticed]

    @property
    def share(self) -> float:
        """How many of those that could be noticed were."""
        return self._share(list(self._found))

    def counts(self) -> Table:
        """Return the numbers of each module."""
        rows = [self._row(name, [name]) for name in self._found]
        rows.append(self._row("all", list(self._found)))
        headings = ("module", "mutants", "killed", "survived", "equivalent", "killed of the others")
        return Table("Mutants", headings, rows)

    def lists(self) -> str:
        """Return the two lists of what no test noticed, as Markdown."""
        survived = [f"- {_place(name, one)}" for name in self._found for one in self.survived(name)]
        same = [f"- {_place(name, one)}: {why}" for name in self._found for one, why in self.same(name)]
        return "\n\n".join(
            [
                "### Survived",
                "\n".join(survived) or "None.",
                "### Equivalent",
                "\n".join(same) or "None.",
            ]
        )

    def _unnoticed(self, name: str) -> list[Mutant]:
        return [one for one in self._found[name] if not one.noticed_by]

    def _numbers(self, names: Sequence[str]) -> list[int]:
        total = sum(len(self._found[name]) for name in names)
        survived = sum(len(self.survived(name)) for name in names)
        same = sum(len(self.same(name)) for name in names)
        return [total, total - survived - same, survived, same]

    def _share(self, names: Sequence[str]) -> float:
        _, killed, survived, _ = self._numbers(names)
        return killed / (killed + survived)

    def _row(self, label: str, names: Sequence[str]) -> list[str]:
        return [label, *map(str, self._numbers(names)), f"{100 * self._share(names):.0f} %"]


def rewrite(file: Path, tally: Tally) -> None:
    """Put the numbers and lists between the two marks of a Markdown file."""
    rewrite_between(file, BEGIN, END, f"{tally.counts().markdown()}\n{tally.lists()}")


def _place(name: str, one: Mutant) -> str:
    becomes = f"`{one.becomes}`" if one.becomes else "nothing"
    return f"{name}.py:{one.line}: `{one.was}` becomes {becomes}"
