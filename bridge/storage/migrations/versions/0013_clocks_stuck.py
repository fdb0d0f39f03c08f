"""An index over the clocks that could not be computed, for the auditor: nearly always empty, so nobody pays for it."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

STUCK = sa.text("event = 'clock_stuck'")


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_index("ix_history_stuck", "history", ["id"], postgresql_where=STUCK, sqlite_where=STUCK)


def downgrade() -> None:
    """Take it back."""
    op.drop_index("ix_history_stuck", "history")
