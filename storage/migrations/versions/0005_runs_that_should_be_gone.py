"""Since when a run should be gone."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("deletion_wanted_at", sa.DateTime(timezone=True), nullable=True))
