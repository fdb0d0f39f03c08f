"""Attempts within a time, for the figures of the last hour: rows come in order of time, ranges of pages find them."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_index("ix_delivery_attempts_at", "delivery_attempts", ["at"], postgresql_using="brin")


def downgrade() -> None:
    """Take it back."""
    op.drop_index("ix_delivery_attempts_at", "delivery_attempts")
