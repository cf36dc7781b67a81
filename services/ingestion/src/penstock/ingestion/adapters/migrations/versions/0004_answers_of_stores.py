"""What answers to the questions of a store rest on."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("stores", sa.Column("answers", sa.String(16), nullable=True))


def downgrade() -> None:
    op.drop_column("stores", "answers")
