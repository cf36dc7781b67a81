"""Tables that read the same on a console and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table as RichTable


@dataclass(frozen=True)
class Table:
    """`rows` are texts, as many in each as there are `headings`; the first column is a label."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def markdown(self) -> str:
        """The table as a section of a Markdown file."""
        lines = [f"### {self.title}", ""]
        lines += ["| " + " | ".join(row) + " |" for row in (self.headings, self._rules(), *self.rows)]
        return "\n".join([*lines, *(["", self.note] if self.note else [])]) + "\n"

    def rich(self) -> RichTable:
        """The table for a console."""
        table = RichTable(title=self.title, title_justify="left", caption=self.note, caption_justify="left")
        for index, heading in enumerate(self.headings):
            table.add_column(heading, justify="right" if index else "left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def _rules(self) -> list[str]:
        return ["---", *("---:" for _ in self.headings[1:])]


def rewrite_between(file: Path, begin: str, end: str, body: str) -> None:
    """Replace what stands between two marks of a Markdown file. Raises ValueError if it lacks them."""
    before, first, rest = file.read_text(encoding="utf-8").partition(begin)
    _, last, after = rest.partition(end)
    if not first or not last:
        raise ValueError(f"{file} lacks the marks {begin} and {end}")
    file.write_text(f"{before}{begin}\n\n{body.rstrip()}\n\n{end}{after}", encoding="utf-8")
