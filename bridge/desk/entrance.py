"""Logging in and out."""

import math

from flask import Blueprint, Response, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response as AnyResponse

from bridge.auth import check_password
from bridge.pages import safe_next
from bridge.service import Service
from bridge.throttle import Throttle

#: Five wrong passwords at once, then one every ten seconds. Right ones do not count: in the morning a whole office logs
#: in from one address.
_FAILURES = Throttle(burst=5, every_s=10)


def blueprint(service: Service) -> Blueprint:
    """Return the entrance."""
    routes = Blueprint("entrance", __name__, template_folder="templates")

    @routes.get("/")
    def home() -> AnyResponse:
        return redirect(url_for("inbox.show"))

    @routes.get("/desk/login")
    def log_in() -> str:
        return render_template("desk/login.html", next=safe_next(request.args.get("next")), wrong=False)

    @routes.post("/desk/login")
    def enter() -> AnyResponse:
        name, target = request.form.get("name", "").strip(), safe_next(request.form.get("next"))
        callers = (f"name {name}", f"from {request.remote_addr}")
        if wait_s := max(_FAILURES.wait_s(caller, take=False) for caller in callers):
            page = render_template("desk/login.html", next=target, wrong=True, wait_s=math.ceil(wait_s))
            return Response(page, 429, {"Retry-After": str(math.ceil(wait_s))})
        person = check_password(service, name, request.form.get("password", ""))
        if person is None:
            for caller in callers:
                _FAILURES.wait_s(caller)
            return Response(render_template("desk/login.html", next=target, wrong=True), 401)
        language = session.get("language")
        session.clear()
        session.permanent = True
        session.update(person=person.person_id, **({"language": language} if language else {}))
        return redirect(target)

    @routes.post("/desk/logout")
    def log_out() -> AnyResponse:
        session.clear()
        return redirect(url_for("entrance.log_in"))

    return routes
