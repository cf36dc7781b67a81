"""A schema of three revisions for tests: a table, a table that refers to it, a change of the first one."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Table

from penstock.database.schema import Schema

_REVISION = '''"""{number}"""
import time
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "{number}", {before!r}, None, None
def upgrade() -> None:
    {up}
def downgrade() -> None:
    {down}
'''
_TABLE = 'op.create_table("{}", sa.Column("id", sa.Integer, primary_key=True), {})'
_NAME = 'sa.Column("name", sa.Text)'
_THING = 'sa.Column("thing", sa.Integer, sa.ForeignKey("things.id", ondelete="CASCADE"), nullable=False)'
_CHANGE = 'with op.batch_alter_table("things") as t: t.alter_column("name", type_={})'
STEPS = {
    "0001": (_TABLE.format("things", _NAME), 'op.drop_table("things")'),
    "0002": (_TABLE.format("parts", _THING), 'op.drop_table("parts")'),
    # On SQLite the table is made anew for it: what refers to it must not go with the old one.
    "0003": (f"time.sleep({{pause}})\n    {_CHANGE.format('sa.String(80)')}", _CHANGE.format("sa.Text()")),
}


def metadata() -> MetaData:
    """The tables at 0003."""
    made = MetaData()
    Table("things", made, Column("id", Integer, primary_key=True), Column("name", String(80)))
    thing: Column[int] = Column("thing", ForeignKey("things.id", ondelete="CASCADE"), nullable=False)
    Table("parts", made, Column("id", Integer, primary_key=True), thing)
    return made


MakeSchema = Callable[..., Schema]


@pytest.fixture
def make_schema(tmp_path: Path) -> MakeSchema:
    """Makes a schema; `pause` is how long its last step takes, in seconds."""

    def make(name: str = "things", newest: str = "0003", pause: float = 0) -> Schema:
        folder = tmp_path / f"versions 100% {name} {newest}"
        folder.mkdir(exist_ok=True)
        before = None
        for number, (up, down) in STEPS.items():
            if number <= newest:
                text = _REVISION.format(
                    number=number, before=before, up=up.replace("{pause}", str(pause)), down=down
                )
                (folder / f"{number}_step.py").write_text(text)
            before = number
        return Schema(name, f"penstock-{name}-db", metadata(), folder)

    return make


@pytest.fixture
def schema(make_schema: MakeSchema) -> Schema:
    return make_schema()
