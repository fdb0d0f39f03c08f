"""Reference (b), the fastest durable Python peer: FastAPI and aio-pika, confirms, `mandatory`, quorum."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from bench.peers.checks import Refused, check

CONFIRM_S = 8.0
QUEUE = os.environ["BENCH_QUEUE"]


@asynccontextmanager
async def broker(app: FastAPI) -> AsyncIterator[None]:
    """One connection and one confirming channel per process, for its whole life."""
    connection = await aio_pika.connect_robust(os.environ["BENCH_BROKER_URL"])
    async with connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        app.state.exchange = channel.default_exchange
        yield


app = FastAPI(lifespan=broker, openapi_url=None)


@app.post("/webhooks/qlue")
async def receive(request: Request) -> JSONResponse:
    """Answer 202 once the queue has confirmed."""
    raw = await request.body()
    try:
        check(request.headers.get, raw)
    except Refused as refused:
        return JSONResponse({"status": "refused"}, refused.status)
    message = aio_pika.Message(
        raw, content_type="application/json", delivery_mode=2, message_id=request.headers["webhook-id"]
    )
    await request.app.state.exchange.publish(message, QUEUE, mandatory=True, timeout=CONFIRM_S)
    return JSONResponse({"status": "accepted"}, 202)
