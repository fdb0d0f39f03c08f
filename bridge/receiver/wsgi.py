"""The way in as a WSGI application, for servers that import it by name in each of their processes."""

from bridge import logs
from bridge.app import create_app
from bridge.service import Service

_service = Service.from_environment()
logs.configure(_service.settings.log)
app = create_app(_service, ("receiver",))
