"""The way in as a WSGI application, for servers that import it by name in each of their processes."""

import sys
import threading

from bridge import logs, tracing
from bridge.app import create_app
from bridge.broker.topology import declare_patiently
from bridge.service import Service

_service = Service.from_environment(with_texts=False)
logs.configure(_service.settings.log)
tracing.configure(_service.settings.traces)
tracing.load()
# A request needs the interpreter for some 0.2 ms and then waits. Thirty threads that may interrupt each other every
# 5 ms, as is usual, answered nobody in the first two seconds of a full load after a start (docs/performance.md).
sys.setswitchinterval(0.02)
# Queues must be there before the first report: one declared a moment before a crash may lose what it confirmed.
threading.Thread(target=declare_patiently, args=(_service.settings.broker_url,), name="declare", daemon=True).start()
app = create_app(_service, ("receiver",))
