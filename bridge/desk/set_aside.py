"""What lies aside: the list, and one with its body in an editor, to be mended, released or discarded with a reason."""

import json
from typing import Any

from flask import Blueprint, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from bridge.auth import acting, needs
from bridge.fault_words import fault_in_words
from bridge.pages import language
from bridge.reports.people import Role
from bridge.reports.setting_aside import State
from bridge.service import Service
from bridge.storage import people
from bridge.storage import set_aside as stored
from bridge.storage.database import DatabaseAway
from bridge.strict_json import NotJson, loads
from bridge.worklist import Looked, StillWrong

#: Bodies hold personal data: only those who mend them see them.
MENDERS = (Role.SECRETARIAT, Role.ADMIN)
_MOST = 200
_ONE = "/desk/set-aside/<int(max=9223372036854775807):number>"


def blueprint(service: Service) -> Blueprint:
    """Return the list, its lines, and what is done with them."""
    routes = Blueprint("set_aside", __name__, template_folder="templates")

    @routes.app_context_processor
    def helpers() -> dict[str, object]:
        return {"aside_waiting": lambda: _waiting(service), "menders": MENDERS, "fault": _fault}

    @routes.get("/desk/set-aside")
    @needs(service, *MENDERS)
    def listed() -> str:
        asked = request.args.get("state", "")
        state = State(asked) if asked in list(State) else State.WAITING
        with service.database.read() as connection:
            rows = stored.listed(connection, state, most=_MOST)
        return render_template("desk/aside_list.html", rows=rows, state=state, states=list(State), most=_MOST)

    @routes.get(_ONE)
    @needs(service, *MENDERS)
    def show(number: int) -> str:
        looked = service.worklist.look(number, acting(g.person).name)
        return _page(service, looked, shown(looked.body))

    @routes.post(f"{_ONE}/check")
    @needs(service, *MENDERS)
    def check(number: int) -> str:
        """Say what is wrong with what stands in the editor: into the page, or without script as a page."""
        looked, text = service.worklist.opened(number), request.form.get("body", "")
        problems = service.worklist.problems(looked.row, typed(text, looked.body))
        if "HX-Request" in request.headers:
            return render_template("desk/aside_verdict.html", problems=problems)
        return _page(service, looked, text, problems)

    @routes.post(f"{_ONE}/<any(fix, release, discard):deed>")
    @needs(service, *MENDERS)
    def decide(number: int, deed: str) -> Response | tuple[str, int]:
        try:
            _decide(service, number, deed)
        except StillWrong as wrong:
            looked = service.worklist.opened(number)
            return _page(service, looked, request.form.get("body", ""), wrong.problems), 422
        return redirect(url_for("set_aside.show", number=number))

    return routes


def raw(body: bytes) -> str:
    """Return a body as it came; bytes that are no text as \\x and two digits."""
    return body.decode("utf-8", "backslashreplace")


def shown(body: bytes) -> str:
    """Return a body as the editor shows it: JSON laid out line by line, since cities send it in one."""
    try:
        text = json.dumps(loads(body), ensure_ascii=False, indent=2)
        text.encode()
    except (NotJson, UnicodeEncodeError):
        return raw(body)
    return text


def typed(text: str, kept: bytes) -> bytes:
    """Return what the editor holds: unchanged it is what was shown, byte for byte, though browsers end lines anew."""
    lines = _line_ends(text)
    return kept if lines == _line_ends(shown(kept)) else lines.encode()


def _line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _decide(service: Service, number: int, deed: str) -> None:
    worklist, actor, reason = service.worklist, acting(g.person).name, request.form.get("reason", "")
    seen = request.form.get("seen", type=int)
    if deed == "discard":
        worklist.discard(number, actor, reason, seen=seen)
        return
    kept = worklist.opened(number).body
    body = typed(request.form["body"], kept) if "body" in request.form else kept
    (worklist.fix if deed == "fix" else worklist.release)(number, body=body, actor=actor, reason=reason, seen=seen)


def _page(service: Service, looked: Looked, text: str, problems: list[str] | None = None) -> str:
    worklist = service.worklist
    with service.database.read() as connection:
        names = people.names(connection)
    content: dict[str, Any] = {
        "row": looked.row,
        "text": text,
        "original": raw(looked.original),
        "decisions": [line | {"by": _by(line["actor"], names)} for line in looked.decisions],
        "ticket": worklist.ticket(looked),
        "problems": worklist.problems(looked.row, looked.body) if problems is None else problems,
    }
    return render_template("desk/aside.html", **content)


def _by(actor: str, names: dict[str, str]) -> str:
    return names.get(actor.removeprefix("person:"), actor)


def _fault(line: str) -> str:
    return fault_in_words(line, language())


def _waiting(service: Service) -> int:
    try:
        with service.database.read() as connection:
            return stored.heap(connection).waiting
    except DatabaseAway:
        return 0  # the page that says so has this menu too
