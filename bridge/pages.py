"""What every page needs: language, words, dates, the person."""

from datetime import datetime
from typing import Any

from flask import Blueprint, Flask, g, redirect, request, session
from werkzeug.wrappers import Response

from bridge import words


def language() -> str:
    """Return the language of this visitor: chosen, or the person's own, or Indonesian."""
    chosen = session.get("language")
    if chosen in words.LANGUAGES:
        return str(chosen)
    person = getattr(g, "person", None)
    return person.language if person else "id"


def prepare(app: Flask) -> None:
    """Give templates their helpers."""

    @app.context_processor
    def helpers() -> dict[str, Any]:
        chosen = language()
        return {
            "language": chosen,
            "say": lambda word: words.say(str(word), chosen),
            "t": lambda indonesian, english: english if chosen == "en" else indonesian,
            "when": lambda at: words.when(_instant(at), chosen) if at else "–",
            "clock_time": lambda at: words.time_of_day(_instant(at), chosen) if at else "–",
            "length": lambda seconds: words.length(abs(seconds), chosen),
            "person": getattr(g, "person", None),
        }

    routes = Blueprint("language", __name__)

    @routes.post("/language/<code>")
    def switch(code: str) -> Response:
        if code in words.LANGUAGES:
            session["language"] = code
        return redirect(safe_next(request.form.get("next")))

    app.register_blueprint(routes)


def safe_next(target: str | None) -> str:
    """Return where to go next, never to another site."""
    # Browsers drop tabs and line ends and read \ as /: "/<tab>/evil.example" would lead away.
    if (
        target
        and target.startswith("/")
        and not target.startswith("//")
        and target.isprintable()
        and "\\" not in target
    ):
        return target
    return "/desk/"


def _instant(at: datetime | str) -> datetime:
    return datetime.fromisoformat(at) if isinstance(at, str) else at
