"""What attachments were when somebody first fetched them."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_table(
        "attachments",
        sa.Column("report_id", sa.String(length=36), nullable=False),
        sa.Column("url_sha256", sa.String(length=64), nullable=False),
        sa.Column("media_type", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("other_sha256", sa.String(length=64), nullable=True),
        sa.Column("other_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["report_id"], ["reports.report_id"], name=op.f("fk_attachments_report_id")),
        sa.PrimaryKeyConstraint("report_id", "url_sha256", name=op.f("pk_attachments")),
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_table("attachments")
