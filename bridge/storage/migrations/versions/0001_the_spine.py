"""The spine: reports, webhooks, clocks, the escalation log, deliveries, outbox, people."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

#: What is written here stays: a correction is another row.
APPEND_ONLY = ("history", "escalations", "escalation_seals")


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_table(
        "outbox",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("data", JSON, nullable=False),
        sa.Column("available_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outbox_available_at", "outbox", ["available_at", "id"], unique=False)

    op.create_table(
        "people",
        sa.Column("person_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("office", sa.String(length=64), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("element", sa.String(length=16), nullable=False),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("absent_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("absent_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("token_hash", sa.String(length=64), nullable=True),
        sa.Column("active", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "role IN ('officer', 'secretariat', 'chair', 'dinas_head', 'admin')", name=op.f("ck_people_role")
        ),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_people")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_people_token_hash")),
    )
    op.create_table(
        "reports",
        sa.Column("report_id", sa.String(length=36), nullable=False),
        sa.Column("ticket", sa.String(length=14), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("external_id", sa.String(length=128), nullable=False),
        sa.Column("status", sa.String(length=24), nullable=False),
        sa.Column("outcome", sa.String(length=24), nullable=True),
        sa.Column("cycle", sa.Integer(), nullable=False),
        sa.Column("office", sa.String(length=64), nullable=False),
        sa.Column("assignee", sa.String(length=64), nullable=True),
        sa.Column("assigned_before", JSON, nullable=False),
        sa.Column("policy", sa.String(length=64), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("category", sa.String(length=64), nullable=False),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("reporter", JSON, nullable=False),
        sa.Column("business", JSON, nullable=False),
        sa.Column("location", JSON, nullable=False),
        sa.Column("attachments", JSON, nullable=False),
        sa.Column("amount_idr", sa.BigInteger(), nullable=True),
        sa.Column("case_number", sa.Text(), nullable=True),
        sa.Column("missing", JSON, nullable=False),
        sa.Column("routing", JSON, nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("(status = 'closed') = (outcome IS NOT NULL)", name=op.f("ck_reports_closed_has_outcome")),
        sa.CheckConstraint(
            "outcome IN ('settled', 'granted', 'rejected', 'lapsed', 'not_competent', 'referred', 'incomplete', "
            "'duplicate', 'withdrawn')",
            name=op.f("ck_reports_outcome"),
        ),
        sa.CheckConstraint(
            "status IN ('received', 'acknowledged', 'needs_completion', 'registered', 'closed')",
            name=op.f("ck_reports_status"),
        ),
        sa.PrimaryKeyConstraint("report_id", name=op.f("pk_reports")),
        sa.UniqueConstraint("ticket", name=op.f("uq_reports_ticket")),
    )
    op.create_index(
        "ix_reports_open_by_assignee",
        "reports",
        ["assignee"],
        unique=False,
        postgresql_where=sa.text("status <> 'closed'"),
        sqlite_where=sa.text("status <> 'closed'"),
    )
    op.create_index("ix_reports_received_at", "reports", ["received_at"], unique=False)

    op.create_table(
        "set_aside",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("webhook_id", sa.String(length=256), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("why", sa.String(length=16), nullable=False),
        sa.Column("reasons", JSON, nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("state IN ('waiting', 'released', 'discarded')", name=op.f("ck_set_aside_state")),
        sa.CheckConstraint("why IN ('invalid', 'id_reused', 'dead_letter')", name=op.f("ck_set_aside_why")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_set_aside")),
        sa.UniqueConstraint("source", "webhook_id", "sha256", name="uq_set_aside_once"),
    )
    op.create_table(
        "versions",
        sa.Column("version", sa.String(length=96), nullable=False),
        sa.Column("what", sa.String(length=12), nullable=False),
        sa.Column("definition", JSON, nullable=False),
        sa.Column("first_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_versions")),
    )
    op.create_table(
        "webhooks",
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("webhook_id", sa.String(length=256), nullable=False),
        sa.Column("report_id", sa.String(length=36), nullable=True),
        sa.Column("type", sa.String(length=32), nullable=True),
        sa.Column("effect", sa.String(length=16), nullable=False),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("source", "webhook_id", name=op.f("pk_webhooks")),
    )
    op.create_index(op.f("ix_webhooks_report_id"), "webhooks", ["report_id"], unique=False)

    op.create_table(
        "workers",
        sa.Column("worker", sa.String(length=96), nullable=False),
        sa.Column("step", sa.String(length=24), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("worker", name=op.f("pk_workers")),
    )
    op.create_table(
        "deliveries",
        sa.Column("delivery_id", sa.String(length=36), nullable=False),
        sa.Column("dedupe_key", sa.Text(), nullable=False),
        sa.Column("report_id", sa.String(length=36), nullable=False),
        sa.Column("ticket", sa.String(length=14), nullable=False),
        sa.Column("cycle", sa.Integer(), nullable=False),
        sa.Column("purpose", sa.String(length=12), nullable=False),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=True),
        sa.Column("step", sa.Integer(), nullable=True),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("recipient", sa.String(length=64), nullable=False),
        sa.Column("payload", JSON, nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'sending', 'delivered', 'failed', 'given_up', 'suppressed')",
            name=op.f("ck_deliveries_state"),
        ),
        sa.ForeignKeyConstraint(["report_id"], ["reports.report_id"], name=op.f("fk_deliveries_report_id")),
        sa.PrimaryKeyConstraint("delivery_id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("dedupe_key", name=op.f("uq_deliveries_dedupe_key")),
    )
    op.create_index(
        "ix_deliveries_open",
        "deliveries",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NULL"),
        sqlite_where=sa.text("finished_at IS NULL"),
    )
    op.create_index("ix_deliveries_report_id", "deliveries", ["report_id"], unique=False)

    op.create_table(
        "escalations",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("report_id", sa.String(length=36), nullable=False),
        sa.Column("ticket", sa.String(length=14), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("cycle", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fired_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lateness_s", sa.Float(), nullable=False),
        sa.Column("held_by", sa.String(length=64), nullable=True),
        sa.Column("target", sa.String(length=96), nullable=False),
        sa.Column("told", JSON, nullable=False),
        sa.Column("did", sa.String(length=16), nullable=False),
        sa.Column("policy_version", sa.String(length=64), nullable=False),
        sa.Column("calendar_version", sa.String(length=96), nullable=False),
        sa.ForeignKeyConstraint(["report_id"], ["reports.report_id"], name=op.f("fk_escalations_report_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_escalations")),
        sa.UniqueConstraint("report_id", "kind", "cycle", "step", name="uq_escalations_once"),
    )
    op.create_table(
        "history",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("report_id", sa.String(length=36), nullable=False),
        sa.Column("cycle", sa.Integer(), nullable=False),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("actor", sa.String(length=96), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("data", JSON, nullable=False),
        sa.ForeignKeyConstraint(["report_id"], ["reports.report_id"], name=op.f("fk_history_report_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_history")),
    )
    op.create_index("ix_history_report_id", "history", ["report_id", "id"], unique=False)

    op.create_table(
        "obligations",
        sa.Column("report_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("cycle", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("next_due", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("pauses", JSON, nullable=False),
        sa.Column("policy_version", sa.String(length=64), nullable=False),
        sa.Column("calendar_version", sa.String(length=96), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_by", sa.String(length=96), nullable=True),
        sa.CheckConstraint(
            "kind IN ('acknowledge', 'triage', 'completion', 'summons', 'first_hearing', 'decision')",
            name=op.f("ck_obligations_kind"),
        ),
        sa.CheckConstraint("next_due IS NULL OR state = 'running'", name=op.f("ck_obligations_only_running_is_due")),
        sa.CheckConstraint("state IN ('running', 'paused', 'met', 'cancelled')", name=op.f("ck_obligations_state")),
        sa.ForeignKeyConstraint(["report_id"], ["reports.report_id"], name=op.f("fk_obligations_report_id")),
        sa.PrimaryKeyConstraint("report_id", "kind", name=op.f("pk_obligations")),
    )
    op.create_index(
        "ix_obligations_due",
        "obligations",
        ["next_due"],
        unique=False,
        postgresql_where=sa.text("next_due IS NOT NULL"),
        sqlite_where=sa.text("next_due IS NOT NULL"),
    )

    op.create_table(
        "delivery_attempts",
        sa.Column("delivery_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["deliveries.delivery_id"], name=op.f("fk_delivery_attempts_delivery_id")
        ),
        sa.PrimaryKeyConstraint("delivery_id", "number", name=op.f("pk_delivery_attempts")),
    )
    op.create_table(
        "escalation_seals",
        sa.Column("seq", BIG, autoincrement=False, nullable=False),
        sa.Column("escalation_id", BIG, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["escalation_id"], ["escalations.id"], name=op.f("fk_escalation_seals_escalation_id")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_escalation_seals")),
        sa.UniqueConstraint("escalation_id", name=op.f("uq_escalation_seals_escalation_id")),
    )
    for table in APPEND_ONLY:
        _refuse_changes(table)
    if op.get_bind().dialect.name == "postgresql":
        _tune_hot_tables()


def _refuse_changes(table: str) -> None:
    if op.get_bind().dialect.name == "sqlite":
        for deed in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{deed.lower()} BEFORE {deed} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
        return
    op.execute(
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def _tune_hot_tables() -> None:
    # Rewritten at every step: room on the page keeps an update out of the indexes, and vacuum must not lag.
    for table in ("obligations", "outbox", "deliveries"):
        op.execute(f"ALTER TABLE {table} SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02)")


def downgrade() -> None:
    """Go back one step."""
    op.drop_table("escalation_seals")
    op.drop_table("delivery_attempts")
    op.drop_index(
        "ix_obligations_due",
        table_name="obligations",
        postgresql_where=sa.text("next_due IS NOT NULL"),
        sqlite_where=sa.text("next_due IS NOT NULL"),
    )

    op.drop_table("obligations")
    op.drop_index("ix_history_report_id", table_name="history")

    op.drop_table("history")
    op.drop_table("escalations")
    op.drop_index("ix_deliveries_report_id", table_name="deliveries")
    op.drop_index(
        "ix_deliveries_open",
        table_name="deliveries",
        postgresql_where=sa.text("finished_at IS NULL"),
        sqlite_where=sa.text("finished_at IS NULL"),
    )

    op.drop_table("deliveries")
    op.drop_table("workers")
    op.drop_index(op.f("ix_webhooks_report_id"), table_name="webhooks")

    op.drop_table("webhooks")
    op.drop_table("versions")
    op.drop_table("set_aside")
    op.drop_index("ix_reports_received_at", table_name="reports")
    op.drop_index(
        "ix_reports_open_by_assignee",
        table_name="reports",
        postgresql_where=sa.text("status <> 'closed'"),
        sqlite_where=sa.text("status <> 'closed'"),
    )

    op.drop_table("reports")
    op.drop_table("people")
    op.drop_index("ix_outbox_available_at", table_name="outbox")

    op.drop_table("outbox")
