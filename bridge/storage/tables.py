"""Every table, in one place; migrations/ brings a database to this shape, and a test holds the two equal."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from bridge.reports.calendars import NaiveDatetime
from bridge.reports.clocks import ClockState, Kind
from bridge.reports.people import Role
from bridge.reports.states import Outcome, Status


class Utc(TypeDecorator[datetime]):
    """An instant: aware in Python, UTC in the database; a naive one is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn an aware datetime into what the database keeps."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise NaiveDatetime(f"{value} has no time zone")
        # SQLite keeps text without a zone: always UTC, so that text order is time order.
        return value.astimezone(UTC).replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Turn what the database keeps into an aware datetime in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        """Return what does the same: PostgreSQL's instants are aware, and a call of three layers is most of reading."""
        return super().result_processor(dialect, coltype) if dialect.name == "sqlite" else _in_utc


def _in_utc(value: datetime | None) -> datetime | None:
    return value if value is None or value.tzinfo is UTC else value.astimezone(UTC)


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)


class _Clock(FunctionElement[datetime]):
    type = Utc()
    inherit_cache = True


@compiles(_Clock, "postgresql")
def _clock_of_postgresql(*_: object, **__: object) -> str:
    return "clock_timestamp()"


@compiles(_Clock, "sqlite")
def _clock_of_sqlite(*_: object, **__: object) -> str:
    # Thousandths as millionths, as every instant is written here.
    return "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')"


#: The database's clock, to be asked for beside something else; see Database.now.
CLOCK = _Clock()

# JSONB on PostgreSQL; text with JSON functions on SQLite.
Json = JSON().with_variant(JSONB(), "postgresql")
# SQLite counts rows by itself only in a column of type INTEGER.
Big = BigInteger().with_variant(Integer(), "sqlite")


def _one_of(column: str, values: Any) -> CheckConstraint:
    words = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({words})", name=column)


def _partial(name: str, *columns: str, where: str) -> Index:
    return Index(name, *columns, postgresql_where=text(where), sqlite_where=text(where))


def _report_id(**options: Any) -> Column[str]:
    return Column("report_id", String(36), ForeignKey("reports.report_id"), nullable=False, **options)


reports = Table(
    "reports",
    metadata,
    Column("report_id", String(36), primary_key=True),
    Column("ticket", String(14), nullable=False, unique=True),
    Column("source", String(64), nullable=False),
    Column("external_id", String(128), nullable=False),
    Column("status", String(24), nullable=False),
    Column("outcome", String(24)),
    Column("cycle", Integer, nullable=False),
    Column("office", String(64), nullable=False),
    Column("assignee", String(64)),
    Column("assigned_before", Json, nullable=False),
    Column("policy", String(64), nullable=False),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("category", String(64), nullable=False),
    Column("language", String(8), nullable=False),
    Column("reporter", Json, nullable=False),
    Column("business", Json, nullable=False),
    Column("location", Json, nullable=False),
    Column("attachments", Json, nullable=False),
    Column("amount_idr", BigInteger),
    Column("case_number", Text),
    Column("missing", Json, nullable=False),
    Column("routing", Json, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("reported_at", Utc, nullable=False),
    Column("received_at", Utc, nullable=False),
    Column("event_at", Utc, nullable=False),
    Column("merged_into", String(14)),
    # Who complains and against whom, for finding the same grievance again: a mark that tells nothing, a plain name.
    Column("consumer_mark", String(32)),
    Column("business_name", Text),
    Column("forgotten_at", Utc),
    _one_of("status", Status),
    _one_of("outcome", Outcome),
    CheckConstraint("(status = 'closed') = (outcome IS NOT NULL)", name="closed_has_outcome"),
    _partial("ix_reports_open_by_assignee", "assignee", where="status <> 'closed'"),
    Index("ix_reports_received_at", "received_at"),
    Index("ix_reports_consumer_mark", "consumer_mark"),
    Index("ix_reports_business_name", "business_name"),
)

#: Every authentic webhook, byte for byte and sealed, its id remembered for good. `sha256` is of the plain body; the
#: body is empty when the report was forgotten.
webhooks = Table(
    "webhooks",
    metadata,
    Column("source", String(64), primary_key=True),
    Column("webhook_id", String(256), primary_key=True),
    Column("report_id", String(36), index=True),
    Column("type", String(32)),
    Column("effect", String(16), nullable=False),
    Column("happened_at", Utc),
    Column("received_at", Utc, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("key_id", String(64)),
    Index("ix_webhooks_source_received_at", "source", "received_at"),
)

#: The timers: one row per (report, kind). `next_due` is the only clock there is.
obligations = Table(
    "obligations",
    metadata,
    _report_id(primary_key=True),
    Column("kind", String(24), primary_key=True),
    Column("cycle", Integer, nullable=False),
    Column("state", String(12), nullable=False),
    Column("step", Integer, nullable=False),
    Column("level", Integer, nullable=False),
    Column("next_due", Utc),
    Column("deadline_at", Utc, nullable=False),
    Column("started_at", Utc, nullable=False),
    Column("pauses", Json, nullable=False),
    Column("policy_version", String(64), nullable=False),
    Column("calendar_version", String(96), nullable=False),
    Column("ended_at", Utc),
    Column("ended_by", String(96)),
    Column("moved_at", Utc),
    Column("earlier_steps", Integer, nullable=False, server_default="0"),
    _one_of("kind", Kind),
    _one_of("state", ClockState),
    CheckConstraint("next_due IS NULL OR state = 'running'", name="only_running_is_due"),
    _partial("ix_obligations_due", "next_due", where="next_due IS NOT NULL"),
    _partial("ix_obligations_running", "report_id", "deadline_at", where="state = 'running'"),
    _partial("ix_obligations_exhausted", "report_id", where="state = 'running' AND next_due IS NULL"),
)

history = Table(
    "history",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=True),
    _report_id(),
    Column("cycle", Integer, nullable=False),
    Column("event", String(32), nullable=False),
    Column("actor", String(96), nullable=False),
    Column("at", Utc, nullable=False),
    Column("data", Json, nullable=False),
    Index("ix_history_report_id", "report_id", "id"),
    # Rows come in the order of their times, so a few pages of ranges find them: who writes history hardly pays.
    Index("ix_history_at", "at", postgresql_using="brin"),
    _partial("ix_history_stuck", "id", where="event = 'clock_stuck'"),
)

#: The escalation log: append-only, one row per step that fired.
escalations = Table(
    "escalations",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=True),
    _report_id(),
    Column("ticket", String(14), nullable=False),
    Column("kind", String(24), nullable=False),
    Column("cycle", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("level", Integer, nullable=False),
    Column("due_at", Utc, nullable=False),
    Column("fired_at", Utc, nullable=False),
    Column("lateness_s", Float, nullable=False),
    Column("held_by", String(64)),
    Column("target", String(96), nullable=False),
    Column("told", Json, nullable=False),
    Column("did", String(16), nullable=False),
    Column("policy_version", String(64), nullable=False),
    Column("calendar_version", String(96), nullable=False),
    Column("remark", Text),
    UniqueConstraint("report_id", "kind", "cycle", "step", name="uq_escalations_once"),
    Index("ix_escalations_fired_at", "fired_at", postgresql_using="brin"),
)

#: The hash chain over the log, written in order after the rows: workers never queue behind it.
escalation_seals = Table(
    "escalation_seals",
    metadata,
    Column("seq", Big, primary_key=True, autoincrement=False),
    Column("escalation_id", Big, ForeignKey("escalations.id"), nullable=False, unique=True),
    Column("hash", String(64), nullable=False),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("delivery_id", String(36), primary_key=True),
    Column("dedupe_key", Text, nullable=False, unique=True),
    _report_id(),
    Column("ticket", String(14), nullable=False),
    Column("cycle", Integer, nullable=False),
    Column("purpose", String(12), nullable=False),
    Column("event", String(32), nullable=False),
    Column("kind", String(24)),
    Column("step", Integer),
    Column("channel", String(16), nullable=False),
    Column("recipient", String(64), nullable=False),
    Column("payload", Json, nullable=False),
    Column("state", String(12), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Utc),
    Column("lease_until", Utc),
    Column("last_error", Text),
    Column("created_at", Utc, nullable=False),
    Column("finished_at", Utc),
    # Of callbacks: the number the city knows it by; an older one is never sent after a newer one.
    Column("sequence", Integer),
    Column("held", String(8)),
    Column("digest_id", String(36)),
    # Of what failed: whose fault, and the channel that was tried in its place.
    Column("fault", String(8)),
    Column("fell_back_to", String(16)),
    # Tries before somebody said: once more. The schedule counts from there.
    Column("tries_before", Integer, nullable=False, server_default="0"),
    Column("replays", Integer, nullable=False, server_default="0"),
    Column("replayed_at", Utc),
    _one_of("state", ("pending", "sending", "delivered", "failed", "given_up", "suppressed")),
    Index("ix_deliveries_report_id", "report_id"),
    Index("ix_deliveries_created_at", "created_at", postgresql_using="brin"),
    _partial("ix_deliveries_held", "recipient", where="held IS NOT NULL AND finished_at IS NULL"),
    _partial("ix_deliveries_digest", "digest_id", where="digest_id IS NOT NULL AND finished_at IS NULL"),
    _partial("ix_deliveries_unheard", "report_id", where="state = 'given_up' AND fell_back_to IS NULL"),
    _partial("ix_deliveries_open", "next_attempt_at", where="finished_at IS NULL"),
    _partial("ix_deliveries_given_up", "report_id", where="state = 'given_up'"),
)

delivery_attempts = Table(
    "delivery_attempts",
    metadata,
    Column("delivery_id", String(36), ForeignKey("deliveries.delivery_id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", Utc, nullable=False),
    Column("duration_ms", Integer),
    Column("outcome", String(16), nullable=False),
    Column("detail", Text),
    Column("channel", String(16)),
    # HTTP status or SMTP code, and what came with it, capped and without secrets.
    Column("status", Integer),
    Column("response", Text),
    Column("fault", String(8)),
    Index("ix_delivery_attempts_at", "at", postgresql_using="brin"),
)

#: Destinations with trouble; one that works again has no row.
destinations = Table(
    "destinations",
    metadata,
    Column("destination", String(96), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("trips", Integer, nullable=False),
    Column("open_until", Utc),
    Column("probe_until", Utc),
    Column("failing_since", Utc),
    Column("last_error", Text, nullable=False),
)

#: How many single notices somebody got since when: too many become a digest.
paces = Table(
    "paces",
    metadata,
    Column("person_id", String(64), primary_key=True),
    Column("since", Utc, nullable=False),
    Column("sent", Integer, nullable=False),
)

#: Deliveries that somebody sent once more: which, by whom and why.
replays = Table(
    "replays",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=True),
    Column("wanted", Json, nullable=False),
    Column("deliveries", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", String(96), nullable=False),
    Column("at", Utc, nullable=False),
)

#: Messages that must leave: deleted when the queue has confirmed them.
outbox = Table(
    "outbox",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=True),
    Column("type", String(32), nullable=False),
    Column("data", Json, nullable=False),
    Column("available_at", Utc, nullable=False),
    # Who announced it (W3C Trace Context); a message that comes again by itself has none.
    Column("traceparent", String(55)),
    Index("ix_outbox_available_at", "available_at", "id"),
    # An id must never come back: a relay that deletes what it has sent would delete what came after.
    sqlite_autoincrement=True,
)

set_aside = Table(
    "set_aside",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=True),
    Column("source", String(64), nullable=False),
    Column("webhook_id", String(256), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("why", String(16), nullable=False),
    Column("reasons", Json, nullable=False),
    Column("received_at", Utc, nullable=False),
    Column("state", String(12), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("mended", LargeBinary),
    _one_of("why", ("invalid", "id_reused", "dead_letter")),
    _one_of("state", ("waiting", "released", "discarded")),
    UniqueConstraint("source", "webhook_id", "sha256", name="uq_set_aside_once"),
)

#: Who did what with it, and why.
set_aside_decisions = Table(
    "set_aside_decisions",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=True),
    Column("set_aside_id", Big, ForeignKey("set_aside.id"), nullable=False, index=True),
    Column("did", String(12), nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", String(96), nullable=False),
    Column("at", Utc, nullable=False),
    _one_of("did", ("mended", "released", "discarded")),
)

#: Reports that may be about one grievance: suggested with reasons, decided by a person. `report_id` is the later one.
likenesses = Table(
    "likenesses",
    metadata,
    _report_id(primary_key=True),
    Column("like_id", String(36), ForeignKey("reports.report_id"), primary_key=True, index=True),
    Column("score", Integer, nullable=False),
    Column("reasons", Json, nullable=False),
    Column("state", String(12), nullable=False),
    Column("decided_by", String(96)),
    Column("at", Utc, nullable=False),
    _one_of("state", ("suggested", "merged", "dismissed")),
)

#: What attachments were when somebody first fetched them; `other_*` is the last one that was not the same.
attachments = Table(
    "attachments",
    metadata,
    _report_id(primary_key=True),
    Column("url_sha256", String(64), primary_key=True),
    Column("media_type", String(64), nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("fetched_at", Utc, nullable=False),
    Column("other_sha256", String(64)),
    Column("other_at", Utc),
)

#: Who looked at personal data, and when.
looks = Table(
    "looks",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=True),
    _report_id(),
    Column("actor", String(96), nullable=False),
    Column("at", Utc, nullable=False),
    Column("what", String(32), nullable=False),
    Index("ix_looks_report_id", "report_id", "id"),
)

people = Table(
    "people",
    metadata,
    Column("person_id", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", String(16), nullable=False),
    Column("office", String(64), nullable=False),
    Column("email", Text, nullable=False),
    Column("element", String(16), nullable=False),
    Column("language", String(8), nullable=False),
    Column("absent_from", Utc),
    Column("absent_until", Utc),
    Column("password_hash", Text),
    Column("token_hash", String(64), unique=True),
    Column("active", Integer, nullable=False),
    Column("channels", Json, nullable=False, server_default='["email"]'),
    Column("quiet", String(11), nullable=False, server_default=text("''")),
    Column("digest", String(64), nullable=False, server_default=text("''")),
    Column("turned_off", Json, nullable=False, server_default="[]"),
    Column("stand_in", String(64)),
    _one_of("role", Role),
)

#: Policies and calendars by version: a running clock keeps the ones it was started with.
versions = Table(
    "versions",
    metadata,
    Column("version", String(96), primary_key=True),
    Column("what", String(12), nullable=False),
    Column("definition", Json, nullable=False),
    Column("first_used_at", Utc, nullable=False),
)

#: What operators applied to running clocks, of two at once the later one stands; and when the database was put back.
revisions = Table(
    "revisions",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=True),
    Column("what", String(12), nullable=False),
    Column("versions", Json, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", String(96), nullable=False),
    Column("at", Utc, nullable=False),
)

#: A line per running step: what the pages' banner and the doctor read.
workers = Table(
    "workers",
    metadata,
    Column("worker", String(96), primary_key=True),
    Column("step", String(24), nullable=False),
    Column("seen_at", Utc, nullable=False),
)

#: The clockwork itself, one row: which version of it may work, whether it is held, and what the auditor found.
engine = Table(
    "engine",
    metadata,
    Column("name", String(16), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("held_since", Utc),
    Column("held_until", Utc),
    Column("held_why", Text),
    Column("ticked_at", Utc),
    Column("audited_at", Utc),
    Column("findings", Json, nullable=False),
)
