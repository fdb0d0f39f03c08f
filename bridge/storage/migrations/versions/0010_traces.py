"""Messages in the outbox say whose work announced them, so that a report's trace goes on behind the queue."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""
    op.add_column("outbox", sa.Column("traceparent", sa.String(55)))


def downgrade() -> None:
    """Take it back."""
    op.drop_column("outbox", "traceparent")
