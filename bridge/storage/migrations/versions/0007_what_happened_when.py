"""What happened within a time, for Open311's updates: found by ranges of pages, since rows come in order of time."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_index("ix_history_at", "history", ["at"], postgresql_using="brin")
    op.create_index("ix_escalations_fired_at", "escalations", ["fired_at"], postgresql_using="brin")


def downgrade() -> None:
    """Take it back."""
    op.drop_index("ix_escalations_fired_at", "escalations")
    op.drop_index("ix_history_at", "history")
