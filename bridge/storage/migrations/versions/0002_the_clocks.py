"""The clocks, proved: moved deadlines, remarks in the log, merged reports, and the engine's own row."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Bring the schema forward."""
    op.add_column("obligations", sa.Column("moved_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("escalations", sa.Column("remark", sa.Text(), nullable=True))
    op.add_column("reports", sa.Column("merged_into", sa.String(length=14), nullable=True))
    op.create_table(
        "engine",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("held_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("held_why", sa.Text(), nullable=True),
        sa.Column("ticked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("audited_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("findings", JSON, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_engine")),
    )
    op.execute("INSERT INTO engine (name, version, findings) VALUES ('clocks', 2, '[]')")


def downgrade() -> None:
    """Go back one step."""
    op.drop_table("engine")
    op.drop_column("reports", "merged_into")
    op.drop_column("escalations", "remark")
    op.drop_column("obligations", "moved_at")
