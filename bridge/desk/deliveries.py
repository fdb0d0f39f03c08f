"""What was told and what was not: figures, lists by whose fault it was, and each delivery with its attempts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from flask import Blueprint, abort, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from bridge.auth import OVERSEERS, acting, needs
from bridge.desk.days import day
from bridge.desk.told_words import channel_in_words, colour, reason_in_words, standing
from bridge.pages import language
from bridge.reports.channels import DESK
from bridge.reports.people import Role
from bridge.reports.report import Purpose
from bridge.reports.setting_aside import ReasonMissing
from bridge.resending import resend
from bridge.service import Service
from bridge.storage import destinations, people, told
from bridge.storage.told import Wanted

#: Who sends once more; the chair and the Dinas look on.
RESENDERS = (Role.SECRETARIAT, Role.ADMIN)
#: The lists, in the order of their tabs; `all` is no lot.
TABS = ("ours", "theirs", "elsewhere", "waiting", "all")
STATES = ("pending", "sending", "failed", "delivered", "given_up", "suppressed")
MOST = 200
#: What has no end yet is listed whole, the rest since so many days unless a day is asked for: years of it lie there.
_LATELY = timedelta(days=7)


def blueprint(service: Service) -> Blueprint:
    """Return the lists, a delivery's own page, and the button on it."""
    routes = Blueprint("deliveries", __name__, template_folder="templates")

    @routes.get("/desk/deliveries")
    @needs(service, *OVERSEERS)
    def listed() -> str:
        return render_template("desk/deliveries.html", **_content(service))

    @routes.get("/desk/deliveries/<uuid:delivery_id>")
    @needs(service, *OVERSEERS)
    def show(delivery_id: UUID) -> str:
        return render_template("desk/delivery.html", **_one(service, str(delivery_id)))

    @routes.post("/desk/deliveries/<uuid:delivery_id>/again")
    @needs(service, *RESENDERS)
    def again(delivery_id: UUID) -> Response | tuple[str, int]:
        wanted, reason = Wanted(delivery_ids=[str(delivery_id)]), request.form.get("reason", "")
        try:
            left = resend(service.database, wanted, actor=acting(g.person).name, reason=reason)
        except ReasonMissing:
            return render_template("desk/delivery.html", **_one(service, str(delivery_id)), no_reason=True), 422
        return redirect(url_for("deliveries.show", delivery_id=delivery_id, left=left))

    return routes


def recipients(service: Service, names: Mapping[str, str]) -> dict[str, str]:
    """Return everybody something may be for, by id: people, then the city's addresses."""
    sources = service.configuration.sources.values()
    cities = {one.recipient: one.recipient for source in sources for one in source.callbacks}
    return dict(sorted(names.items(), key=lambda item: item[1])) | cities


def _content(service: Service) -> dict[str, Any]:
    tab = request.args.get("list", "")
    tab = tab if tab in TABS else TABS[0]
    wanted, days = _wanted(tab), {name: request.args.get(name, "") for name in ("since", "until")}
    with service.database.read() as connection:
        now = service.database.now(connection)
        if tab == "all" and "since" not in request.args and not wanted.ticket:
            wanted = replace(wanted, since=now - _LATELY)
        found, names = told.listed(connection, wanted, most=MOST), people.names(connection)
        latest = _last_attempts(told.attempts_of(connection, [row["delivery_id"] for row in found]))
        figures, troubled = told.counts(connection, now), destinations.troubled(connection)
    ours = figures.unheard_by_fault.get("ours", 0)
    return {
        "lot": tab,
        "numbers": {"ours": ours, "theirs": figures.unheard - ours, "waiting": sum(figures.waiting.values())},
        "rows": [shown(row, names, latest.get(row["delivery_id"])) for row in found],
        "figures": figures,
        "troubled": [(breaker, breaker.state(now)) for breaker in troubled],
        "wanted": wanted,
        "days": days,
        "lately": tab == "all" and wanted.since is not None and not days["since"],
        "address": {name: value for name, value in request.args.items() if value and name != "list"},
        "recipients": recipients(service, names),
        "channels": [*service.ways.channels, service.ways.city.name, DESK],
        "states": STATES,
        "purposes": list(Purpose),
        "most": MOST,
        "may_resend": g.person.role in RESENDERS,
        "channel_name": _channel,
    }


def _wanted(tab: str) -> Wanted:
    asked = request.args
    return Wanted(
        lot="" if tab == "all" else tab,
        ticket=asked.get("ticket", "").strip().upper(),
        state=asked.get("state", ""),
        purpose=asked.get("purpose", ""),
        recipient=asked.get("recipient", ""),
        channel=asked.get("channel", ""),
        since=day(asked.get("since", "")),
        until=day(asked.get("until", ""), after=1),
    )


def _channel(name: str) -> str:
    return channel_in_words(name, language())


def _last_attempts(attempts: Mapping[str, Sequence[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    return {delivery_id: tried[-1] for delivery_id, tried in attempts.items() if tried}


def shown(row: Mapping[str, Any], names: Mapping[str, str], last: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a delivery as lists show it."""
    chosen = language()
    return {
        **row,
        "to": names.get(row["recipient"], row["recipient"]),
        "by": channel_in_words(row["channel"], chosen),
        "standing": standing(row, names, chosen),
        "colour": colour(row),
        "answer": _answer(row, names, last),
    }


def _answer(row: Mapping[str, Any], names: Mapping[str, str], last: Mapping[str, Any] | None) -> str:
    """Return what the other side said last, short: its status and words, or what went wrong before it could."""
    said = (last["response"] or last["detail"] or "") if last else ""
    error = reason_in_words(row["last_error"] or "", names, language())
    said = said or ("" if row["state"] == "suppressed" else error)
    status = f"{last['status']} " if last and last["status"] else ""
    return f"{status}{' '.join(said.split())}"[:120].strip()


def _one(service: Service, delivery_id: str) -> dict[str, Any]:
    with service.database.read() as connection:
        found = told.listed(connection, Wanted(delivery_ids=[delivery_id]))
        if not found:
            abort(404, f"There is no delivery {delivery_id}.")
        (row,) = found
        names = people.names(connection)
        attempts = told.attempts_of(connection, [delivery_id])[delivery_id]
        together = told.fellows(connection, row)
        now: datetime = service.database.now(connection)
    return {
        "row": shown(row, names, attempts[-1] if attempts else None),
        "reason": reason_in_words(row["last_error"] or "", names, language()),
        "attempts": attempts,
        "fellows": [shown(one, names) for one in together],
        "names": names,
        "left": request.args.get("left", type=int),
        "lately": row["replayed_at"] is not None and row["replayed_at"] > now - told.REPLAYED_LATELY,
        "may_resend": g.person.role in RESENDERS,
        "channel_name": _channel,
    }
