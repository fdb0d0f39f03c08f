"""The facts: every promise of bridge/storage and of the steps that write, on SQLite and on PostgreSQL alike."""
