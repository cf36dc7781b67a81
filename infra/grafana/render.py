"""Writes the dashboards and docs/metrics.md, or with --check tells how they differ from their sources."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from difflib import unified_diff
from pathlib import Path

from infra.grafana.source import DASHBOARDS
from infra.metrics_page import metrics_page

ROOT = Path(__file__).parents[2]
FOLDER = "infra/grafana/dashboards"


def rendered() -> Mapping[str, str]:
    """Return every file as it should be, by its path."""
    boards = {
        f"{FOLDER}/{board.uid}.json": json.dumps(board.to_json(), indent=2) + "\n" for board in DASHBOARDS
    }
    return {**boards, "docs/metrics.md": metrics_page()}


def on_disk(root: Path) -> Mapping[str, str]:
    """Return every file of the kinds that are rendered, as it is."""
    paths = [*(root / FOLDER).glob("*.json"), root / "docs" / "metrics.md"]
    return {path.relative_to(root).as_posix(): path.read_text("utf-8") for path in paths if path.exists()}


def difference(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Return a unified diff; empty when all files are the same."""
    lines: list[str] = []
    for path in sorted(old.keys() | new.keys()):
        before, after = old.get(path, ""), new.get(path, "")
        lines += unified_diff(before.splitlines(True), after.splitlines(True), path, "as its source says")
    return "".join(lines)


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Return the exit code: 0 as wanted, 1 when files differ (--check)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on any difference")
    checks = parser.parse_args(arguments).check
    old, new = on_disk(root), rendered()
    if checks:
        if diff := difference(old, new):
            sys.stderr.write(
                f"{diff}dashboards or docs/metrics.md differ from their sources: run `make dashboards`\n"
            )
        return int(bool(diff))
    for path in old.keys() - new.keys():
        (root / path).unlink()
    for path, text in new.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
