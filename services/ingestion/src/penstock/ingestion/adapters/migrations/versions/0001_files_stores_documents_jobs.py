"""Files, stores, documents, jobs, batches, and the events that are still to be written."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TENANT = sa.String(256)
ID = sa.String(64)
NAME = sa.String(1024)


def upgrade() -> None:
    op.create_table(
        "files",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant", TENANT, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("purpose", ID, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("digest", ID, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("ready", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_files"),
    )
    op.create_index("ix_files_tenant_digest", "files", ["tenant", "digest"])
    op.create_index("ix_files_tenant_created_at_id", "files", ["tenant", "created_at", "id"])
    op.create_table(
        "stores",
        sa.Column("tenant", TENANT, nullable=False),
        sa.Column("id", ID, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("last_active_at", sa.BigInteger, nullable=False),
        sa.Column("expires_after_days", sa.Integer, nullable=True),
        sa.Column("details", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_stores"),
    )
    op.create_index("ix_stores_tenant_created_at_id", "stores", ["tenant", "created_at", "id"])
    op.create_table(
        "documents",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant", TENANT, nullable=False),
        sa.Column("store_id", ID, nullable=False),
        sa.Column("file_id", ID, nullable=False),
        sa.Column("file_name", NAME, nullable=False),
        sa.Column("digest", ID, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attributes", sa.JSON, nullable=False),
        sa.Column("chunk_size", sa.Integer, nullable=True),
        sa.Column("chunk_overlap", sa.Integer, nullable=True),
        sa.Column("batch_id", ID, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("chunks", sa.Integer, nullable=False),
        sa.Column("pages", sa.Integer, nullable=False),
        sa.Column("code", ID, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("content", ID, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_documents"),
        sa.ForeignKeyConstraint(
            ["tenant", "store_id"], ["stores.tenant", "stores.id"], name="fk_documents_tenant_store_id_stores"
        ),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name="fk_documents_file_id_files"),
    )
    for columns in (
        ["tenant", "store_id", "created_at", "id"],
        ["tenant", "file_name"],
        ["file_id"],
        ["content"],
        ["batch_id"],
    ):
        op.create_index(f"ix_documents_{'_'.join(columns)}", "documents", columns)
    op.create_table(
        "jobs",
        sa.Column("document_id", ID, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("queued_at", sa.BigInteger, nullable=False),
        sa.Column("owner", ID, nullable=False),
        sa.Column("lease_until", sa.BigInteger, nullable=False),
        sa.Column("not_before", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("parts", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("document_id", name="pk_jobs"),
        sa.ForeignKeyConstraint(
            ["document_id"], ["documents.id"], name="fk_jobs_document_id_documents", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_jobs_not_before", "jobs", ["not_before"])
    op.create_table(
        "indexed_parts",
        sa.Column("document_id", ID, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("part", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("document_id", "version", "part", name="pk_indexed_parts"),
    )
    op.create_table(
        "batches",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant", TENANT, nullable=False),
        sa.Column("store_id", ID, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("cancelled", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_batches"),
    )
    op.create_table(
        "outbox",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False, autoincrement=True
        ),
        sa.Column("tenant", TENANT, nullable=False),
        sa.Column("subject", ID, nullable=False),
        sa.Column("type", sa.String(128), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_outbox"),
    )
    op.create_table(
        "garbage",
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("tenant", TENANT, nullable=False),
        sa.Column("key", ID, nullable=False),
        sa.PrimaryKeyConstraint("kind", "tenant", "key", name="pk_garbage"),
    )


def downgrade() -> None:
    for table in ("garbage", "outbox", "batches", "indexed_parts", "jobs", "documents", "stores", "files"):
        op.drop_table(table)
