"""Between plain data and the text of a rendered file: the same data gives the same bytes."""

import json
from typing import Any

import yaml

Json = dict[str, Any]
"""A JSON object."""

_HEADER = "# Rendered by contracts/render.py (`make contracts`); do not edit.\n"


class _Dumper(yaml.SafeDumper):
    """YAML without anchors, with long texts as blocks."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def to_json(data: Json) -> str:
    """Return `data` as an indented JSON file, keys in their order."""
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def to_yaml(data: Json, note: str = "") -> str:
    """Return `data` as a YAML file, keys in their order, with the comment lines of `note` on top."""
    comment = "".join(f"# {line}".rstrip() + "\n" for line in note.splitlines())
    body = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return _HEADER + comment + body
