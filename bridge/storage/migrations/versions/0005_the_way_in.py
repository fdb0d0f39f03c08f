"""The way in at full depth: which key matched, decisions on what lay aside, likeness, looks, what was forgotten."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Bring the schema forward."""
    op.add_column("webhooks", sa.Column("key_id", sa.String(length=64), nullable=True))
    op.create_index("ix_webhooks_source_received_at", "webhooks", ["source", "received_at"])
    op.add_column("set_aside", sa.Column("mended", sa.LargeBinary(), nullable=True))
    op.add_column("reports", sa.Column("consumer_mark", sa.String(length=32), nullable=True))
    op.add_column("reports", sa.Column("business_name", sa.Text(), nullable=True))
    op.add_column("reports", sa.Column("forgotten_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_reports_consumer_mark", "reports", ["consumer_mark"])
    op.create_index("ix_reports_business_name", "reports", ["business_name"])
    op.create_table(
        "set_aside_decisions",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("set_aside_id", BIG, nullable=False),
        sa.Column("did", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=96), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("did IN ('mended', 'released', 'discarded')", name=op.f("ck_set_aside_decisions_did")),
        sa.ForeignKeyConstraint(["set_aside_id"], ["set_aside.id"], name=op.f("fk_set_aside_decisions_set_aside_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_set_aside_decisions")),
    )
    op.create_index("ix_set_aside_decisions_set_aside_id", "set_aside_decisions", ["set_aside_id"])
    op.create_table(
        "likenesses",
        sa.Column("report_id", sa.String(length=36), nullable=False),
        sa.Column("like_id", sa.String(length=36), nullable=False),
        sa.Column("score", sa.Integer(), nullable=False),
        sa.Column("reasons", JSON, nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("decided_by", sa.String(length=96), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('suggested', 'merged', 'dismissed')", name=op.f("ck_likenesses_state")),
        sa.ForeignKeyConstraint(["report_id"], ["reports.report_id"], name=op.f("fk_likenesses_report_id")),
        sa.ForeignKeyConstraint(["like_id"], ["reports.report_id"], name=op.f("fk_likenesses_like_id")),
        sa.PrimaryKeyConstraint("report_id", "like_id", name=op.f("pk_likenesses")),
    )
    op.create_index("ix_likenesses_like_id", "likenesses", ["like_id"])
    op.create_table(
        "looks",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("report_id", sa.String(length=36), nullable=False),
        sa.Column("actor", sa.String(length=96), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("what", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["report_id"], ["reports.report_id"], name=op.f("fk_looks_report_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_looks")),
    )
    op.create_index("ix_looks_report_id", "looks", ["report_id", "id"])


def downgrade() -> None:
    """Go back one step."""
    op.drop_table("looks")
    op.drop_table("likenesses")
    op.drop_table("set_aside_decisions")
    op.drop_index("ix_reports_business_name", "reports")
    op.drop_index("ix_reports_consumer_mark", "reports")
    for column in ("forgotten_at", "business_name", "consumer_mark"):
        op.drop_column("reports", column)
    op.drop_column("set_aside", "mended")
    op.drop_index("ix_webhooks_source_received_at", "webhooks")
    op.drop_column("webhooks", "key_id")
