"""The only place that wires Flask: which pages and doors this process serves."""

from collections.abc import Collection
from importlib.metadata import version

from flask import Flask, Response, request
from werkzeug.middleware.proxy_fix import ProxyFix

from bridge import problems
from bridge.health import blueprint as health
from bridge.open311 import way_in
from bridge.receiver import webhooks
from bridge.service import Service

#: What a process can serve. `receiver` needs no database, `desk` needs no queue.
PARTS = ("receiver", "desk")

_SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def create_app(service: Service, parts: Collection[str] = PARTS) -> Flask:
    """Return the WSGI application of this process."""
    app = Flask("bridge", static_folder="static", template_folder="templates")
    app.config.update(
        SECRET_KEY=service.settings.secret_key,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=service.settings.public_url.startswith("https:"),
        PERMANENT_SESSION_LIFETIME=12 * 3600,
        VERSION=version("jembatan"),
    )
    if service.settings.trusted_proxies:
        # Else everybody behind the front would share one address, and one guesser's throttle.
        hops = service.settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    problems.register(app)
    app.after_request(_secured)
    app.register_blueprint(health(service, parts))
    if "receiver" in parts:
        app.wsgi_app = webhooks.WayIn(service.receiver, app.wsgi_app)  # type: ignore[method-assign]
        app.wsgi_app = way_in.WayIn(service.receiver, app.wsgi_app)  # type: ignore[method-assign]
    if "desk" in parts:
        _add_pages(app, service)
    return app


def _add_pages(app: Flask, service: Service) -> None:
    # Here and not above: a receiver shall not even load what needs the database.
    from flask_wtf.csrf import CSRFProtect

    from bridge import api, desk, pages, tracking
    from bridge.api import receipts
    from bridge.open311 import reading

    problems.register_domain(app)
    csrf = CSRFProtect(app)
    pages.prepare(app)
    for routes in (*desk.blueprints(service), tracking.blueprint(service)):
        app.register_blueprint(routes)
    # A mail program that turns notices off has no session; its link is signed (RFC 8058).
    csrf.exempt(app.blueprints["unsubscribe"])
    for programs in (api.blueprint(service), reading.blueprint(service)):
        csrf.exempt(programs)
        app.register_blueprint(programs)
    app.register_blueprint(receipts.blueprint(service))


def _secured(response: Response) -> Response:
    for name, value in _SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    if request.path.startswith(("/desk", "/a/", "/api/", "/track/")):
        response.headers.setdefault("Cache-Control", "no-store")
    return response
