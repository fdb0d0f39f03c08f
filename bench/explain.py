"""What the database makes of the hot statements at a million rows: writes docs/queries.md.

`script/bench explain` makes the rows (half a million reports, a million clocks, a log, deliveries and an outbox as
long), lets PostgreSQL look at them, and asks for each statement's plan with the time and the pages it took.
"""

import argparse
import re
import sys
from collections.abc import Mapping
from contextlib import ExitStack, closing

import sqlalchemy as sa

from bench.clocks import build
from bench.common import ROOT, end_in_order, scratch_folder, served
from bridge import logs
from bridge.storage.database import Database
from tests.servers import PostgreSQL
from tests.storage.hot import AUDITOR, ENGINE, PAGES, Run, explain, scans, statements
from tests.storage.many import analyze

TARGET = ROOT / "docs" / "queries.md"
#: Three rows in the log wait for their seal, two hundred reports have a clock that is due.
FILL = """
INSERT INTO outbox (type, data, available_at)
    SELECT 'notice.due', jsonb_build_object('delivery_id', delivery_id), created_at FROM deliveries;
INSERT INTO escalation_seals (seq, escalation_id, hash)
    SELECT row_number() OVER (ORDER BY id), id, repeat('0', 64) FROM escalations
    WHERE id <= (SELECT max(id) - 3 FROM escalations);
UPDATE obligations SET next_due = now() - interval '1 minute' WHERE report_id IN (
    SELECT report_id FROM obligations WHERE next_due IS NOT NULL ORDER BY next_due LIMIT 200
) AND next_due IS NOT NULL;
"""
COUNTED = ("reports", "obligations", "history", "escalations", "escalation_seals", "deliveries", "outbox")
PARTS: tuple[tuple[str, str, Mapping[str, Run]], ...] = (
    ("The engine, the relay and the tellers", "Asked every second and for every batch. A test "
     "(tests/storage/test_query_plans.py) holds that none of these reads a table from end to end.", ENGINE),
    ("The auditor", "Asked every half minute about the newest ten thousand rows of the log.", AUDITOR),
    ("The pages", "Asked when somebody looks. The inbox and the figures on top of each "
     "page still read a table whole: see the end.", PAGES),
)  # fmt: skip
HEAD = """# What the database makes of the hot statements

Written by `script/bench explain`; do not edit. PostgreSQL {version}, `shared_buffers` 64 MB, tables vacuumed and
analyzed. Nine of ten reports are closed, as after years of work:

{rows}

Read a plan from the inside out: `Index Scan` and `Index Only Scan` fetch by an index, `Seq Scan` reads a table whole.
`Buffers` are pages of 8 kB: `hit` found in memory, `read` from the system. Long lists of columns and ids are cut short.
"""
TAIL = """## What the partial indexes of migration 0006 bought

Pages of 8 kB read for one answer, a million obligations, the same rows before and after:

| | before | after |
|---|---|---|
| inbox, everybody's | 87,497 | 12,455 |
| inbox, one officer's | 27,924 | 2,839 |
| deliveries given up | 162,499 | 1 |
| clocks that are exhausted | 26,395 | 1 |

The two counts took 882 and 317 ms and take 0.01. The inbox's times above were taken beside other work (load average 6
to 11), those of before on a machine of its own (1,473 and 566 ms): they cannot be compared.

## What is missing

The inbox asks for the nearest deadline of every open report before it takes the first two hundred: what it costs grows
with the open reports, no more with the closed ones. The figure for the outbox counts every message that waits.

The figures of deliveries go through all that wait, a twelfth of all in this database; where they are few,
`ix_deliveries_open` finds them.
"""


def main() -> int:
    """Make the rows, explain, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clocks", type=int, default=1_000_000)
    options = parser.parse_args()
    end_in_order()
    logs.configure("text", least=30)
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder("explain"))
        server = served(stack, PostgreSQL(folder / "postgres"))
        url = build(server, options.clocks, old=True)
        with closing(Database(url)) as database:
            with database.write() as connection:
                connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
                connection.execute(sa.text(FILL))
            analyze(database)
            parts = [_head(database), *(_part(database, *part) for part in PARTS), TAIL]
    TARGET.write_text("\n".join(parts), encoding="utf-8")
    print(f"written: {TARGET.relative_to(ROOT)}")
    return 0


def _head(database: Database) -> str:
    with database.read() as connection:
        version = connection.exec_driver_sql("SHOW server_version").scalar_one().split()[0]
        counts = [(name, connection.execute(sa.text(f"SELECT count(*) FROM {name}")).scalar_one()) for name in COUNTED]
    return HEAD.format(version=version, rows="\n".join(f"- {name}: {count:,}" for name, count in counts))


def _part(database: Database, title: str, remark: str, asked: Mapping[str, Run]) -> str:
    return "\n".join([f"## {title}", "", remark, "", *(_one(database, name, run) for name, run in asked.items())])


def _one(database: Database, name: str, run: Run) -> str:
    said = []
    for statement, parameters in statements(database, run):
        explain(database, statement, parameters, "ANALYZE")  # the first time pays for reading from disk
        plan = explain(database, statement, parameters, "ANALYZE, BUFFERS, COSTS OFF, SUMMARY OFF, TIMING ON")
        whole = (
            " **Reads a table whole.**"
            if any(name in line for line in scans(database, plan) for name in COUNTED)
            else ""
        )
        said.append(f"{_took(plan)}{whole}\n\n```sql\n{_short(statement)}\n```\n```\n{_short(plan)}\n```\n")
    return "\n".join([f"### {name}", "", *said])


def _took(plan: str) -> str:
    found = re.search(r"actual time=[\d.]+\.\.([\d.]+)", plan)
    return f"{float(found[1]):.2f} ms." if found else ""


def _short(text: str) -> str:
    """Return it without what makes it long: lists of columns, of bound ids, and of rows that were skipped."""
    text = re.sub(r"(%\(\w+\)s::\w+, ){3,}%\(\w+\)s::\w+", "…", text)
    text = re.sub(r"\{[^},]+(,[^},]+){3,}\}", "{…}", text)
    text = re.sub(r"(\w+\.\w+, ){4,}(\w+\.\w+)", "…", text)
    lines = text.partition("\nPlanning")[0].splitlines()
    return "\n".join(line[:150].rstrip() for line in lines)


if __name__ == "__main__":
    sys.exit(main())
