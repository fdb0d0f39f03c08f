"""A clock started again in one cycle counts on: no step of the log has the number of an earlier one."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""
    op.add_column("obligations", sa.Column("earlier_steps", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Go back one step."""
    op.drop_column("obligations", "earlier_steps")
