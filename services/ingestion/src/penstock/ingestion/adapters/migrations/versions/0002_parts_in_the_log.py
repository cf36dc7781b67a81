"""What of documents stands in the log, for documents.chunked is compacted from now on.

Its records had the document's id for a key, the same for all parts of a document: compaction would leave
one of them. So all documents are published once more, under the keys of now; the index has them already.
"""

import time

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "log_parts",
        sa.Column("document_id", sa.String(64), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("part", sa.Integer, nullable=False),
        sa.Column("tenant", sa.String(256), nullable=False),
        sa.Column("due", sa.BigInteger, nullable=False),
        sa.Column("again", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("document_id", "version", "part", name="pk_log_parts"),
    )
    op.create_index("ix_log_parts_due", "log_parts", ["due"])
    op.execute("UPDATE jobs SET parts = 0, not_before = 0")
    publish = sa.text(
        "INSERT INTO jobs"
        " (document_id, version, queued_at, owner, lease_until, not_before, attempts, failures, parts)"
        " SELECT id, version, :now, '', 0, 0, 0, 0, 0 FROM documents WHERE state = 'completed'"
    )
    op.execute(publish.bindparams(now=time.time_ns() // 1_000_000))
    op.execute("UPDATE documents SET state = 'queued', attempt = 0 WHERE state = 'completed'")


def downgrade() -> None:
    op.drop_table("log_parts")
