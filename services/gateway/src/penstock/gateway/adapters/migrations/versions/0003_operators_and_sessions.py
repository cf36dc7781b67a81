"""Which keys are operators', and sessions of the console."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("operator", sa.Boolean(), nullable=False, server_default=sa.false()))
    # The keys that an installation has made for itself at its start are those of the people who run it.
    keys = sa.table("api_keys", sa.column("tenant", sa.String), sa.column("operator", sa.Boolean))
    op.execute(keys.update().where(keys.c.tenant == "default").values(operator=sa.true()))
    op.create_table(
        "console_sessions",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("key_id", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_console_sessions"),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name="fk_console_sessions_key_id"),
    )
    op.create_index("ix_console_sessions_key_id", "console_sessions", ["key_id"])
    op.create_index("ix_console_sessions_expires_at", "console_sessions", ["expires_at"])


def downgrade() -> None:
    op.drop_table("console_sessions")
    with op.batch_alter_table("api_keys") as keys:
        keys.drop_column("operator")
