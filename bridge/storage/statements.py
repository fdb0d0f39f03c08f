"""Statements made once and run often: SQLAlchemy needs several times as long to build one as to run it.

So what is asked for every report is a constant beside the function that asks, with the values to come as parameters.
"""

from functools import cache, lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles


class _Among(sa.BinaryExpression[bool]):
    inherit_cache = True


@compiles(_Among, "postgresql")
def _among_of_postgresql(element: _Among, compiler: Any, **how: Any) -> str:
    # One array is one text however many values there are: planned once, and nothing to spell out each time.
    array = sa.bindparam(element.right.key, type_=ARRAY(element.left.type, dimensions=1))
    return str(compiler.process(element.left == sa.any_(array), **how))


def among(column: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[bool]:
    """Return the condition that a column's value is one of a collection given as this parameter."""
    written = column.in_(sa.bindparam(name, expanding=True))
    return _Among(written.left, written.right, written.operator, type_=written.type)


@cache
def by_key(table: sa.Table, names: tuple[str, ...]) -> sa.Update:
    """Return the statement that changes these columns of the row with a primary key.

    Each column's value, those of the key among them, is the parameter `_name`; see `as_parameters`.
    """
    keys = [key == sa.bindparam(f"_{key.name}") for key in table.primary_key]
    changes: dict[str, Any] = {name: sa.bindparam(f"_{name}") for name in names if not table.c[name].primary_key}
    return sa.update(table).where(*keys).values(changes)


def as_parameters(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as the parameters of `by_key`."""
    return {f"_{name}": value for name, value in row.items()}


@cache
def into(table: sa.Table) -> sa.Insert:
    """Return the statement that inserts rows."""
    return sa.insert(table)


@cache
def new_into(table: sa.Table, *, sqlite: bool) -> sa.Insert:
    """Return the statement that inserts rows and leaves out those that break a unique key."""
    if sqlite:
        return sa.insert(table).prefix_with("OR IGNORE")
    from sqlalchemy.dialects.postgresql import insert  # only where it is spoken

    return insert(table).on_conflict_do_nothing()


@lru_cache(maxsize=256)
def locking(statement: sa.Select[Any], *, skip_locked: bool) -> sa.Select[Any]:
    """Return a statement that locks the rows it finds; for one made once it is made once, too."""
    return statement.with_for_update(skip_locked=skip_locked)
