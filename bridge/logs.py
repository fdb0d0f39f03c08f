"""Logs: lines for people, or JSON for machines. Never bodies, never contact data: facts are named one by one."""

import logging
import sys
from typing import TextIO

import structlog


def configure(style: str, stream: TextIO = sys.stderr, *, least: int = logging.INFO) -> None:
    """Let structlog and the standard library write the same lines, `text` or `json`, to one stream."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor
    if style == "json":
        renderer = structlog.processors.JSONRenderer()
        shared.append(structlog.processors.format_exc_info)
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=stream.isatty(),
            pad_event_to=0,
            # The pretty one prints local variables, and those may be somebody's name and telephone number.
            exception_formatter=structlog.dev.plain_traceback,
        )
    structlog.configure(
        processors=[*shared, renderer],
        logger_factory=structlog.PrintLoggerFactory(stream),
        wrapper_class=structlog.make_filtering_bound_logger(least),
        cache_logger_on_first_use=True,
    )
    # Libraries speak through the standard library; their errors matter, their chatter does not.
    logging.basicConfig(level=logging.ERROR, stream=stream, format="%(asctime)s %(name)s %(message)s")
    # Seven lines for every refused connection; our own one line says it.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
