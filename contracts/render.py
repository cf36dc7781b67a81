"""Writes the rendered files of this folder, or with --check tells how they differ from the types."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from difflib import unified_diff
from pathlib import Path

import yaml
from rendering.asyncapi import asyncapi
from rendering.breaking import breaking_operations, breaking_schemas, breaking_topics
from rendering.openapi import openapi
from rendering.schemas import schemas
from rendering.text import Json, to_json, to_yaml
from rendering.topics import NOTE, topic_list

HERE = Path(__file__).parent
Files = Mapping[str, str]
"""Text by path below the contracts folder."""


def rendered() -> Files:
    """Return every file as the types and apps say it should be."""
    return {
        "asyncapi.yaml": to_yaml(asyncapi()),
        "openapi.yaml": to_yaml(openapi()),
        "topics.yaml": to_yaml(topic_list(), NOTE),
        **{f"schemas/{name}": to_json(schema) for name, schema in schemas().items()},
    }


def on_disk(folder: Path) -> Files:
    """Return every file of the kinds that are rendered, as it is."""
    paths = [*folder.glob("*.yaml"), *folder.glob("schemas/*.json")]
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in paths}


def difference(old: Files, new: Files) -> str:
    """Return a unified diff; empty when all files are the same."""
    lines: list[str] = []
    for path in sorted(old.keys() | new.keys()):
        before, after = old.get(path, ""), new.get(path, "")
        lines += unified_diff(
            before.splitlines(keepends=True),
            after.splitlines(keepends=True),
            f"contracts/{path}" if path in old else "nothing",
            "as the types say" if path in new else "nothing",
        )
    return "".join(lines)


def breaking(old: Files, new: Files) -> list[str]:
    """Return one line for everything in `new` that breaks a user of `old`."""
    try:
        return [
            *breaking_schemas(_schemas(old), _schemas(new)),
            *breaking_topics(_yaml(old, "topics.yaml"), _yaml(new, "topics.yaml")),
            *breaking_operations(_yaml(old, "openapi.yaml"), _yaml(new, "openapi.yaml")),
        ]
    except (ValueError, yaml.YAMLError) as error:
        return [f"a file as it stands cannot be read, so nobody can tell what breaks: {error}"]


def _schemas(files: Files) -> dict[str, Json]:
    there = {
        path.removeprefix("schemas/"): text for path, text in files.items() if path.startswith("schemas/")
    }
    return {name: json.loads(text) for name, text in there.items()}


def _yaml(files: Files, path: str) -> Json:
    data = yaml.safe_load(files.get(path, "")) or {}
    if not isinstance(data, dict):
        raise ValueError(f"{path} is not a mapping")
    return data


def write(folder: Path, old: Files, new: Files) -> None:
    """Bring `folder` from `old` to `new`, deleting what is no longer rendered."""
    for path in old.keys() - new.keys():
        (folder / path).unlink()
    (folder / "schemas").mkdir(parents=True, exist_ok=True)
    for path, text in new.items():
        if old.get(path) != text:
            (folder / path).write_text(text, "utf-8")


def main(arguments: Sequence[str], folder: Path = HERE) -> int:
    """Return the exit code: 0 as wanted, 1 when files differ (--check) or a change would break users."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on any difference")
    parser.add_argument("--allow-breaking", action="store_true", help="write breaking changes, too")
    chosen = parser.parse_args(arguments)
    old, new = on_disk(folder), rendered()
    broken = breaking(old, new)
    if chosen.check:
        return _report(difference(old, new), broken)
    if broken and not chosen.allow_breaking:
        _say(*broken, "nothing written; before a release: contracts/render.py --allow-breaking")
        return 1
    write(folder, old, new)
    return 0


def _report(diff: str, broken: Sequence[str]) -> int:
    if not diff:
        return 0
    sys.stderr.write(diff)
    _say(*broken, "the files in contracts/ differ from the types: run `make contracts`")
    return 1


def _say(*lines: str) -> None:
    sys.stderr.write("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
