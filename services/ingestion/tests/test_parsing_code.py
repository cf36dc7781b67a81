"""Source code is cut where definitions begin, and named after them."""

import pytest

from penstock.ingestion.adapters.parsing.code import parse_code
from penstock.ingestion.domain.parsed import Kind

PYTHON = '''\
"""Module: class of things."""
import os

# Above it.
@decorated
class Tank:
    """type of thing that is
    module is used."""

    def fill(self) -> None:
        def inner():
            pass

    async def drain(self): return

def main():
    pass
'''


def paths(source: str, name: str) -> list[tuple[tuple[str, ...], str]]:
    parsed = parse_code(source.encode(), name)
    assert parsed.text == source
    assert {block.kind for block in parsed.blocks} <= {Kind.CODE}
    return [(block.headings, source[block.start : block.end].splitlines()[0]) for block in parsed.blocks]


def test_python() -> None:
    assert paths(PYTHON, "src/tank.py") == [
        ((), '"""Module: class of things."""'),
        (("Tank",), "# Above it."),
        (("Tank", "fill"), "def fill(self) -> None:"),
        (("Tank", "drain"), "async def drain(self): return"),
        (("main",), "def main():"),
    ]
    assert parse_code(PYTHON.encode(), "src/tank.py").title == "tank.py"


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("a.go", "package main\n\nfunc (t *Tank) Fill(n int) error {\n}\n\ntype Tank struct {\n}\n",
         [("main",), ("Fill",), ("Tank",)]),
        ("a.rs", "/// Doc.\npub(crate) async fn fill<T>(x: T) {}\n\nimpl<T> Tank<T> {\n    fn new() {}\n}\n",
         [("fill",), ("Tank",), ("Tank", "new")]),
        ("a.c", "#include <x.h>\n\nstatic int\tadd(int a, int b)\n{\n    if (a) {\n    }\n    call(a);\n}\n",
         [(), ("add",)]),
        ("A.java", "public class A {\n    @Override\n    String get(int x) {\n        return y;\n    }\n}\n",
         [("A",), ("A", "get")]),
        ("a.ts", "export default class A extends B {\n}\nexport async function go(x: T) {\n}\n",
         [("A",), ("go",)]),
        ("a.sql", "CREATE TABLE IF NOT EXISTS users (\n  id int\n);\ncreate or replace view v as select 1;\n",
         [("users",)]),
        ("a.yaml", "a: 1\nb: value (of c\n", [()]),
    ],
)  # fmt: skip
def test_other_languages(name: str, source: str, expected: list[tuple[str, ...]]) -> None:
    assert [path for path, _ in paths(source, name)] == expected


def test_a_hostile_line_is_quick() -> None:
    line = "static " * 20_000 + "x" * 100_000 + "(" * 100_000
    assert paths(f"{line}\n" * 3, "a.cpp")[0][0] == ()
