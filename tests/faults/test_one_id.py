"""A thousand posts of one report at once, as of a city app that has lost its patience: counted, there is one report."""

import asyncio
import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from bridge.signing import sign, signing_key
from bridge.storage.tables import deliveries, history, obligations, reports, set_aside, webhooks
from tests.running import KEY, Running
from tests.servers import eventually

POSTS = 1000
pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("ids", [1, POSTS], ids=["one webhook-id", "a webhook-id each"])
def test_thousand_posts_of_one_report_at_once_make_one_report(
    stormy: Running, ids: int, capsys: pytest.CaptureFixture[str]
) -> None:
    body = _report("ONE")
    requests = [_request(stormy, body, f"msg-one-{number % ids}") for number in range(POSTS)]

    # In a thread of its own: Playwright's tests leave a loop running in this one.
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(asyncio.run, _all_at_once(stormy.port, requests)).result()
    # Behind them in the same queue: when this one is stored, they have been dealt with.
    stormy.send("LAST")
    eventually(lambda: _counts(stormy, "LAST")["reports"] == 1, 120, "the last one is stored")

    found = _counts(stormy, "ONE")
    with capsys.disabled():
        statuses = dict(Counter(status for status, _ in answers))
        print(f"\n{stormy.name}: {POSTS} posts of one report under {ids} webhook-ids, answered {statuses}; {found}")
    assert [status for status, _ in answers] == [202] * POSTS
    said = {(answer["status"], answer["ticket"], answer["report_id"], answer["sha256"]) for _, answer in answers}
    assert len(said) == 1, "the same answer to all"
    assert found == {"reports": 1, "webhooks": ids, "first notices": 1, "begun": 1, "clocks": 1, "set aside": 0}


def _report(external_id: str) -> bytes:
    data = {"id": external_id, "title": "Klaim ditolak", "description": "Klaim saya ditolak.", "category": "ASURANSI"}
    return json.dumps({"type": "report.submitted", "timestamp": "2026-11-23T10:00:00+07:00", "data": data}).encode()


def _request(running: Running, body: bytes, webhook_id: str) -> bytes:
    at = int(time.time())
    lines = [
        "POST /webhooks/qlue HTTP/1.1",
        f"Host: 127.0.0.1:{running.port}",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"webhook-id: {webhook_id}",
        f"webhook-timestamp: {at}",
        f"webhook-signature: {sign(signing_key(KEY), webhook_id, at, body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _all_at_once(port: int, requests: list[bytes]) -> list[tuple[int, dict[str, Any]]]:
    """Open a connection for each, and only when all are open send all."""
    lines = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in requests))
    posts = (_post(*line, request) for line, request in zip(lines, requests, strict=True))
    return await asyncio.wait_for(asyncio.gather(*posts), 120)


async def _post(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[int, dict[str, Any]]:
    writer.write(request)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split(b" ", 2)[1]), json.loads(body)


def _counts(running: Running, external_id: str) -> dict[str, int]:
    """Return what the database holds of one report."""
    mine = sa.select(reports.c.report_id).where(reports.c.external_id == external_id).scalar_subquery()
    counted = {
        "reports": (reports, reports.c.external_id == external_id),
        "webhooks": (webhooks, webhooks.c.report_id.in_(mine)),
        "first notices": (deliveries, deliveries.c.report_id.in_(mine) & (deliveries.c.event == "new_report")),
        "begun": (history, history.c.report_id.in_(mine) & (history.c.event == "received")),
        "clocks": (obligations, obligations.c.report_id.in_(mine) & (obligations.c.kind == "acknowledge")),
        "set aside": (set_aside, sa.true()),
    }
    with running.service.database.read() as connection:
        return {
            name: connection.execute(sa.select(sa.func.count()).select_from(table).where(which)).scalar_one()
            for name, (table, which) in counted.items()
        }
