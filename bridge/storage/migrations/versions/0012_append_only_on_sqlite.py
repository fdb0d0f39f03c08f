"""What is append-only cannot be replaced either: SQLite's INSERT OR REPLACE asks no trigger of UPDATE or DELETE."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

#: table -> its unique keys: REPLACE takes away whatever bears the same.
KEYS: dict[str, list[tuple[str, ...]]] = {
    "history": [("id",)],
    "escalations": [("id",), ("report_id", "kind", "cycle", "step")],
    "escalation_seals": [("seq",), ("escalation_id",)],
}


def upgrade() -> None:
    """Bring the schema forward."""
    if op.get_bind().dialect.name != "sqlite":
        return  # PostgreSQL knows no REPLACE, and its ON CONFLICT DO UPDATE is an update
    for table, keys in KEYS.items():
        taken = " OR ".join(f"({_taken(table, key)})" for key in keys)
        op.execute(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {taken} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def _taken(table: str, key: tuple[str, ...]) -> str:
    same = " AND ".join(f"{column} = NEW.{column}" for column in key)
    # Without an id of its own NEW.id is -1: nothing to look for.
    asked = "NEW.id > 0 AND " if key == ("id",) else ""
    return f"{asked}EXISTS (SELECT 1 FROM {table} WHERE {same})"  # noqa: S608 - our own names


def downgrade() -> None:
    """Take it back."""
    if op.get_bind().dialect.name == "sqlite":
        for table in KEYS:
            op.execute(f"DROP TRIGGER {table}_no_replace")
