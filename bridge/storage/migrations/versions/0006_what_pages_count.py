"""Indexes for what every page counts: clocks that run, ladders that are exhausted, deliveries given up."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

INDEXES = (
    ("ix_obligations_running", "obligations", ["report_id", "deadline_at"], "state = 'running'"),
    ("ix_obligations_exhausted", "obligations", ["report_id"], "state = 'running' AND next_due IS NULL"),
    ("ix_deliveries_given_up", "deliveries", ["report_id"], "state = 'given_up'"),
)


def upgrade() -> None:
    """Bring the schema forward."""
    for name, table, columns, where in INDEXES:
        op.create_index(name, table, columns, postgresql_where=sa.text(where), sqlite_where=sa.text(where))


def downgrade() -> None:
    """Go back one step."""
    for name, table, *_ in INDEXES:
        op.drop_index(name, table)
