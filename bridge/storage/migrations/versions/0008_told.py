"""Told and told back: channels and wishes of people, order of callbacks, digests, breakers, replays."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)

DELIVERIES = (
    sa.Column("sequence", sa.Integer(), nullable=True),
    sa.Column("held", sa.String(length=8), nullable=True),
    sa.Column("digest_id", sa.String(length=36), nullable=True),
    sa.Column("fault", sa.String(length=8), nullable=True),
    sa.Column("fell_back_to", sa.String(length=16), nullable=True),
    sa.Column("tries_before", sa.Integer(), nullable=False, server_default="0"),
    sa.Column("replays", sa.Integer(), nullable=False, server_default="0"),
    sa.Column("replayed_at", INSTANT, nullable=True),
)
ATTEMPTS = (
    sa.Column("channel", sa.String(length=16), nullable=True),
    sa.Column("status", sa.Integer(), nullable=True),
    sa.Column("response", sa.Text(), nullable=True),
    sa.Column("fault", sa.String(length=8), nullable=True),
)
PEOPLE = (
    sa.Column("channels", JSON, nullable=False, server_default='["email"]'),
    sa.Column("quiet", sa.String(length=11), nullable=False, server_default=sa.text("''")),
    sa.Column("digest", sa.String(length=64), nullable=False, server_default=sa.text("''")),
    sa.Column("turned_off", JSON, nullable=False, server_default="[]"),
    sa.Column("stand_in", sa.String(length=64), nullable=True),
)
#: name -> column, condition
INDEXES = {
    "ix_deliveries_held": ("recipient", "held IS NOT NULL AND finished_at IS NULL"),
    "ix_deliveries_digest": ("digest_id", "digest_id IS NOT NULL AND finished_at IS NULL"),
    "ix_deliveries_unheard": ("report_id", "state = 'given_up' AND fell_back_to IS NULL"),
}


def upgrade() -> None:
    """Bring the schema forward."""
    for table, columns in (("deliveries", DELIVERIES), ("delivery_attempts", ATTEMPTS), ("people", PEOPLE)):
        for column in columns:
            op.add_column(table, column)
    op.create_index("ix_deliveries_created_at", "deliveries", ["created_at"], postgresql_using="brin")
    for name, (indexed, where) in INDEXES.items():
        condition = sa.text(where)
        op.create_index(name, "deliveries", [indexed], postgresql_where=condition, sqlite_where=condition)
    _number_callbacks()
    op.create_table(
        "destinations",
        sa.Column("destination", sa.String(length=96), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("trips", sa.Integer(), nullable=False),
        sa.Column("open_until", INSTANT, nullable=True),
        sa.Column("probe_until", INSTANT, nullable=True),
        sa.Column("failing_since", INSTANT, nullable=True),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("destination", name=op.f("pk_destinations")),
    )
    op.create_table(
        "paces",
        sa.Column("person_id", sa.String(length=64), nullable=False),
        sa.Column("since", INSTANT, nullable=False),
        sa.Column("sent", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_paces")),
    )
    op.create_table(
        "replays",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("wanted", JSON, nullable=False),
        sa.Column("deliveries", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=96), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replays")),
    )


def _number_callbacks() -> None:
    """Give callbacks that are still under way their number, which stood in their payload only."""
    number = "(payload->>'sequence')::integer"
    if op.get_bind().dialect.name == "sqlite":
        number = "json_extract(payload, '$.sequence')"
    op.execute(f"UPDATE deliveries SET sequence = {number} WHERE purpose = 'callback' AND finished_at IS NULL")  # noqa: S608


def downgrade() -> None:
    """Take it back."""
    for table in ("replays", "paces", "destinations"):
        op.drop_table(table)
    for name in (*INDEXES, "ix_deliveries_created_at"):
        op.drop_index(name, "deliveries")
    for table, columns in (("deliveries", DELIVERIES), ("delivery_attempts", ATTEMPTS), ("people", PEOPLE)):
        for column in columns:
            op.drop_column(table, column.name)
