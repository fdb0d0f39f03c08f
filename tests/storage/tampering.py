"""Changing behind the database's back what it refuses to change."""

import sqlite3

import psycopg

from bridge.storage.database import Database


def tamper(database: Database, statement: str) -> None:
    """Change the log as somebody with the file, or the superuser's password, could."""
    if database.is_sqlite:
        with sqlite3.connect(database.engine.url.database or "") as file:
            triggers = file.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
            for name, _ in triggers:
                file.execute(f"DROP TRIGGER {name}")
            file.execute(statement)
            for _, again in triggers:
                file.execute(again)
        file.close()
        return
    with psycopg.connect(database.url.replace("+psycopg", "")) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(statement.encode())
